//! `[DEFAULT]`: what clients are told, logs, quotas, the list of stores.

use std::path::PathBuf;

use super::{
    option::section,
    value::{Pairs, Value},
};
use crate::{base::telemetry, model::HashAlgorithm};

section! {
    /// What clients are told.
    Api in "DEFAULT" {
        /// The URL of this service in versions documents, where it is not the one that the client
        /// asked (behind a proxy).
        public_endpoint: Option<String>;
        /// Images in one page of a list when the client names no limit.
        limit_param_default: u32 = "25", min 1;
        /// Most images in one page of a list, whatever the client asks for.
        api_limit_max: u32 = "1000", min 1;
        /// Bytes of a request id that a client may choose; 0 is no limit.
        max_request_id_length: u32 = "64";
    }
}

impl Api {
    /// For the layer that answers.
    pub(crate) fn settings(self, image_schema_json: Option<String>) -> crate::api::Settings {
        crate::api::Settings {
            public_endpoint: self.public_endpoint,
            max_request_id_length: self.max_request_id_length as usize,
            limit_param_default: self.limit_param_default.into(),
            api_limit_max: self.api_limit_max.into(),
            image_schema_json,
            ..crate::api::Settings::default()
        }
    }
}

section! {
    /// What goes to the log and where. `RUST_LOG`, where it is set, decides the levels instead of
    /// `debug`.
    Logs in "DEFAULT" {
        /// Log at level debug instead of info.
        debug: bool = "false";
        /// Write lines of JSON instead of text.
        use_json: bool = "false";
        /// Append the log to this file instead of writing it to standard error. A relative name is
        /// below `log_dir`.
        log_file: Option<String>, was &[("DEFAULT", "logfile")];
        /// Directory of `log_file`; without that, of `fresnel.log`.
        log_dir: Option<String>, was &[("DEFAULT", "logdir")];
        /// Look each second whether the log file still has its name, and go on in the one that has it, as
        /// a rotation by renaming wants it. Without it SIGHUP says so.
        watch_log_file: bool = "false";
        /// Write to standard error too where the log goes to a file.
        use_stderr: bool = "false";
    }
}

impl Logs {
    /// For the layer that writes them.
    pub(crate) fn settings(self) -> telemetry::Config {
        let dir = self.log_dir.map(PathBuf::from);
        let file = match (dir, self.log_file) {
            (Some(dir), file) => Some(dir.join(file.as_deref().unwrap_or("fresnel.log"))),
            (None, file) => file.map(PathBuf::from),
        };
        telemetry::Config {
            debug: self.debug,
            json: self.use_json,
            file,
            stderr: self.use_stderr,
            follow: self.watch_log_file,
        }
    }
}

section! {
    /// What an image may be. A negative quota is none.
    Images in "DEFAULT" {
        /// Algorithm of `os_hash_value`: a name of Python's `hashlib` (`sha512`, `blake2b`, ...).
        hashing_algorithm: HashAlgorithm = "sha512";
        /// Members of one image.
        image_member_quota: Quota = "128";
        /// Properties of one image; those that begin with `os_glance` do not count.
        image_property_quota: Quota = "128";
        /// Tags of one image.
        image_tag_quota: Quota = "128";
        /// Locations of one image.
        image_location_quota: Quota = "10";
        /// Bytes of one image.
        image_size_cap: u64 = "1099511627776", min 1, max 1 << 63;
        /// Bytes that the images of one project may have in stores, each location counted: a number
        /// with `B`, `KB`, `MB`, `GB` or `TB` (of 1024), or without (bytes); 0 is no limit.
        user_storage_quota: Bytes = "0";
        /// Show where an image's bytes are as `direct_url`. Addresses may tell more than users
        /// should know.
        show_image_direct_url: bool = "false";
        /// Show and take all of an image's addresses as `locations`. Addresses may tell more than
        /// users should know.
        show_multiple_locations: bool = "false";
        /// Read the bytes of every location that a service registers (`POST .../locations`), for
        /// their digests. Without it the image has the digest that the service names, or none.
        do_secure_hash: bool = "true";
        /// How often more such a reading is tried when it fails.
        http_retries: u32 = "3";
        /// Let a deleted image wait as `pending_delete`, with its data, until `fresnel scrub` (or
        /// `glance-scrubber`) removes it. Run one of them regularly.
        delayed_delete: bool = "false";
        /// Seconds that it waits at least.
        scrub_time: u32 = "0";
    }
}

section! {
    /// Which stores there are.
    Backends in "DEFAULT" {
        /// Stores by name, as `name:type` pairs; each has its options in the section of its name.
        /// Without it there is one store, set up in `[glance_store]`.
        enabled_backends: Option<Pairs>;
    }
}

/// A number of things that an image may have; none when it is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota(pub(crate) Option<u64>);

impl Value for Quota {
    const KIND: &'static str = "integer";

    fn parse(text: &str) -> Result<Self, String> {
        i64::parse(text).map(|number| Self(u64::try_from(number).ok()))
    }
}

/// A number of bytes with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl Value for Bytes {
    const KIND: &'static str = "size";

    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match &text[digits.len()..] {
            "" | "B" => 0,
            "KB" => 10,
            "MB" => 20,
            "GB" => 30,
            "TB" => 40,
            _ => return Err(Self::wrong(text)),
        };
        let number: Option<u64> = digits.parse().ok();
        let bytes = number.and_then(|number| number.checked_mul(1_u64 << shift));
        // The sums are signed.
        let bytes = bytes.filter(|bytes| i64::try_from(*bytes).is_ok());
        bytes.map(Self).ok_or_else(|| Self::wrong(text))
    }
}

impl Bytes {
    fn wrong(text: &str) -> String {
        format!("{text:?} is not a number below 2^63 with B, KB, MB, GB, TB or without a unit")
    }
}
