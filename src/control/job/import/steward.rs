//! Control's end of the line to a running import.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use tracing::{debug, warn};

use super::Import;
use crate::{
    control::lease::Transfer,
    data::{self, Receipt, Steward, StopReason},
    model::{Attempt, StoreId},
};

/// How often the task says how far it is: others take the lock of one that says nothing for an hour.
pub(super) const SPEAK_EVERY: Duration = Duration::from_secs(60);

/// Hears how far an import is.
pub(super) struct ImportSteward<'a> {
    import: &'a Import<'a>,
    transfer: Arc<Transfer>,
    state: Mutex<State>,
    /// One record at a time.
    records: tokio::sync::Mutex<()>,
    /// `fresnel_import_bytes_total`
    counted: Counter,
}

struct State {
    spoke_at: Instant,
    lost: Vec<StoreId>,
}

impl<'a> ImportSteward<'a> {
    /// `lost` are stores that failed before the first byte.
    pub(super) fn new(import: &'a Import<'a>, transfer: Arc<Transfer>, lost: Vec<StoreId>) -> Self {
        Self {
            import,
            transfer,
            state: Mutex::new(State {
                spoke_at: Instant::now(),
                lost,
            }),
            records: tokio::sync::Mutex::default(),
            counted: counter!("fresnel_import_bytes_total"),
        }
    }

    /// The stores that failed.
    pub(super) fn finish(self) -> Vec<StoreId> {
        self.state.into_inner().lost
    }

    /// Whether it is time to say how far the task is.
    fn is_due(&self) -> bool {
        let mut state = self.state.lock();
        let due = state.spoke_at.elapsed() >= SPEAK_EVERY;
        if due {
            state.spoke_at = Instant::now();
        }
        due
    }
}

#[async_trait]
impl Steward for ImportSteward<'_> {
    async fn advance(&self, received_bytes: u64) -> Result<(), StopReason> {
        if let Some(reason) = self.transfer.stop_reason() {
            return Err(reason);
        }
        if let Some(growth) = &self.import.growth {
            growth.extend(received_bytes).await?;
        }
        if !self.is_due() {
            return Ok(());
        }
        let message = format!("Copied {} MiB", received_bytes >> 20);
        let spoken = self
            .import
            .control
            .db
            .task_progress(self.import.job.id, Some(&message));
        match spoken.await {
            Ok(true) => Ok(()),
            // Somebody took the lock for stale.
            Ok(false) => Err(StopReason::LeaseLost),
            Err(error) => {
                warn!(image.id = %self.import.job.image, %error, "Could not say how far an import is");
                Ok(())
            }
        }
    }

    fn received(&self, received_bytes: u64) {
        let new_bytes = self.transfer.set_received_bytes(received_bytes);
        self.counted.increment(new_bytes);
    }

    async fn opened(&self, attempt: Attempt, object: &str) -> Result<(), StopReason> {
        let control = self.import.control;
        control.opened(&self.transfer, attempt, object).await
    }

    async fn publishable(&self) -> Result<(), StopReason> {
        self.import.control.leases.assured().await
    }

    async fn stored(&self, receipt: &Receipt) {
        let (image, store) = (&self.import.job.image, &receipt.store);
        debug!(image.id = %image, %store, url = receipt.url, "Stored");
        // With the others, when all have it.
        if self.import.input.must_succeed {
            return;
        }
        let _alone = self.records.lock().await;
        if let Err(error) = self.import.record_one(&self.transfer, receipt).await {
            warn!(image.id = %image, %store, %error, "Could not record what was stored");
            self.state.lock().lost.push(store.clone());
        }
    }

    fn lost(&self, store: &StoreId, error: &data::Error) {
        let import = &self.import;
        warn!(image.id = %import.job.image, %store, %error, "An import failed in store {store}");
        import.control.not_stored(&import.job.image, error, None);
        self.state.lock().lost.push(store.clone());
    }

    async fn stopped(&self) -> StopReason {
        self.transfer.stopped().await
    }
}
