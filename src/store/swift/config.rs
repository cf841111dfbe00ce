//! What an operator says of a Swift store.

use crate::{base::limits::MIB, client::swift, model::ImageId};

/// Bytes of a segment: several of them are on their way at once.
const SEGMENT_BYTES: usize = 16 * MIB;

/// A Swift store.
#[derive(Clone, Debug)]
pub struct Config {
    /// The account of `default_swift_reference`, which uploads go to.
    pub default: Reference,
    /// Every account that addresses may name, the default one among them.
    pub references: Vec<Reference>,
    /// `swift_store_container`, or the first part of containers' names.
    pub container: String,
    /// `swift_store_multiple_containers_seed`: so many digits of an image's id end the name of its
    /// container.
    pub seed_digits: usize,
    /// `swift_store_create_container_on_put`.
    pub create_container: bool,
    /// The largest segment.
    pub segment_bytes: usize,
    /// `swift_store_retry_get_count`: how often a download that breaks off is taken up again.
    pub get_retries: u32,
}

/// An account by the name that addresses have for it: a section of `swift_store_config_file`.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The name.
    pub name: String,
    /// `auth_address` without scheme and slashes, as addresses with credentials have it.
    pub auth_address: String,
    /// `account:user`, as addresses with credentials have it; none for an application credential.
    pub user: Option<String>,
    /// How it is reached.
    pub account: swift::Config,
}

impl Config {
    /// A store in one container of an account, with the defaults of everything else.
    pub fn in_container(reference: Reference, container: impl Into<String>) -> Self {
        Self {
            references: vec![reference.clone()],
            default: reference,
            container: container.into(),
            seed_digits: 0,
            create_container: false,
            segment_bytes: SEGMENT_BYTES,
            get_retries: 0,
        }
    }

    /// The container of an image.
    pub(super) fn container_of(&self, image: &ImageId) -> String {
        if self.seed_digits == 0 {
            return self.container.clone();
        }
        let id = image.as_str().to_lowercase();
        // As Glance counts them: dashes among the first digits are added to those, once.
        let dashes = id.chars().take(self.seed_digits).filter(|c| *c == '-');
        let len = self.seed_digits + dashes.count();
        let suffix: String = id.chars().take(len).collect();
        format!("{}_{suffix}", self.container)
    }

    /// Whether a container can be one of those that images are spread over.
    pub(super) fn is_container(&self, name: &str) -> bool {
        let suffix = name.strip_prefix(self.container.as_str());
        let suffix = suffix.and_then(|suffix| suffix.strip_prefix('_'));
        suffix.is_some_and(|suffix| {
            let is_of_id = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
            suffix.len() >= self.seed_digits && suffix.bytes().all(is_of_id)
        })
    }
}

/// The bytes of a segment, by `swift_store_large_object_chunk_size` in MB: its own where that is
/// smaller than what we gather.
pub fn segment_bytes(mebibytes: u32) -> usize {
    let wanted = (mebibytes as usize).saturating_mul(MIB);
    wanted.clamp(MIB, SEGMENT_BYTES)
}
