//! Control's end of the line to a running upload.

use std::sync::Arc;

use async_trait::async_trait;
use metrics::{Counter, counter};
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    control::{Control, lease::Transfer, quota::Growth},
    data::{Receipt, Steward, StopReason},
    model::{Attempt, location},
};

/// Control's end of the line to a running upload.
#[derive(Debug)]
pub struct UploadSteward {
    control: Arc<Control>,
    transfer: Arc<Transfer>,
    growth: Option<Arc<Growth>>,
    gone: CancellationToken,
    /// `fresnel_ingress_bytes_total`
    counted: Counter,
}

impl UploadSteward {
    pub(in crate::control) fn new(
        control: Arc<Control>,
        transfer: Arc<Transfer>,
        growth: Option<Arc<Growth>>,
        gone: CancellationToken,
    ) -> Self {
        Self {
            control,
            transfer,
            growth,
            gone,
            counted: counter!("fresnel_ingress_bytes_total"),
        }
    }
}

#[async_trait]
impl Steward for UploadSteward {
    async fn advance(&self, received_bytes: u64) -> Result<(), StopReason> {
        match (self.transfer.stop_reason(), &self.growth) {
            (Some(reason), _) => Err(reason),
            (None, Some(growth)) => growth.extend(received_bytes).await,
            (None, None) => Ok(()),
        }
    }

    fn received(&self, received_bytes: u64) {
        let new_bytes = self.transfer.set_received_bytes(received_bytes);
        self.counted.increment(new_bytes);
    }

    async fn opened(&self, attempt: Attempt, object: &str) -> Result<(), StopReason> {
        self.control.opened(&self.transfer, attempt, object).await
    }

    async fn publishable(&self) -> Result<(), StopReason> {
        self.control.leases.assured().await
    }

    async fn stored(&self, receipt: &Receipt) {
        debug!(store.id = %receipt.store, url = location::shown(&receipt.url), "Stored");
    }

    async fn stopped(&self) -> StopReason {
        select! {
            reason = self.transfer.stopped() => reason,
            () = self.gone.cancelled() => StopReason::ClientGone,
        }
    }
}
