//! Stores of type `s3` (reference E.4).

use std::{path::PathBuf, time::Duration};

use serde_json::{Map, Value};

use super::{AnyStore, Kind, Store, set};
use crate::{
    base::{limits::MIB, secret::Secret},
    config::{option::section, reader::Reader, value::Value as OptionValue},
    store::s3::{Addressing, Config, config::is_dns_label},
};

section! {
    /// A store of type `s3`: in the section of its name or in `[backend_defaults]`, and in
    /// `[glance_store]` where there are no `enabled_backends`.
    S3Store in "glance_store" {
        /// URL of the S3 server; a host without a scheme is reached without TLS. It stands in the
        /// images' addresses as it is written here.
        s3_store_host: Option<String>;
        /// Region; unset takes it from the name of an AWS server, else `us-east-1`.
        s3_store_region_name: Option<String>;
        /// Access key.
        s3_store_access_key: Option<Secret>;
        /// Secret key.
        s3_store_secret_key: Option<Secret>;
        /// Bucket of the images.
        s3_store_bucket: Option<String>;
        /// Make the bucket where there is none.
        s3_store_create_bucket_on_put: bool = "false";
        /// Where requests name the bucket: `path`, `virtual` (in the host's name), or `auto`, which is
        /// `virtual` at AWS and `path` elsewhere.
        s3_store_bucket_url_format: Addressing = "auto";
        /// MiB from which Glance uploads an image in parts. Only shown by
        /// `/v2/info/stores/detail`: here every image is uploaded in parts.
        s3_store_large_object_size: i64 = "100", min 0;
        /// MiB of Glance's parts. Only shown, too: parts have 16 MiB, less where `[fresnel]
        /// memory_limit_mib` is small, and more for images that 10,000 of them could not hold.
        s3_store_large_object_chunk_size: i64 = "10", min 5;
        /// Threads of a Glance's upload. Only shown, too.
        s3_store_thread_pools: i64 = "10", min 1;
        /// PEM file with the authorities to trust; unset takes the system's.
        s3_store_cacert: Option<String>;
        /// Whether the next two options count.
        s3_store_enable_data_integrity_protection: bool = "false";
        /// `when_supported` sends the CRC-32 of each part with it. `fresnel store check` tells whether the
        /// server looks at it.
        s3_store_request_checksum_calculation: Checksums = "when_required";
        /// Has no effect: images are read in ranges, for which S3 has no checksums.
        s3_store_response_checksum_validation: Checksums = "when_required";
        /// Send the MD5 of each part with it, for servers that look at nothing else. It costs as much
        /// CPU time as the image's `checksum`.
        fresnel_s3_content_md5: bool = "false";
        /// Seconds after which a request that does not move is given up, and for which one that the
        /// server fails is repeated.
        fresnel_s3_timeout_seconds: u32 = "60", min 1;
    }
}

/// When checksums are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksums {
    WhenRequired,
    WhenSupported,
}

impl OptionValue for Checksums {
    const KIND: &'static str = "one of `when_required`, `when_supported`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "when_required" => Ok(Self::WhenRequired),
            "when_supported" => Ok(Self::WhenSupported),
            _ => Err(format!("{text:?} is not {}", Self::KIND)),
        }
    }
}

impl OptionValue for Addressing {
    const KIND: &'static str = "one of `auto`, `path`, `virtual`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "path" => Ok(Self::Path),
            "virtual" => Ok(Self::Virtual),
            _ => Err(format!("{text:?} is not {}", Self::KIND)),
        }
    }
}

/// A store of type s3.
pub(super) fn store(
    reader: &mut Reader<'_>,
    id: &str,
    sections: &[&str],
    warnings: &mut Vec<String>,
) -> Store {
    let own = S3Store::read(reader, sections);
    let any = AnyStore::read(reader, sections);
    let section = sections[0];
    let told = told(&own);
    let mut must = |option, value: Option<String>| {
        let value = set(value);
        if value.is_none() {
            reader.refuse(section, option, "must be set");
        }
        value.unwrap_or_default()
    };
    let mut config = Config::new(
        must("s3_store_host", own.s3_store_host),
        must("s3_store_bucket", own.s3_store_bucket),
        own.s3_store_access_key.unwrap_or_else(nothing),
        own.s3_store_secret_key.unwrap_or_else(nothing),
    );
    for (option, key) in [
        ("s3_store_access_key", &config.access_key),
        ("s3_store_secret_key", &config.secret_key),
    ] {
        if key.expose().is_empty() {
            reader.refuse(section, option, "must be set");
        }
    }
    config.region = set(own.s3_store_region_name);
    config.addressing = own.s3_store_bucket_url_format;
    config.create_bucket = own.s3_store_create_bucket_on_put;
    config.checksums = own.s3_store_enable_data_integrity_protection
        && own.s3_store_request_checksum_calculation == Checksums::WhenSupported;
    config.content_md5 = own.fresnel_s3_content_md5;
    config.ca_file = set(own.s3_store_cacert).map(PathBuf::from);
    config.patience = Duration::from_secs(own.fresnel_s3_timeout_seconds.into());
    if !config.host.is_empty()
        && let Err(error) = config.reach()
    {
        reader.refuse(section, "s3_store_host", &error.to_string());
    }
    if config.addressing == Addressing::Virtual && !is_dns_label(&config.bucket) {
        let reason = format!("{:?} cannot be part of a host's name", config.bucket);
        reader.refuse(section, "s3_store_bucket", &reason);
    }
    if own.s3_store_enable_data_integrity_protection
        && own.s3_store_response_checksum_validation == Checksums::WhenSupported
    {
        warnings.push(format!(
            "[{section}] s3_store_response_checksum_validation = when_supported has no effect: images \
             are read in ranges, for which S3 has no checksums"
        ));
    }
    Store {
        settings: any.settings(id, told),
        kind: Kind::S3(config),
    }
}

fn nothing() -> Secret {
    Secret::new(String::new())
}

/// What `GET /v2/info/stores/detail` tells of an S3 store, as Glance does.
fn told(own: &S3Store) -> Map<String, Value> {
    let bytes = |mebibytes: i64| Value::from(mebibytes.saturating_mul(MIB as i64));
    Map::from_iter([
        (
            "s3_store_large_object_size".to_owned(),
            bytes(own.s3_store_large_object_size),
        ),
        (
            "s3_store_large_object_chunk_size".to_owned(),
            bytes(own.s3_store_large_object_chunk_size),
        ),
        (
            "s3_store_thread_pools".to_owned(),
            own.s3_store_thread_pools.into(),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{error, load_text, shown};

    #[test]
    fn the_one_store_may_be_a_bucket() {
        let lines = "[glance_store]\nstores = s3\ndefault_store = s3\ns3_store_host = https://s3.example.com\n\
                     s3_store_access_key = AK\ns3_store_secret_key = hunter2\n\
                     s3_store_request_checksum_calculation = when_supported\n";
        let config = load_text(&format!("{lines}s3_store_bucket = glance")).unwrap();
        let secret = shown(&config, "glance_store", "s3_store_secret_key");
        assert_eq!(secret, ["***"]);
        assert!(!format!("{:?}", config.stores).contains("hunter2"));
        let Store { settings, kind } = &config.stores.stores[0];
        let Kind::S3(s3) = kind else {
            panic!("{kind:?}")
        };
        assert_eq!(s3.secret_key.expose(), "hunter2");
        // Without s3_store_enable_data_integrity_protection it does not count.
        assert!(!s3.checksums);
        assert_eq!(settings.properties["s3_store_large_object_size"], 100 << 20);
        assert!(error(lines).ends_with("[glance_store] s3_store_bucket: must be set"));
        let text = format!("{lines}s3_store_bucket = a.b\ns3_store_bucket_url_format = virtual");
        assert!(error(&text).contains("cannot be part of a host's name"));
    }
}
