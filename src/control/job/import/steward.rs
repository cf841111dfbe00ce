//! Control's end of the line to a running import.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use metrics::counter;
use parking_lot::Mutex;
use tracing::{debug, warn};

use super::{Import, record};
use crate::{
    control::{
        Control,
        db::{Job, NodeId},
        lease::Transfer,
    },
    data::{Receipt, Steward, StopReason},
    model::{Attempt, StoreId},
    store,
};

/// How often the task says how far it is: others take the lock of one that says nothing for an hour.
const SPEAK_EVERY: Duration = Duration::from_secs(60);

/// Hears how far an import is.
pub(super) struct ImportSteward<'a> {
    control: &'a Arc<Control>,
    job: &'a Job,
    node: NodeId,
    transfer: Arc<Transfer>,
    /// Each store's success is recorded on its own.
    each: bool,
    state: Mutex<State>,
    /// One record at a time.
    records: tokio::sync::Mutex<()>,
}

struct State {
    spoke_at: Instant,
    lost: Vec<StoreId>,
}

impl<'a> ImportSteward<'a> {
    /// `lost` are stores that failed before the first byte.
    pub(super) fn new(import: &Import<'a>, transfer: Arc<Transfer>, lost: Vec<StoreId>) -> Self {
        Self {
            control: import.control,
            job: import.job,
            node: import.node,
            transfer,
            each: !import.input.must_succeed,
            state: Mutex::new(State {
                spoke_at: Instant::now(),
                lost,
            }),
            records: tokio::sync::Mutex::default(),
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
        let new_bytes = self.transfer.set_received_bytes(received_bytes);
        counter!("fresnel_import_bytes_total").increment(new_bytes);
        if let Some(reason) = self.transfer.stop_reason() {
            return Err(reason);
        }
        if !self.is_due() {
            return Ok(());
        }
        let message = format!("Copied {} MiB", received_bytes >> 20);
        let spoken = self.control.db.task_progress(self.job.id, Some(&message));
        match spoken.await {
            Ok(true) => Ok(()),
            // Somebody took the lock for stale.
            Ok(false) => Err(StopReason::LeaseLost),
            Err(error) => {
                warn!(image.id = %self.job.image, %error, "Could not say how far an import is");
                Ok(())
            }
        }
    }

    async fn opened(&self, attempt: Attempt, object: &str) -> Result<(), StopReason> {
        self.control.opened(&self.transfer, attempt, object).await
    }

    async fn stored(&self, receipt: &Receipt) {
        debug!(image.id = %self.job.image, store = %receipt.store, url = receipt.url, "Stored");
        if !self.each {
            return;
        }
        let _alone = self.records.lock().await;
        let (control, job) = (self.control, self.job);
        if let Err(error) = record::one(control, job, self.node, &self.transfer, receipt).await {
            let store = &receipt.store;
            warn!(image.id = %job.image, %store, %error, "Could not record what was stored");
            self.state.lock().lost.push(store.clone());
        }
    }

    fn lost(&self, store: &StoreId, error: &store::Error) {
        warn!(image.id = %self.job.image, %store, %error, "An import failed in store {store}");
        self.state.lock().lost.push(store.clone());
    }

    async fn stopped(&self) -> StopReason {
        self.transfer.stopped().await
    }
}
