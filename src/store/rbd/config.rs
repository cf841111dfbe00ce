//! What an operator says of an RBD store.

use std::time::Duration;

/// `rados_osd_op_timeout` where Glance would wait for ever.
const PATIENCE: Duration = Duration::from_secs(120);
/// `client_mount_timeout` where Glance would wait five minutes.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// The sizes of objects that librbd knows, as binary logarithms.
const ORDER_MIN: u32 = 12;
const ORDER_MAX: u32 = 25;

/// An RBD store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `rbd_store_ceph_conf`; none lets the library look in its usual places.
    pub ceph_conf: Option<String>,
    /// `rbd_store_user`, without `client.`; none is the library's default.
    pub user: Option<String>,
    /// `rbd_store_pool`.
    pub pool: String,
    /// `rbd_store_data_pool`: where the data goes when the pool has only the images' heads.
    pub data_pool: Option<String>,
    /// The binary logarithm of `rbd_store_chunk_size`.
    pub order: u8,
    /// From `rados_connect_timeout`.
    pub timeouts: Timeouts,
    /// `rbd_thin_provisioning`: zeroes are not written.
    pub thin_provisioning: bool,
    /// Options of Ceph, over those of its configuration file.
    pub settings: Vec<(String, String)>,
}

impl Config {
    /// A store in a pool, with the defaults of everything else.
    pub fn in_pool(pool: impl Into<String>) -> Self {
        Self {
            ceph_conf: None,
            user: None,
            pool: pool.into(),
            data_pool: None,
            order: 23,
            timeouts: Timeouts::default(),
            thin_provisioning: true,
            settings: Vec::new(),
        }
    }

    /// Bytes of an object.
    pub(super) fn object_bytes(&self) -> u64 {
        1 << self.order
    }
}

/// How long the library waits; none is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `client_mount_timeout`: for a connection.
    pub connect: Option<Duration>,
    /// `rados_mon_op_timeout` and `rados_osd_op_timeout`: for an answer.
    pub operation: Option<Duration>,
}

impl Timeouts {
    /// As `rados_connect_timeout` says, in seconds: 0 is for ever; a negative number leaves it to
    /// us, and we do not wait for ever.
    pub fn from_seconds(seconds: i64) -> Self {
        match u64::try_from(seconds) {
            Err(_) => Self::default(),
            Ok(0) => Self {
                connect: None,
                operation: None,
            },
            Ok(seconds) => Self {
                connect: Some(Duration::from_secs(seconds)),
                operation: Some(Duration::from_secs(seconds)),
            },
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Some(CONNECT_PATIENCE),
            operation: Some(PATIENCE),
        }
    }
}

/// A value of `rbd_store_chunk_size` that librbd has no objects of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a number of MiB from 1 to 32")]
pub struct BadChunkSize(i64);

/// The binary logarithm of a chunk size in MiB; one that is no power of two is rounded down, as
/// Glance does.
pub fn order(mebibytes: i64) -> Result<u8, BadChunkSize> {
    let order = u64::try_from(mebibytes)
        .ok()
        .and_then(|mebibytes| mebibytes.checked_ilog2())
        .map(|order| order + 20)
        .filter(|order| (ORDER_MIN..=ORDER_MAX).contains(order));
    let order = order.and_then(|order| u8::try_from(order).ok());
    order.ok_or(BadChunkSize(mebibytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_size_is_an_order() {
        assert_eq!(order(8), Ok(23));
        assert_eq!(order(1), Ok(20));
        assert_eq!(order(32), Ok(25));
        assert_eq!(order(12), Ok(23));
        for bad in [-8, 0, 64] {
            assert_eq!(order(bad), Err(BadChunkSize(bad)));
        }
    }

    #[test]
    fn only_zero_waits_for_ever() {
        assert_eq!(Timeouts::from_seconds(-1), Timeouts::default());
        assert_eq!(Timeouts::from_seconds(0).operation, None);
        let five = Some(Duration::from_secs(5));
        assert_eq!(Timeouts::from_seconds(5).connect, five);
    }
}
