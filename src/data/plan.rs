//! All that crosses between control and data: plain data, no handles.

use super::encrypt::{Check, Format, Plain, Seal};
use super::signature::Signature;
use crate::model::{ByteRange, Digests, HashAlgorithm, ImageId, StoreId};
use crate::store::Intent;

/// What an upload is to do, decided before its first byte.
#[derive(Clone, Debug)]
pub struct WritePlan {
    /// The image.
    pub image: ImageId,
    /// What was said of the size.
    pub size: DeclaredSize,
    /// More than this is [`Error::TooLarge`](super::Error::TooLarge).
    pub limit_bytes: u64,
    /// Where the bytes go.
    pub targets: Vec<Target>,
    /// The algorithm of `os_hash_value`. None: nobody asks for digests yet.
    pub os_hash_algo: Option<HashAlgorithm>,
    /// Digests beside those, which are no image's.
    pub more_digests: Vec<HashAlgorithm>,
    /// What the content must be. None: nobody asks yet.
    pub expect: Option<Expect>,
    /// What the bytes are known to hash to, as far as that is known; others are
    /// [`Error::Changed`](super::Error::Changed), and are published nowhere.
    pub known: Known,
    /// What must have signed the bytes; others are [`Error::Signature`](super::Error::Signature), and are
    /// published nowhere.
    pub signature: Option<Signature>,
    /// What the bytes have to do with encryption.
    pub encryption: Encryption,
}

/// What an upload's bytes have to do with encryption.
#[derive(Clone, Debug, Default)]
pub enum Encryption {
    /// Nothing: they are stored as they come, and nobody asks whether somebody has encrypted them.
    #[default]
    None,
    /// They are plain, and become a container.
    Seal(Seal),
    /// They must be a container, or are [`Error::Container`](super::Error::Container).
    Check(Check),
}

impl Encryption {
    /// What a size becomes in the stores.
    pub fn stored(&self, size: DeclaredSize) -> DeclaredSize {
        let Self::Seal(seal) = self else {
            return size;
        };
        match size {
            DeclaredSize::Exact(bytes) => DeclaredSize::Exact(seal.format.container_bytes(bytes)),
            DeclaredSize::Hint(bytes) => DeclaredSize::Hint(seal.format.container_bytes(bytes)),
            DeclaredSize::Unknown => size,
        }
    }
}

/// Digests that were recorded earlier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// MD5.
    pub checksum: Option<String>,
    /// By [`WritePlan::os_hash_algo`].
    pub os_hash_value: Option<String>,
}

/// What is known of an upload's size before it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredSize {
    /// Binding: fewer or more bytes are an error.
    Exact(u64),
    /// Only presizes.
    Hint(u64),
    /// Nothing.
    Unknown,
}

impl DeclaredSize {
    /// What to presize with.
    pub fn hint(self) -> Option<u64> {
        match self {
            Self::Exact(bytes) | Self::Hint(bytes) => Some(bytes),
            Self::Unknown => None,
        }
    }

    /// What the bytes will be, or there is an error.
    pub fn exact(self) -> Option<u64> {
        match self {
            Self::Exact(bytes) => Some(bytes),
            Self::Hint(_) | Self::Unknown => None,
        }
    }
}

/// One store that gets the bytes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The store.
    pub store: StoreId,
    /// Where in it; already in the journal.
    pub intent: Intent,
    /// Whether the upload fails when this target does.
    pub required: bool,
}

/// What the content must be (reference D.3, D.4).
#[derive(Clone, Debug)]
pub struct Expect {
    /// The image's disk format.
    pub disk_format: String,
    /// The image's container format; content is inspected only when it is `bare`.
    pub container_format: String,
    /// `[image_format] require_image_format_match`: a mismatch is an error, else a warning. What is
    /// unsafe is an error in any case.
    pub require_match: bool,
    /// `[image_format] gpt_safety_checks_nonfatal`.
    pub gpt_safety_checks_nonfatal: Vec<String>,
    /// The container that the image says its data is encrypted in: LUKS where `disk_format` has another
    /// word for it, and qcow2 only with LUKS inside.
    pub encrypted: Option<Format>,
}

/// What an upload did to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The store.
    pub store: StoreId,
    /// The address of the object.
    pub url: String,
    /// Bytes that were stored: those that the client sent, or a container with them.
    pub size_bytes: u64,
    /// Of the bytes that were stored; none where nobody asked for any.
    pub digests: Option<Digests>,
    /// By [`WritePlan::more_digests`], in their order.
    pub more_digests: Vec<String>,
    /// Bytes of the disk inside, where the format tells.
    pub virtual_size_bytes: Option<u64>,
    /// What the container is of that was made of the client's bytes.
    pub plain: Option<Plain>,
}

/// What a download is to do, decided before its first byte.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    /// The image.
    pub image: ImageId,
    /// Where the bytes may be had, best first.
    pub locations: Vec<(StoreId, String)>,
    /// Which of them.
    pub range: ByteRange,
}

/// Why control stops a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// Nobody waits for the outcome any more.
    #[error("the client went away")]
    ClientGone,
    /// The image was deleted meanwhile.
    #[error("the image was deleted")]
    Deleted,
    /// The service is going down and its drain time is over.
    #[error("the service is shutting down")]
    Draining,
    /// Another node may have taken the image over.
    #[error("the lease on the image was lost")]
    LeaseLost,
    /// The journal does not take what the transfer is about to do.
    #[error("the journal cannot be written")]
    Unrecorded,
    /// No room left for the project.
    #[error("the quota is spent")]
    QuotaSpent,
}
