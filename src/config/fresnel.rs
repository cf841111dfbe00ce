//! `[fresnel]`: what Glance has no name for.

use super::option::section;

section! {
    /// What only Fresnel has.
    Fresnel in "fresnel" {
        /// Directory of everything that has no place of its own: the database, the images and the
        /// staging area where no other is configured. The environment variable `FRESNEL_DATA`
        /// changes the default.
        data_dir: String = "./fresnel-data";
        /// Listen beyond loopback without authentication, where everybody is an administrator.
        allow_unauthenticated: bool = "false";
        /// MiB for the buffers of all transfers together.
        memory_limit_mib: u32 = "128", min 8;
        /// Seconds after which the transfers of a node that has stopped answering are taken from
        /// it; it renews its lease three times as often. The same on all nodes.
        lease_seconds: u32 = "15", min 3;
        /// Seconds that transfers have to end after SIGTERM.
        drain_seconds: u32 = "60";
        /// Seconds that a transfer waits for buffers before it is answered 503.
        admission_wait_seconds: u32 = "30";
        /// Bytes a second below which a client's transfer is ended; 0 turns that off.
        min_rate_bytes_per_second: u32 = "1024";
        /// Address and port for `/metrics` in Prometheus' format, as `127.0.0.1:9293`; unset is off.
        metrics_bind: Option<String>;
    }
}
