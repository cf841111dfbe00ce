//! An image as the database holds it and the API shows it (reference A.3.1, K).

use std::{collections::BTreeMap, fmt, str::FromStr};

use chrono::NaiveDateTime;

use super::{ImageId, Location, ProjectId, Status};

/// One image with its properties, tags and locations.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// At most 255 characters.
    pub name: Option<String>,
    /// Where it is in its life.
    pub status: Status,
    /// Who sees it.
    pub visibility: Visibility,
    /// May not be deleted.
    pub protected: bool,
    /// Left out of lists unless asked for.
    pub os_hidden: bool,
    /// One of the configured container formats.
    pub container_format: Option<String>,
    /// One of the configured disk formats.
    pub disk_format: Option<String>,
    /// Bytes stored; none until there is data.
    pub size_bytes: Option<u64>,
    /// Bytes of the disk inside; none until it is known.
    pub virtual_size_bytes: Option<u64>,
    /// MD5, 32 hexadecimal digits.
    pub checksum: Option<String>,
    /// The algorithm of `os_hash_value`.
    pub os_hash_algo: Option<String>,
    /// Hexadecimal digits.
    pub os_hash_value: Option<String>,
    /// GiB.
    pub min_disk_gib: i32,
    /// MiB.
    pub min_ram_mib: i32,
    /// The project that owns it.
    pub owner: Option<ProjectId>,
    /// UTC.
    pub created_at: NaiveDateTime,
    /// UTC.
    pub updated_at: NaiveDateTime,
    /// Set once the image is deleted.
    pub deleted_at: Option<NaiveDateTime>,
    /// Custom properties. NULL is kept: rows of the v1 API have it.
    pub properties: BTreeMap<String, Option<String>>,
    /// Tags, each at most 255 characters.
    pub tags: Vec<String>,
    /// Where the bytes are, in the order they were added.
    pub locations: Vec<Location>,
}

impl Image {
    /// An image without data, name, formats, owner and children, shared with nobody yet: what every
    /// image is before anything else is known of it.
    pub fn queued(id: ImageId, created_at: NaiveDateTime) -> Self {
        Self {
            id,
            name: None,
            status: Status::Queued,
            visibility: Visibility::Shared,
            protected: false,
            os_hidden: false,
            container_format: None,
            disk_format: None,
            size_bytes: None,
            virtual_size_bytes: None,
            checksum: None,
            os_hash_algo: None,
            os_hash_value: None,
            min_disk_gib: 0,
            min_ram_mib: 0,
            owner: None,
            created_at,
            updated_at: created_at,
            deleted_at: None,
            properties: BTreeMap::new(),
            tags: Vec::new(),
            locations: Vec::new(),
        }
    }
}

/// Who sees an image (reference A.4.3, C.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Everybody, but only listed for its owner.
    Community,
    /// Its owner and the members.
    Shared,
    /// Its owner.
    Private,
}

impl Visibility {
    /// The text of the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Community => "community",
            Self::Shared => "shared",
            Self::Private => "private",
        }
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is none of the expected words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected value {0:?}")]
pub struct UnknownWord(pub String);

impl FromStr for Visibility {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Public, Self::Community, Self::Shared, Self::Private]
            .into_iter()
            .find(|v| v.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// A project with which an image is shared (reference A.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The image.
    pub image_id: ImageId,
    /// The project that it is shared with.
    pub member: ProjectId,
    /// What that project said.
    pub status: MemberStatus,
    /// UTC.
    pub created_at: NaiveDateTime,
    /// UTC.
    pub updated_at: NaiveDateTime,
}

/// What a member said to an offered image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberStatus {
    /// Nothing yet.
    Pending,
    /// Lists it.
    Accepted,
    /// Does not list it.
    Rejected,
}

impl MemberStatus {
    /// The text of the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}

impl FromStr for MemberStatus {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Pending, Self::Accepted, Self::Rejected]
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| UnknownWord(text.to_owned()))
    }
}
