//! Artifacts: typed records with versions, links and blobs (reference J.2).

use serde_json::{Map, Value};

use super::{Digests, ImageId, ProjectId, StoreId};

/// A record of some type.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// A UUID.
    pub id: String,
    /// The type's name.
    pub type_name: String,
    /// The type's name for people.
    pub display_type_name: Option<String>,
    /// With the version, unique in its type among what is public, and among its owner's private ones.
    pub name: String,
    /// A semantic version in full.
    pub version: String,
    /// Bytes that order as versions do.
    pub version_key: String,
    /// Whose it is.
    pub owner: ProjectId,
    /// Whether others see it.
    pub visibility: Visibility,
    /// Where in its life it is.
    pub status: Status,
    /// For people.
    pub description: Option<String>,
    /// Tags, and the fields of its type but for blobs, as far as they are set.
    pub fields: Map<String, Value>,
    /// Microseconds since 1970.
    pub created_at_us: i64,
    /// Microseconds since 1970.
    pub updated_at_us: i64,
    /// Microseconds since 1970; none before it was active.
    pub activated_at_us: Option<i64>,
    /// Counts changes, so that one that is based on an older state is refused.
    pub revision: i64,
    /// Bytes that belong to it, or are on their way.
    pub blobs: Vec<Blob>,
}

impl Artifact {
    /// What a client sees in a field, or in a folder under a key: bytes that are there before those
    /// that are to take their place.
    pub fn blob(&self, field: &str, key: Option<&str>) -> Option<&Blob> {
        let is_it = |blob: &&Blob| blob.field == field && blob.key.as_deref() == key;
        let found = self.blobs.iter().filter(is_it);
        found.min_by_key(|blob| blob.status != BlobStatus::Active)
    }

    /// Whether bytes are on their way into that place.
    pub fn is_filling(&self, field: &str, key: Option<&str>) -> bool {
        let saving = self.blobs.iter().filter(|b| b.status == BlobStatus::Saving);
        let mut places = saving.map(|blob| (blob.field.as_str(), blob.key.as_deref()));
        places.any(|place| place == (field, key))
    }
}

/// Bytes of an artifact, or an address where they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob {
    /// Under which stores keep it, as they keep images.
    pub id: ImageId,
    /// The field.
    pub field: String,
    /// In a folder.
    pub key: Option<String>,
    /// Where the bytes are; none until they are there.
    pub url: Option<String>,
    /// The store that has them; none for another service's.
    pub store: Option<StoreId>,
    /// Its bytes; while they come, those that are reserved. None where nobody told.
    pub size_bytes: Option<u64>,
    /// In lower-case hexadecimal digits, or as a client told of an external one.
    pub md5: Option<String>,
    /// The same.
    pub sha1: Option<String>,
    /// The same.
    pub sha256: Option<String>,
    /// Somewhere else: clients are sent there.
    pub external: bool,
    /// Whether it can be read.
    pub status: BlobStatus,
    /// The media type.
    pub content_type: Option<String>,
}

impl Blob {
    /// One of whose bytes there are none yet.
    pub fn saving(field: String, key: Option<String>, content_type: Option<String>) -> Self {
        Self {
            id: ImageId::random(),
            field,
            key,
            url: None,
            store: None,
            size_bytes: None,
            md5: None,
            sha1: None,
            sha256: None,
            external: false,
            status: BlobStatus::Saving,
            content_type,
        }
    }

    /// Takes over what an upload came to.
    pub fn complete(&mut self, url: String, size_bytes: u64, digests: Digests, sha1: String) {
        self.url = Some(url);
        self.size_bytes = Some(size_bytes);
        self.md5 = Some(digests.checksum);
        self.sha256 = Some(digests.os_hash_value);
        self.sha1 = Some(sha1);
        self.status = BlobStatus::Active;
    }
}

/// A word of the database, each with its text.
macro_rules! words {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $word:ident = $text:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])+ $word,)+
        }

        impl $name {
            /// The text of the database and the API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)+
                }
            }

            /// By its text.
            pub fn named(text: &str) -> Option<Self> {
                [$(Self::$word),+].into_iter().find(|word| word.as_str() == text)
            }
        }
    };
}

words! {
    /// Where in its life an artifact is. Deleted ones are not there any more.
    Status {
        /// Being put together.
        Drafted = "drafted",
        /// Fixed, but for fields that stay mutable.
        Active = "active",
        /// Only administrators read its blobs.
        Deactivated = "deactivated",
    }
}

words! {
    /// Who sees an artifact.
    Visibility {
        /// Its owner.
        Private = "private",
        /// Everybody. There is no way back.
        Public = "public",
    }
}

words! {
    /// What there is of a blob.
    BlobStatus {
        /// Its bytes are on their way.
        Saving = "saving",
        /// It can be read.
        Active = "active",
        /// Nobody's any more: its bytes are to be removed.
        PendingDelete = "pending_delete",
    }
}
