//! What the operator decides about images: plain data, built by the configuration.

use std::time::Duration;

use crate::model::{HashAlgorithm, StoreId};

/// Glance's options of the same names, with their units; a limit that is `None` is none
/// (Glance: a negative number).
#[derive(Clone, Debug)]
pub struct Settings {
    /// `image_member_quota`.
    pub image_member_quota: Option<u64>,
    /// `image_property_quota`; properties that begin with `os_glance` do not count.
    pub image_property_quota: Option<u64>,
    /// `image_tag_quota`.
    pub image_tag_quota: Option<u64>,
    /// `image_location_quota`.
    pub image_location_quota: Option<u64>,
    /// `user_storage_quota`, of each project; none is no quota.
    pub user_storage_quota_bytes: Option<u64>,
    /// `image_size_cap`.
    pub image_size_cap_bytes: u64,
    /// `[image_format] disk_formats`.
    pub disk_formats: Vec<String>,
    /// `[image_format] container_formats`.
    pub container_formats: Vec<String>,
    /// `[image_format] require_image_format_match`.
    pub require_image_format_match: bool,
    /// `[image_format] gpt_safety_checks_nonfatal`.
    pub gpt_safety_checks_nonfatal: Vec<String>,
    /// `[image_format] vmdk_allowed_types`.
    pub vmdk_allowed_types: Vec<String>,
    /// `hashing_algorithm`.
    pub hashing_algorithm: HashAlgorithm,
    /// `show_image_direct_url`.
    pub show_image_direct_url: bool,
    /// `show_multiple_locations`: shows locations, and lets PATCH edit them.
    pub show_multiple_locations: bool,
    /// `do_secure_hash`: the bytes of a registered location are read for their digests.
    pub do_secure_hash: bool,
    /// `http_retries`: how often more a digest is tried when its reading fails.
    pub http_retries: u32,
    /// `delayed_delete`: what is deleted waits for `fresnel scrub`.
    pub delayed_delete: bool,
    /// `scrub_time`: how long it waits at least.
    pub scrub_time: Duration,
    /// Whether `enabled_backends` is set. Without it the service answers as Glance's
    /// single-store mode does.
    pub multistore: bool,
    /// What is told of each store, in the order of `enabled_backends`.
    pub stores: Vec<StoreSettings>,
}

/// What is told of a store beside what it is.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The key in `enabled_backends`.
    pub id: StoreId,
    /// `store_description`.
    pub description: Option<String>,
    /// `weight`: locations in heavier stores come first.
    pub weight: i64,
    /// Takes no uploads (http).
    pub read_only: bool,
    /// What `GET /v2/info/stores/detail` tells besides (reference A.9), by kind of store.
    pub properties: serde_json::Map<String, serde_json::Value>,
}

impl Default for Settings {
    fn default() -> Self {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        Self {
            image_member_quota: Some(128),
            image_property_quota: Some(128),
            image_tag_quota: Some(128),
            image_location_quota: Some(10),
            user_storage_quota_bytes: None,
            image_size_cap_bytes: 1 << 40,
            disk_formats: words("ami ari aki vhd vhdx vmdk raw qcow2 vdi iso ploop"),
            container_formats: words("ami ari aki bare ovf ova docker compressed"),
            require_image_format_match: true,
            gpt_safety_checks_nonfatal: Vec::new(),
            vmdk_allowed_types: words("streamOptimized monolithicSparse"),
            hashing_algorithm: HashAlgorithm::Sha512,
            show_image_direct_url: false,
            show_multiple_locations: false,
            do_secure_hash: true,
            http_retries: 3,
            delayed_delete: false,
            scrub_time: Duration::ZERO,
            multistore: false,
            stores: Vec::new(),
        }
    }
}

impl Settings {
    /// The weight of a store; 0 when it has none.
    pub fn weight(&self, store: &StoreId) -> i64 {
        let found = self.stores.iter().find(|s| s.id == *store);
        found.map_or(0, |s| s.weight)
    }
}
