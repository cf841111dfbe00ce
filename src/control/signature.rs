//! Whether an image's bytes have to be signed, and with what: decided before the first of them
//! (reference D.1). Whether they are, the data plane finds while they pass.

use serde::{Deserialize, Serialize};
use tracing::error;

use super::{Control, Error, Result};
use crate::{
    base::secret::Secret,
    client::key_manager,
    data::signature::{
        CERTIFICATE, Certificate, Declared, HASH_METHOD, KEY_TYPE, Reason, Refusal, SIGNATURE,
        Signature,
    },
    model::Image,
};

/// Which certificates count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// `[fresnel] check_certificates`: their dates and key usage matter, which Glance does not look at.
    pub check: bool,
    /// `[fresnel] trusted_certificate_ids`: who must have signed them; none is nobody.
    pub trusted: Vec<String>,
}

/// The certificate of an image as its user got it, for an import that runs when the user's token is gone.
/// A certificate is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::control) struct Certified {
    id: String,
    /// In PEM; or what the user is told.
    certificate: Result<String, String>,
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            check: true,
            trusted: Vec::new(),
        }
    }
}

impl Control {
    /// The signature that an image's bytes must have. None where the image does not have all four properties.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::CertificateId`].
    pub(super) async fn signature(
        &self,
        image: &Image,
        token: Option<&Secret>,
    ) -> Result<Option<Signature>> {
        let told = |refusal| told(image, refusal);
        let Some(declared) = Declared::of(&image.properties).map_err(told)? else {
            return Ok(None);
        };
        let certificate = self.certificate(
            declared.certificate(),
            token,
            self.settings.certificates.check,
        );
        let certificate = certificate.await.map_err(told)?;
        declared.with(&certificate).map(Some).map_err(told)
    }

    /// The certificate for an import to come. A copy is of an image that was verified when its certificate was
    /// good: that it may be out of date by now does not matter.
    pub(super) async fn certified(
        &self,
        image: &Image,
        token: Option<&Secret>,
        is_copy: bool,
    ) -> Option<Certified> {
        let declared = Declared::of(&image.properties).ok()??;
        let id = declared.certificate().to_owned();
        let check = self.settings.certificates.check && !is_copy;
        let found = self.certificate(&id, token, check).await;
        let pem = found.and_then(|found| found.to_pem().ok_or(Reason::Undecodable.into()));
        let certificate = pem.map_err(|refusal| told(image, refusal).to_string());
        Some(Certified { id, certificate })
    }

    async fn certificate(
        &self,
        id: &str,
        token: Option<&Secret>,
        check: bool,
    ) -> Result<Certificate, Refusal> {
        let certificate = self.fetch(id, token).await?;
        if check {
            certificate.check()?;
        }
        let ids = &self.settings.certificates.trusted;
        if !ids.is_empty() {
            let mut trusted = Vec::new();
            for id in ids {
                // The others may do: what is missing is in the log.
                trusted.extend(self.fetch(id, token).await.ok());
            }
            certificate.check_chain(&trusted)?;
        }
        Ok(certificate)
    }

    async fn fetch(&self, id: &str, token: Option<&Secret>) -> Result<Certificate, Refusal> {
        let found = match &self.keys {
            Some(keys) => keys.certificate(id, token).await,
            None => Err(key_manager::Error::Unavailable(
                "there is no key manager".to_owned(),
            )),
        };
        let bytes = found.map_err(|cause| {
            error!(certificate = id, %cause, "Unable to retrieve a certificate");
            let reason = match cause {
                key_manager::Error::NoId => return Refusal::NoId,
                key_manager::Error::NotFound => Reason::NotFound(id.to_owned()),
                key_manager::Error::OtherKind(format) => Reason::Format(format),
                key_manager::Error::InUse
                | key_manager::Error::Unbound
                | key_manager::Error::Unavailable(_) => Reason::Unavailable(id.to_owned()),
            };
            Refusal::Untried(reason)
        })?;
        Certificate::parse(&bytes).ok_or(Reason::Undecodable.into())
    }
}

/// The signature that an import's bytes must have, with what was [`Control::certified`] when it was asked for.
///
/// # Errors
/// What the user is told.
pub(in crate::control) fn of_import(
    image: &Image,
    certified: Option<&Certified>,
) -> Result<Option<Signature>, String> {
    let told = |refusal: Refusal| told(image, refusal).to_string();
    let Some(declared) = Declared::of(&image.properties).map_err(told)? else {
        return Ok(None);
    };
    let id = declared.certificate();
    let pem = match certified.filter(|certified| certified.id == id) {
        Some(certified) => certified.certificate.clone()?,
        // The properties were changed meanwhile, and nobody has asked for that one.
        None => return Err(told(Reason::Unavailable(id.to_owned()).into())),
    };
    let certificate = Certificate::parse(pem.as_bytes());
    let certificate = certificate.ok_or_else(|| told(Reason::Undecodable.into()))?;
    declared.with(&certificate).map(Some).map_err(told)
}

/// The properties that say who has signed an image's bytes and how, all of them or none.
pub(in crate::control) fn claimed(image: &Image) -> Option<[String; 4]> {
    let names = [CERTIFICATE, HASH_METHOD, SIGNATURE, KEY_TYPE];
    let values = names.map(|name| image.properties.get(name).cloned().flatten());
    let values: Option<Vec<String>> = values.into_iter().collect();
    values?.try_into().ok()
}

fn told(image: &Image, refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoId => Error::CertificateId(refusal),
        other => Error::Signature(image.id.clone(), other),
    }
}
