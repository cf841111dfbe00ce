//! The certificate that a signature is verified with, and whether it is good enough.

use openssl::{
    asn1::Asn1Time,
    error::ErrorStack,
    pkey::{Id, PKey, Public},
    stack::Stack,
    x509::{X509, X509KeyUsage, X509StoreContext, store::X509StoreBuilder},
};

use super::Distrust;

/// What PEM begins a certificate with.
const PEM: &[u8] = b"-----BEGIN";

/// An X.509 certificate.
#[derive(Clone, Debug)]
pub struct Certificate(X509);

impl Certificate {
    /// The first certificate of PEM, or one in DER.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let is_pem = bytes.windows(PEM.len()).any(|window| window == PEM);
        let parsed = match is_pem {
            true => X509::from_pem(bytes),
            false => X509::from_der(bytes),
        };
        parsed.ok().map(Self)
    }

    /// As text.
    pub fn to_pem(&self) -> Option<String> {
        String::from_utf8(self.0.to_pem().ok()?).ok()
    }

    /// Its key; none that can be read, and none on a curve without a name, which could be anything.
    pub(super) fn public_key(&self) -> Option<PKey<Public>> {
        let key = self.0.public_key().ok()?;
        let is_known = match key.id() {
            Id::EC => key.ec_key().ok()?.group().curve_name().is_some(),
            _ => true,
        };
        is_known.then_some(key)
    }

    /// Whether it is good today, and for signatures. One that does not say for what is good for all.
    ///
    /// # Errors
    /// [`Distrust::Date`], [`Distrust::KeyUsage`].
    pub fn check(&self) -> Result<(), Distrust> {
        if !self.is_current() {
            return Err(Distrust::Date);
        }
        let signs = X509KeyUsage::DIGITAL_SIGNATURE | X509KeyUsage::NON_REPUDIATION;
        match self.0.key_usage() {
            Some(usage) if !usage.intersects(signs) => Err(Distrust::KeyUsage),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a chain of trusted certificates, up to one that has signed itself, leads to it. Each must be
    /// good today and an authority's, as in cursive.
    ///
    /// # Errors
    /// [`Distrust::Chain`].
    pub fn check_chain(&self, trusted: &[Self]) -> Result<(), Distrust> {
        let authorities = trusted.iter().filter(|trusted| trusted.is_authority());
        let chain = || -> Result<Option<String>, ErrorStack> {
            let mut store = X509StoreBuilder::new()?;
            for authority in authorities {
                store.add_cert(authority.0.clone())?;
            }
            let (store, others) = (store.build(), Stack::new()?);
            let mut context = X509StoreContext::new()?;
            context.init(&store, &self.0, &others, |context| {
                let is_good = context.verify_cert()?;
                Ok((!is_good).then(|| context.error().error_string().to_owned()))
            })
        };
        match chain() {
            Ok(None) => Ok(()),
            Ok(Some(reason)) => Err(Distrust::Chain(reason)),
            Err(error) => Err(Distrust::Chain(error.to_string())),
        }
    }

    fn is_current(&self) -> bool {
        let now = Asn1Time::days_from_now(0).expect("there is a time");
        *self.0.not_before() <= now && now <= *self.0.not_after()
    }

    fn is_authority(&self) -> bool {
        let usage = self.0.key_usage().unwrap_or(X509KeyUsage::empty());
        usage.contains(X509KeyUsage::KEY_CERT_SIGN)
    }

    /// Whether it is of this key.
    pub(super) fn is_of<T: openssl::pkey::HasPublic>(&self, key: &PKey<T>) -> bool {
        self.public_key().is_some_and(|own| own.public_eq(key))
    }
}
