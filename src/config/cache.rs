//! The image cache (reference F).

use std::{path::Path, time::Duration};

use super::{fresnel::Fresnel, keystone::Flavor, option::section, reader::Reader, value::Value};
use crate::{base::limits::MIB, cache, control};

/// A reader of the cache that waits so long for bytes which another request fetches goes to the store
/// itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// Our part of `image_cache_dir`: a Glance beside us must not take a sparse file for an image.
const OURS: &str = "fresnel";

section! {
    /// Images on this node's own disk. A flavor with `caching` or `cachemanagement` sends downloads
    /// through them.
    ImageCache in "DEFAULT" {
        /// Directory of cached images, which has ours in `fresnel`. A Glance that uses the same one
        /// and this service neither see nor touch each other's. Unset: no cache, and no API of it.
        image_cache_dir: Option<String>;
        /// Bytes of all cached images together. It holds at any time: images are removed before others
        /// come in, and larger ones are not cached.
        image_cache_max_size: u64 = "10737418240";
        /// Seconds for which an image that is cached in part may stand still before
        /// `POST /v2/cache/clean` removes it.
        image_cache_stall_time: u32 = "86400";
        /// `centralized_db`: what is cached is recorded in the database, under
        /// `worker_self_reference_url`, where that is set. `sqlite` and `xattr`: it is not. What the
        /// cache itself knows is beside its files in any case.
        image_cache_driver: Driver = "centralized_db";
    }
}

/// Who keeps the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    CentralizedDb,
    Local,
}

impl Value for Driver {
    const KIND: &'static str = "one of `centralized_db`, `sqlite`, `xattr`";

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "centralized_db" => Ok(Self::CentralizedDb),
            "sqlite" | "xattr" => Ok(Self::Local),
            _ => Err(format!("{text:?} is not {}", Self::KIND)),
        }
    }
}

/// The cache of a node.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Where and how large.
    pub bytes: cache::Config,
    /// What goes through it.
    pub images: control::cache::Settings,
}

/// Reads all of it; none where there is no cache.
pub(super) fn read(
    reader: &mut Reader<'_>,
    flavor: Flavor,
    fresnel: &Fresnel,
    warnings: &mut Vec<String>,
) -> Option<Cache> {
    let options = ImageCache::read(reader, &["DEFAULT"]);
    let Some(dir) = options.image_cache_dir.filter(|dir| !dir.is_empty()) else {
        if flavor.caches {
            let text = "[paste_deploy] flavor: nothing is cached without [DEFAULT] image_cache_dir";
            warnings.push(text.to_owned());
        }
        return None;
    };
    let own = reader.text("DEFAULT", "worker_self_reference_url");
    let node_url = own.map(|(url, _)| url).filter(|url| !url.is_empty());
    let is_central = options.image_cache_driver == Driver::CentralizedDb;
    if is_central && node_url.is_none() {
        warnings.push(
            "[DEFAULT] image_cache_driver: what is cached is recorded nowhere without \
             worker_self_reference_url"
                .to_owned(),
        );
    }
    Some(Cache {
        bytes: cache::Config {
            dir: Path::new(&dir).join(OURS),
            limit_bytes: options.image_cache_max_size,
            free_bytes: bytes(fresnel.cache_free_disk_mib),
            patience: PATIENCE,
            fill_bytes_per_second: fresnel.cache_fill_bytes_per_second_max,
            lag_bytes: Some(bytes(fresnel.cache_fill_lag_mib)).filter(|bytes| *bytes > 0),
        },
        images: control::cache::Settings {
            serves_downloads: flavor.caches,
            has_old_paths: flavor.manages_cache,
            stall: Duration::from_secs(options.image_cache_stall_time.into()),
            node_url: node_url.filter(|_| is_central),
            is_central,
        },
    })
}

fn bytes(mib: u32) -> u64 {
    u64::from(mib) * MIB as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{error, load_text};

    #[test]
    fn a_directory_makes_a_cache_and_the_flavor_sends_downloads_through_it() {
        let with = |flavor: &str| {
            let text = format!(
                "[DEFAULT]\nimage_cache_dir = /c\nimage_cache_max_size = 5\n\
                 worker_self_reference_url = http://n\n[paste_deploy]\nflavor = {flavor}\n"
            );
            load_text(&text).unwrap().cache.unwrap()
        };
        let cache = with("cachemanagement");
        assert_eq!(cache.bytes.dir, Path::new("/c/fresnel"));
        assert_eq!(cache.bytes.limit_bytes, 5);
        assert_eq!(cache.images.node_url.as_deref(), Some("http://n"));
        assert!(cache.images.serves_downloads);
        assert!(!with("").images.serves_downloads);
    }

    #[test]
    fn a_flavor_alone_caches_nothing_and_says_so() {
        let config = load_text("[paste_deploy]\nflavor = caching\n").unwrap();
        assert!(config.cache.is_none());
        assert!(config.warnings[0].contains("image_cache_dir"));
        assert!(load_text("").unwrap().warnings.is_empty());
    }

    #[test]
    fn a_driver_is_one_of_glances() {
        let refused = error("[DEFAULT]\nimage_cache_driver = redis\n");
        assert!(refused.contains("redis"), "{refused}");
    }
}
