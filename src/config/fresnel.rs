//! `[fresnel]`: what Glance has no name for.

use std::{path::PathBuf, time::Duration};

use super::{cache::Cache, option::section, reader::Reader, value::Value};
use crate::{
    client::{transport, web::Timeouts},
    data::digest::EngineChoice,
    gateway,
    model::ImageId,
    store::file::FileIoChoice,
};

section! {
    /// What only Fresnel has.
    Fresnel in "fresnel" {
        /// Directory of everything that has no place of its own: the database and the
        /// images where no other is configured. The environment variable `FRESNEL_DATA`
        /// changes the default.
        data_dir: String = "./fresnel-data";
        /// Listen beyond loopback without authentication, where everybody is an administrator.
        allow_unauthenticated: bool = "false";
        /// MiB for the buffers of all transfers together. What is in encrypted images is decrypted in up to
        /// 32 MiB beside them.
        memory_limit_mib: u32 = "128", min 8;
        /// MiB of them that uploads to RBD stores may have in flight to Ceph. Raise both together.
        rbd_window_mib: u32 = "96", min 8;
        /// Image property whose value, a number of bytes, says what size to expect of an upload that
        /// declares none. Stores make room for it, and nothing depends on whether it is right.
        size_hint_property: Option<String>;
        /// Seconds after which the transfers of a node that has stopped answering are taken from
        /// it; it renews its lease three times as often. The same on all nodes.
        lease_seconds: u32 = "15", min 3;
        /// Seconds that transfers have to end after SIGTERM; those that have not are stopped, and have five
        /// more to say so to their clients.
        drain_seconds: u32 = "60";
        /// Seconds after which a statement that the database has not answered is given up, with its
        /// connection. Longer than the database itself waits for a lock (MariaDB: 50).
        database_timeout_seconds: u32 = "60", min 1;
        /// Seconds that a transfer waits for buffers before it is answered 503.
        admission_wait_seconds: u32 = "30";
        /// Bytes a second below which a client's transfer is ended, an upload or a download, as far as the
        /// client is who is waited for; 0 turns that off.
        min_rate_bytes_per_second: u32 = "1024";
        /// One of `enabled_backends` in which staged data waits for its import, so that every node
        /// can import what any has staged. No image rests there, and clients do not see it. Unset:
        /// a directory, as in Glance.
        staging_store: Option<String>;
        /// Seconds for which an import waits for a store that it can do without
        /// (`all_stores_must_succeed` is false) while others could go on; then that store has failed.
        target_lag_seconds: u32 = "60", min 1;
        /// MiB that the image cache leaves free on its filesystem.
        cache_free_disk_mib: u32 = "1024";
        /// Bytes a second that are fetched into the image cache, by all downloads together. Unset: as many
        /// as come.
        cache_fill_bytes_per_second_max: Option<u64>, min 1048576;
        /// MiB that are still to come of an image before the part that a download wants, where the upstream
        /// gives no ranges and the image is being fetched: beyond them one download reads the image a
        /// second time, beside the cache. 0: all wait. Of a cache node.
        cache_fill_lag_mib: u32 = "0";
        /// Images, by id, that are fetched before anybody asks for them, and then stay in the cache, the
        /// first ones first, as far as `image_cache_max_size` goes. The node asks the upstream with the
        /// credentials in `[keystone_authtoken]`, or without a token where there are none. Of a cache node.
        cache_prefetch_images: Vec<String> = "";
        /// Unix socket for the user of the process alone (mode 0600), on which the node answers for its
        /// own cache, at `/v2/cache`, and hears `fresnel cache`. Of a cache node.
        admin_socket: Option<String>;
        /// PEM file with the certificates that the upstream's must be signed by, instead of the system's.
        /// Of a cache node.
        upstream_ca_file: Option<String>;
        /// Trust whoever answers in the upstream's place. Of a cache node.
        upstream_insecure: bool = "false";
        /// Seconds for which an upstream may be silent that is asked for something; what it is to change may
        /// take it ten minutes. Of a cache node.
        upstream_timeout_seconds: u32 = "60", min 1;
        /// Seconds for which the upstream's yes to a download is a yes for the same token and image,
        /// also when the image is deactivated, deleted or made private meanwhile; 0 asks each time. Of
        /// a cache node.
        access_cache_seconds: u32 = "0", max 300;
        /// Directory of the certificates that images are signed with, `<uuid>.pem` or `<uuid>.der`, and of
        /// the keys of encrypted images (`fresnel key import`), with `[key_manager] backend = file`; only
        /// their owner may write there, and read keys. Unset: `${fresnel.data_dir}/keyring`.
        keyring_dir: Option<String>;
        /// MiB that a key of an encrypted image may take to be derived (Argon2, LUKS version 2), beside the
        /// buffers. What needs more cannot be opened. `cryptsetup` takes up to 1024 unless it is told
        /// otherwise.
        key_derivation_memory_mib: u32 = "64", min 64, max 4096;
        /// The certificate of an image's signature must be good today, and for signatures if it says for
        /// what it is. Glance does not look at that.
        check_certificates: bool = "true";
        /// Certificates in the key manager, by id, of which a chain must lead to that of an image's
        /// signature. Empty: whoever may put a certificate into the key manager may sign, as in Glance.
        trusted_certificate_ids: Vec<String> = "";
        /// Seconds that a server on the web may be silent of which something is fetched for a user:
        /// before its answer, and then before each next piece of it.
        web_timeout_seconds: u32 = "60", min 1;
        /// Serve artifacts beside the images, as Glare does, at `/artifacts`, `/schemas`, `/quotas` and
        /// `/project-quotas`.
        artifacts: bool = "false";
        /// Types of artifacts that there may be; `all`, which shows those of every type, is always there.
        /// `secrets` is shipped too.
        artifact_types: Vec<String> = "heat_environments,heat_templates,images,murano_packages,tosca_templates";
        /// JSON files with types of the operator's own, one each: the schema of the type, as Glare shows it at
        /// `/schemas/{type}`, and in its fields `maxBlobSize` and `maxFolderSize` in bytes where they are not
        /// Glare's 10 MiB and 2550 MiB.
        artifact_type_files: Vec<String> = "";
        /// What each project may have of artifacts, as `name=number`: `max_artifact_number` of all types, and
        /// `max_uploaded_data` in bytes; `max_artifact_number:images` and the like of one type. `PUT /quotas` sets
        /// others for a project.
        artifact_quotas: Vec<String> = "";
        /// One of `enabled_backends` where the bytes of artifacts go. Unset: where images go that name no store.
        artifact_store: Option<String>;
        /// The operator's `schema-image.json`, in place of Glance's stock one.
        image_schema_file: Option<String>;
        /// How image files are written: `ring` (io_uring), `threads`, or `auto`, which takes the ring
        /// where the kernel and its sandbox allow it.
        file_io: FileIoChoice = "auto";
        /// How digests are computed: `avx512` or `avx2` (many transfers side by side in vectors),
        /// `scalar` (OpenSSL, one after the other), or `auto`, which takes the best that the processor
        /// has. `fresnel bench digests` tells what that gains.
        digest_engine: EngineChoice = "auto";
        /// Notifications that may wait for their broker; of more the oldest are given up.
        events_max: u32 = "100000", min 1;
        /// Connections at once; one more is answered 503.
        connections_max: u32 = "8192", min 1;
        /// KiB of a request's line and headers together; more is answered 431.
        header_limit_kib: u32 = "64", min 8;
        /// Address and port for `/metrics` in Prometheus' format, as `127.0.0.1:9293`; unset is off.
        metrics_bind: Option<String>;
    }
}

impl Fresnel {
    /// Refuses what cannot be.
    pub(crate) fn check(&self, reader: &mut Reader<'_>) {
        if self.data_dir.is_empty() {
            reader.refuse("fresnel", "data_dir", "must name a directory");
        }
    }

    /// How a cache node reaches its upstream.
    pub(crate) fn upstream(&self) -> transport::Config {
        transport::Config {
            ca_file: self.upstream_ca_file.as_ref().map(PathBuf::from),
            insecure: self.upstream_insecure,
            timeout: Duration::from_secs(self.upstream_timeout_seconds.into()),
            ..transport::Config::default()
        }
    }

    /// What a cache node believes and keeps.
    pub(crate) fn gateway(
        &self,
        reader: &mut Reader<'_>,
        cache: Option<&Cache>,
    ) -> gateway::Settings {
        let kept = self.cache_prefetch_images.iter().map(ImageId::new);
        let kept: Vec<ImageId> = kept.collect();
        if let Some(strange) = kept.iter().find(|image| !image.is_uuid_shaped()) {
            let reason = format!("{:?} is not the id of an image", strange.as_str());
            reader.refuse("fresnel", "cache_prefetch_images", &reason);
        }
        gateway::Settings {
            access_cache: Duration::from_secs(self.access_cache_seconds.into()),
            stall: cache.map_or(Duration::ZERO, |cache| cache.images.stall),
            kept,
            admin_socket: self.admin_socket.as_ref().map(PathBuf::from),
        }
    }
}

/// How long servers on the web may be silent.
pub(super) fn web_timeouts(answer_seconds: u32) -> Timeouts {
    Timeouts {
        answer: Duration::from_secs(answer_seconds.into()),
        ..Timeouts::default()
    }
}

impl Value for FileIoChoice {
    const KIND: &'static str = "one of `auto`, `ring`, `threads`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "ring" => Ok(Self::Ring),
            "threads" => Ok(Self::Threads),
            _ => Err(format!("{text:?} is not {}", Self::KIND)),
        }
    }
}

impl Value for EngineChoice {
    const KIND: &'static str = "one of `auto`, `avx512`, `avx2`, `scalar`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "avx512" => Ok(Self::Avx512),
            "avx2" => Ok(Self::Avx2),
            "scalar" => Ok(Self::Scalar),
            _ => Err(format!("{text:?} is not {}", Self::KIND)),
        }
    }
}
