//! What the operator decides about images: plain data, built by the configuration.

use std::time::Duration;

use super::{artifact, import, signature::Certificates};
use crate::{
    data::DeclaredSize,
    model::{HashAlgorithm, Image, StoreId},
};

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
    /// `[fresnel] size_hint_property`: the property that tells what size to expect.
    pub size_hint_property: Option<String>,
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
    /// Which certificates signatures of images may have.
    pub certificates: Certificates,
    /// How images are imported.
    pub import: import::Settings,
    /// Whether artifacts are served, and which.
    pub artifacts: artifact::Settings,
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
    /// `fresnel_encryption_key`: everything in it is encrypted, and nobody is told where that is.
    pub encryption_key: Option<String>,
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
            size_hint_property: None,
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
            certificates: Certificates::default(),
            import: import::Settings::default(),
            artifacts: artifact::Settings::default(),
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

    /// Whether a store encrypts whatever is put there.
    pub fn encrypts(&self, store: &StoreId) -> bool {
        let found = self.stores.iter().find(|s| s.id == *store);
        found.is_some_and(|s| s.encryption_key.is_some())
    }

    /// What is known of an upload's size: what the client said, or else what the operator's property
    /// of the image says. A hint that is no number of bytes, or more than an image may have, is none.
    pub fn presized(&self, declared: DeclaredSize, image: &Image) -> DeclaredSize {
        let hint = || {
            let text = image.properties.get(self.size_hint_property.as_ref()?)?;
            let bytes = text.as_deref()?.trim().parse().ok()?;
            (1..=self.image_size_cap_bytes)
                .contains(&bytes)
                .then_some(DeclaredSize::Hint(bytes))
        };
        match declared {
            DeclaredSize::Unknown => hint().unwrap_or(declared),
            DeclaredSize::Exact(_) | DeclaredSize::Hint(_) => declared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::image::now, model::ImageId};

    #[test]
    fn a_hint_counts_where_nothing_is_declared() {
        let settings = Settings {
            size_hint_property: Some("source_bytes".to_owned()),
            image_size_cap_bytes: 1000,
            ..Settings::default()
        };
        let mut image = Image::queued(ImageId::new("i"), now());
        let mut with = |text: &str| {
            let value = Some(text.to_owned());
            image.properties.insert("source_bytes".to_owned(), value);
            image.clone()
        };
        let (unknown, exact) = (DeclaredSize::Unknown, DeclaredSize::Exact(5));
        assert_eq!(
            settings.presized(unknown, &with("1000")),
            DeclaredSize::Hint(1000)
        );
        assert_eq!(settings.presized(exact, &with("1000")), exact);
        for bad in ["", "0", "-1", "1001", "1e3", "10 GiB"] {
            assert_eq!(settings.presized(unknown, &with(bad)), unknown, "{bad:?}");
        }
        let none = Settings::default();
        assert_eq!(none.presized(unknown, &with("1000")), unknown);
    }
}
