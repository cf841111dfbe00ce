//! How a transfer can fail, by whose fault.

use std::io;

use super::StopReason;
use super::encrypt;
use super::inspect::FormatError;
use super::signature::Refusal;
use crate::{
    base::pace,
    model::{ImageId, RangeError},
    store,
};

/// The result of a data-plane operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The outcomes of a transfer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No buffers within `admission_wait_seconds`.
    #[error("the service is busy")]
    Busy,
    /// The bytes are not those that were recorded earlier.
    #[error("the data of image {0} is not what it was")]
    Changed(ImageId),
    /// The client's bytes broke off.
    #[error("the client's data broke off")]
    Client(#[source] io::Error),
    /// What arrived is not the encrypted container that the image says it is. The text is the client's.
    #[error("Image is not as its os_encrypt_format and os_encrypt_key_id say: {0}")]
    Container(encrypt::Refusal),
    /// The content is not what the image says it is. The text is the client's.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The client sent more bytes than it declared.
    #[error("Size exceeds: expected {expected_bytes} bytes, got {received_bytes} bytes")]
    SizeExceeded {
        /// Declared.
        expected_bytes: u64,
        /// Received until it was noticed.
        received_bytes: u64,
    },
    /// The client sent fewer bytes than it declared.
    #[error("Size mismatch: expected {expected_bytes} bytes, got {received_bytes} bytes")]
    SizeMismatch {
        /// Declared.
        expected_bytes: u64,
        /// Received.
        received_bytes: u64,
    },
    /// No location has the image's data any more.
    #[error("the data of image {0} is lost")]
    Lost(ImageId),
    /// The stored container cannot be unlocked. The text is the client's.
    #[error("The image cannot be decrypted: {0}")]
    Locked(encrypt::Refusal),
    /// No such bytes in what was decrypted.
    #[error(transparent)]
    Range(RangeError),
    /// The signature is not that of these bytes.
    #[error(transparent)]
    Signature(Refusal),
    /// Control stopped the transfer.
    #[error(transparent)]
    Stopped(#[from] StopReason),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The client sent less than `min_rate_bytes_per_second`.
    #[error("the client is too slow")]
    TooSlow,
    /// The image is larger than the limit.
    #[error("image is larger than the {limit_bytes} bytes allowed")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
}

impl Error {
    /// Whether there were no buffers: nothing is wrong with the bytes, and another time they may go.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Busy | Self::Store(store::Error::NoBuffers) => true,
            // Of what is read from a store to go to others.
            Self::Client(cause) => {
                let cause = cause.get_ref();
                let cause = cause.and_then(|cause| cause.downcast_ref::<Self>());
                cause.is_some_and(Self::is_busy)
            }
            _ => false,
        }
    }
}

impl From<pace::TooSlow> for Error {
    fn from(_: pace::TooSlow) -> Self {
        Self::TooSlow
    }
}
