//! The data plane: moves bytes and decides nothing. No SQL, no JSON, no policy, no HTTP status.
//!
//! [`ingress::ingest`] is the upload, [`egress::open`] the download. What crosses from and to
//! control is plain data, in [`plan`]; while bytes move, a [`Steward`] is the one line between the
//! planes.

pub mod cached;
pub mod convert;
pub mod decompress;
pub mod digest;
pub mod egress;
pub mod encrypt;
pub mod error;
pub mod from_stores;
pub mod ingress;
pub mod inspect;
pub mod plan;
mod readahead;
pub mod rehash;
pub mod signature;
pub mod stage;
pub mod stored;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    buf::Pool,
    client::{glance, web},
    model::{Attempt, StoreId},
    store::Registry,
};

pub use crate::store::{Error as StoreError, Piece};
pub use error::{Error, Result};
pub use plan::{
    DeclaredSize, Encryption, Expect, Known, ReadPlan, Receipt, StopReason, Target, WritePlan,
};

/// What moves bytes: one value a process.
#[derive(Clone, Debug)]
pub struct Plane {
    /// Where bytes come to rest.
    pub stores: Registry,
    /// Memory for bytes in flight.
    pub pool: Pool,
    /// The hash threads.
    pub engine: digest::Engine,
    /// What keys of encrypted images cost.
    pub vault: encrypt::Vault,
    /// What the operator decided.
    pub settings: Settings,
}

/// Limits of transfers.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a transfer waits for its first buffers before [`Error::Busy`].
    pub admission_wait: Duration,
    /// A sender that stays below it for [`ingress::PACE_WINDOW`] is [`Error::TooSlow`]; 0 is off.
    pub min_rate_bytes_per_second: u64,
    /// A store that the upload can do without is lost when the others wait for it as long as this.
    pub lag_max: Duration,
    /// What keys of encrypted images may cost.
    pub vault: encrypt::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            admission_wait: Duration::from_secs(30),
            min_rate_bytes_per_second: 1024,
            lag_max: Duration::from_secs(60),
            vault: encrypt::Settings::default(),
        }
    }
}

/// Where an upload's bytes come from: an HTTP body, a staged file, another store.
#[async_trait]
pub trait Source: Send {
    /// The next bytes, of any number; `None` at the clean end. A body that breaks off is an error,
    /// never an end.
    async fn next(&mut self) -> std::io::Result<Option<Bytes>>;
}

#[async_trait]
impl<S: Source + ?Sized> Source for Box<S> {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        (**self).next().await
    }
}

#[async_trait]
impl Source for web::Body {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        self.next().await
    }
}

#[async_trait]
impl Source for glance::Download {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        self.next().await
    }
}

/// The line between the planes while bytes move. Implemented by control.
#[async_trait]
pub trait Steward: Send + Sync {
    /// Hears of progress (at most once a second or every 64 MiB) and says whether to go on.
    async fn advance(&self, received_bytes: u64) -> std::result::Result<(), StopReason>;

    /// So many bytes have arrived by now; it is told of each piece, and so of the last before a failure.
    fn received(&self, received_bytes: u64);

    /// A target is open, and its bytes go to `object`, which was not known before. Returns when that is
    /// in the journal; no byte is written before.
    async fn opened(&self, attempt: Attempt, object: &str) -> std::result::Result<(), StopReason>;

    /// All targets are written. Returns when they may be published: while the process is known to have its
    /// lease.
    async fn publishable(&self) -> std::result::Result<(), StopReason>;

    /// A target is written and published.
    async fn stored(&self, receipt: &Receipt);

    /// A target has failed. The upload goes on if it can do without.
    fn lost(&self, _store: &StoreId, _error: &Error) {}

    /// Ready when the transfer must stop; every wait on socket, pool or store is raced against it.
    async fn stopped(&self) -> StopReason;
}
