//! The other side: signs images, for `fresnel image sign`.

use std::io::{self, Read};

use openssl::{
    error::ErrorStack,
    hash::{Hasher, MessageDigest},
    pkey::{Id, PKey, Private},
    pkey_ctx::PkeyCtx,
};

use super::{Certificate, KEY_TYPES, Scheme, md, unhex};
use crate::{
    base::{limits::MIB, secret::Secret},
    model::HashAlgorithm,
};

/// A key that signs images. OpenSSL overwrites it when it is dropped.
#[derive(Debug)]
pub struct Signer {
    key_type: &'static str,
    scheme: Scheme,
    key: PKey<Private>,
}

/// Why a key does not sign.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is no PEM, or the passphrase is wrong or missing.
    #[error(
        "the key cannot be read: it is no private key in PEM, or the passphrase is not its own"
    )]
    Unreadable,
    /// Glance would not take its signatures.
    #[error(
        "the key is of no kind that signs images: RSA, DSA, or EC on one of the curves {}",
        curves()
    )]
    Kind,
    /// The certificate is another's.
    #[error("the certificate is not that of the key")]
    OtherCertificate,
    /// RSA with too few bits for the digest.
    #[error("the key is too short for a signature of that digest")]
    Short,
    /// OpenSSL refuses.
    #[error("the key does not sign: {0}")]
    OpenSsl(#[from] ErrorStack),
}

impl Signer {
    /// Of a key in PEM.
    ///
    /// # Errors
    /// [`Unusable::Unreadable`], [`Unusable::Kind`].
    pub fn new(pem: &[u8], passphrase: Option<&Secret>) -> Result<Self, Unusable> {
        // Without one OpenSSL would ask on the terminal; an empty one opens nothing.
        let passphrase = passphrase.map_or("", Secret::expose).as_bytes();
        let key = PKey::private_key_from_pem_passphrase(pem, passphrase);
        let key = key.map_err(|_| Unusable::Unreadable)?;
        let curve = match key.id() {
            Id::EC => key.ec_key()?.group().curve_name(),
            _ => None,
        };
        let is_own = |scheme: Scheme| match scheme {
            Scheme::Ecdsa(named) => curve == Some(named),
            other => other.is_of(&key),
        };
        let mut kinds = KEY_TYPES.into_iter();
        let found = kinds.find(|(_, scheme)| is_own(*scheme));
        let (key_type, scheme) = found.ok_or(Unusable::Kind)?;
        Ok(Self {
            key_type,
            scheme,
            key,
        })
    }

    /// What `img_signature_key_type` calls it.
    pub fn key_type(&self) -> &'static str {
        self.key_type
    }

    /// That a certificate is this key's.
    ///
    /// # Errors
    /// [`Unusable::OtherCertificate`].
    pub fn check(&self, certificate: &Certificate) -> Result<(), Unusable> {
        match certificate.is_of(&self.key) {
            true => Ok(()),
            false => Err(Unusable::OtherCertificate),
        }
    }

    /// The signature of a digest in hexadecimal digits, in base64: `img_signature`.
    ///
    /// # Errors
    /// [`Unusable::Short`], [`Unusable::OpenSsl`].
    pub fn sign(&self, algorithm: HashAlgorithm, digest: &str) -> Result<String, Unusable> {
        let digest = unhex(digest).unwrap_or_default();
        let mut context = PkeyCtx::new(&self.key)?;
        context.sign_init()?;
        if !self.scheme.prepare(&mut context, &self.key, algorithm)? {
            return Err(Unusable::Short);
        }
        let mut bytes = Vec::new();
        context.sign_to_vec(&digest, &mut bytes)?;
        Ok(openssl::base64::encode_block(&bytes))
    }
}

/// The digest of all that can be read, in hexadecimal digits: for files of users, in the one thread.
///
/// # Errors
/// The reader's.
pub fn digest_of(image: &mut dyn Read, algorithm: HashAlgorithm) -> io::Result<String> {
    let digest = MessageDigest::from_nid(md(algorithm).type_());
    let mut hasher = Hasher::new(digest.expect("OpenSSL has every algorithm"))?;
    let mut buffer = vec![0; MIB];
    loop {
        let len = match image.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..len])?;
    }
    let bytes = hasher.finish()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn curves() -> String {
    let names = KEY_TYPES.iter();
    let curves = names.filter_map(|(name, _)| name.strip_prefix("ECC_"));
    curves.collect::<Vec<_>>().join(", ")
}
