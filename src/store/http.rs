//! Images that lie on somebody's web server: read-only, under the policy for what users name
//! (reference E.7).
//!
//! The addresses are users'. Each request is judged anew, and so is each redirection; a server that
//! names no length is refused, because a part of an image could not be told from the whole.

mod read;

use async_trait::async_trait;

use super::{Error, Finding, Intent, Reader, Result, Store, Writer};
use crate::{
    buf::Claim,
    client::web::{self, Refusal, Uri, Web},
    model::{Attempt, ByteRange, ImageId, StoreId, location},
};

/// A store of addresses.
#[derive(Debug)]
pub struct HttpStore {
    id: StoreId,
    web: Web,
}

impl HttpStore {
    /// A store that fetches through `web`.
    pub fn new(id: StoreId, web: Web) -> Self {
        Self { id, web }
    }

    /// What a failure means to whoever wants the bytes.
    fn outcome(&self, url: &str, error: &web::Error) -> Error {
        let shown = location::shown(url);
        tracing::debug!(store.id = %self.id, object = shown, %error, "An address was not read");
        match error {
            web::Error::NotFound => Error::NotFound(shown),
            web::Error::Range => Error::Corrupt(shown),
            web::Error::Refused(Refusal::Unresolved) | web::Error::Unreachable(_) => {
                Error::Unavailable(self.id.clone())
            }
            web::Error::Status(status) if status.is_server_error() => {
                Error::Unavailable(self.id.clone())
            }
            web::Error::Refused(_)
            | web::Error::Astray(_)
            | web::Error::Redirections
            | web::Error::Status(_)
            | web::Error::Unmeasured => Error::BadAddress(shown),
        }
    }
}

#[async_trait]
impl Store for HttpStore {
    fn id(&self) -> &StoreId {
        &self.id
    }

    fn kind(&self) -> &'static str {
        "http"
    }

    async fn intend(&self, _: &ImageId, _: Attempt, _: Option<u64>) -> Result<Intent> {
        Err(Error::ReadOnly(self.id.clone()))
    }

    async fn writer(&self, _: &Intent, _: Option<u64>) -> Result<Box<dyn Writer>> {
        Err(Error::ReadOnly(self.id.clone()))
    }

    async fn reader(&self, url: &str, range: ByteRange, memory: Claim) -> Result<Box<dyn Reader>> {
        let body = self.web.get(url, Some(range)).await;
        let body = body.map_err(|error| self.outcome(url, &error))?;
        let memory = memory.admit().await.map_err(|_| Error::NoBuffers)?;
        Ok(Box::new(read::HttpReader::new(body, url, memory)))
    }

    /// As in Glance, a server that does not answer makes the address a bad one: nobody registers
    /// what cannot be looked at.
    async fn size(&self, url: &str) -> Result<u64> {
        let size = self.web.size(url).await;
        size.map_err(|error| match self.outcome(url, &error) {
            Error::Unavailable(_) => Error::BadAddress(location::shown(url)),
            other => other,
        })
    }

    async fn delete(&self, url: &str) -> Result<()> {
        match self.owns(url) {
            true => Err(Error::ReadOnly(self.id.clone())),
            false => Err(Error::BadAddress(location::shown(url))),
        }
    }

    async fn discard(&self, _: &Intent) -> Result<()> {
        Ok(())
    }

    fn owns(&self, url: &str) -> bool {
        Uri::parse(url).is_ok()
    }

    /// None: what is on the web is nobody's, and many images may be there.
    fn object(&self, _: &str) -> Option<String> {
        None
    }

    async fn check(&self) -> Vec<Finding> {
        let mut findings = vec![Finding::good(
            "reads what [import_filtering_opts] allows; it takes no uploads",
        )];
        if self.web.names_no_host() {
            findings.push(Finding::doubtful(
                "hosts of internal networks are refused: allowed_hosts of [import_filtering_opts] \
                 names none",
            ));
        }
        if self.web.trusts_anybody() {
            findings.push(Finding::doubtful(
                "certificates are not verified: set https_insecure = false, or \
                 https_ca_certificates_file",
            ));
        }
        findings
    }
}
