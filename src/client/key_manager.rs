//! Where the certificates are that images are signed with, and the keys that encrypted images are opened
//! with (reference D.2): Barbican, or a directory.

pub mod barbican;
pub mod file;

use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    base::{
        limits::KIB,
        secret::{Passphrase, Secret},
    },
    model::ImageId,
};

pub use barbican::Barbican;
pub use file::Keyring;

/// A certificate has no more bytes; one with the largest key that we verify with has some 6 KiB.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * KIB;

/// A key or a passphrase has no more bytes; what opens a LUKS container has some 64.
pub const KEY_BYTES_MAX: usize = 512;

/// Keeps certificates and keys by their ids.
#[async_trait]
pub trait KeyManager: fmt::Debug + Send + Sync {
    /// A certificate in PEM or DER, of at most [`CERTIFICATE_BYTES_MAX`], as it is kept: whether it is one
    /// is not looked at. It is asked for in the name of whose `token` that is, where names count.
    ///
    /// # Errors
    /// See [`Error`].
    async fn certificate(&self, id: &str, token: Option<&Secret>) -> Result<Vec<u8>, Error>;

    /// What opens an encrypted image, of at most [`KEY_BYTES_MAX`]. Of a binary key it is its hexadecimal
    /// digits, as Nova, Cinder and os-brick have it.
    ///
    /// # Errors
    /// See [`Error`].
    async fn passphrase(&self, id: &str, token: Option<&Secret>) -> Result<Passphrase, Error>;

    /// Says that an image needs the key from now on. Saying it twice is saying it once.
    ///
    /// # Errors
    /// See [`Error`].
    async fn needs(&self, id: &str, image: &ImageId, token: Option<&Secret>) -> Result<(), Error>;

    /// Says that an image needs the key no more.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::NotFound`] also where nobody had said that it does.
    async fn leaves(&self, id: &str, image: &ImageId, token: Option<&Secret>) -> Result<(), Error>;

    /// Destroys a key that nobody needs, with the image whose it was.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::InUse`] where somebody does, [`Error::Unbound`].
    async fn destroy(&self, id: &str, image: &ImageId, token: Option<&Secret>)
    -> Result<(), Error>;
}

/// Why there is no certificate or key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The id is no UUID.
    #[error("that is no id")]
    NoId,
    /// There is none of that id.
    #[error("there is nothing of that id")]
    NotFound,
    /// Others need it.
    #[error("others need it")]
    InUse,
    /// Whoever may name it may not destroy it.
    #[error("it was not imported to go with that image")]
    Unbound,
    /// What has the id is something else; its format as castellan calls it.
    #[error("what has that id is something else, of the format {0}")]
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
