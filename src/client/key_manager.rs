//! Where the certificates are that images are signed with (reference D.2): Barbican, or a directory.

pub mod barbican;
pub mod file;

use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

use crate::base::{limits::KIB, secret::Secret};

pub use barbican::Barbican;
pub use file::Keyring;

/// A certificate has no more bytes; one with the largest key that we verify with has some 6 KiB.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * KIB;

/// Keeps certificates by their ids.
#[async_trait]
pub trait KeyManager: fmt::Debug + Send + Sync {
    /// A certificate in PEM or DER, of at most [`CERTIFICATE_BYTES_MAX`], as it is kept: whether it is one
    /// is not looked at. It is asked for in the name of whose `token` that is, where names count.
    ///
    /// # Errors
    /// See [`Error`].
    async fn certificate(&self, id: &str, token: Option<&Secret>) -> Result<Vec<u8>, Error>;
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The id is no UUID.
    #[error("that is no id")]
    NoId,
    /// There is none of that id.
    #[error("there is no certificate of that id")]
    NotFound,
    /// What has the id is something else; its format as castellan calls it.
    #[error("what has that id is no certificate, but {0}")]
    OtherKind(&'static str),
    /// It cannot be had. The text is for the log.
    #[error("{0}")]
    Unavailable(String),
}

/// The id as a path may have it. Everything in a key manager has a UUID.
fn checked(id: &str) -> Result<String, Error> {
    let id = Uuid::try_parse(id).map_err(|_| Error::NoId)?;
    Ok(id.hyphenated().to_string())
}
