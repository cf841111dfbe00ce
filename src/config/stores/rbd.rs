//! Stores of type `rbd` (reference E.2).

use serde_json::{Map, Value};

use super::{AnyStore, Kind, Store, set};
use crate::{
    config::{option::section, reader::Reader},
    store::rbd::{self, Timeouts, config::order},
};

section! {
    /// A store of type `rbd`: in the section of its name or in `[backend_defaults]`, and in
    /// `[glance_store]` where there are no `enabled_backends`. It needs librados2 and librbd1 of
    /// Ceph 16 or later on the machine.
    RbdStore in "glance_store" {
        /// Pool of the images.
        rbd_store_pool: String = "images";
        /// Pool of the images' data, where that is another one: an erasure-coded pool cannot hold
        /// the images themselves.
        rbd_store_data_pool: Option<String>;
        /// User, without `client.`; unset leaves it to Ceph's configuration (`admin`).
        rbd_store_user: Option<String>;
        /// Ceph's configuration file; unset looks in its usual places, `/etc/ceph/ceph.conf` first.
        rbd_store_ceph_conf: Option<String>;
        /// MiB of an object of an image: a power of two up to 32.
        rbd_store_chunk_size: i64 = "8";
        /// Seconds to wait for the cluster: to connect, and for the answer to any one operation.
        /// Less than 0 is 30 and 120; 0 is for ever, and then so does a client wait for a dead
        /// cluster.
        rados_connect_timeout: i64 = "-1";
        /// Do not write zeroes: what was never written is read as zeroes anyway. Glance's default
        /// is `false`.
        rbd_thin_provisioning: bool = "true";
    }
}

/// A store of type rbd.
pub(super) fn store(
    reader: &mut Reader<'_>,
    id: &str,
    sections: &[&str],
    warnings: &mut Vec<String>,
) -> Store {
    let own = RbdStore::read(reader, sections);
    let any = AnyStore::read(reader, sections);
    let section = sections[0];
    if own.rbd_store_pool.is_empty() {
        reader.refuse(section, "rbd_store_pool", "must name a pool");
    }
    if own.rados_connect_timeout == 0 {
        warnings.push(format!(
            "[{section}] rados_connect_timeout = 0: transfers wait for ever while the cluster does \
             not answer"
        ));
    }
    let order = order(own.rbd_store_chunk_size).unwrap_or_else(|error| {
        reader.refuse(section, "rbd_store_chunk_size", &error.to_string());
        23
    });
    let config = rbd::Config {
        ceph_conf: set(own.rbd_store_ceph_conf),
        user: set(own.rbd_store_user),
        pool: own.rbd_store_pool,
        data_pool: set(own.rbd_store_data_pool),
        order,
        timeouts: Timeouts::from_seconds(own.rados_connect_timeout),
        thin_provisioning: own.rbd_thin_provisioning,
        settings: Vec::new(),
    };
    Store {
        settings: any.settings(id, told(&config)),
        kind: Kind::Rbd(config),
    }
}

/// What `GET /v2/info/stores/detail` tells of an RBD store; the store itself adds the `fsid`.
fn told(config: &rbd::Config) -> Map<String, Value> {
    Map::from_iter([
        ("chunk_size".to_owned(), (1_u64 << config.order).into()),
        ("pool".to_owned(), config.pool.as_str().into()),
        (
            "thin_provisioning".to_owned(),
            config.thin_provisioning.into(),
        ),
    ])
}
