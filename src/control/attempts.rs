//! Attempts at some stores under the lease: in the words of the data plane and of the journal.

use tracing::warn;

use super::{
    Control,
    db::{self, DeadWrite, NewWrite},
    lease::{Covered, Transfer},
    sweep,
};
use crate::{
    data::{StopReason, Target},
    model::{Attempt, StoreId},
    store::Intent,
};

/// Attempts that no row speaks of yet.
#[derive(Debug)]
pub(super) struct Attempts {
    /// Keeps them under the lease.
    pub(super) covered: Covered,
    /// For the plan.
    pub(super) targets: Vec<Target>,
    /// For the journal.
    pub(super) writes: Vec<NewWrite>,
}

impl Control {
    /// Puts attempts under the lease. Whether each must succeed is `required`.
    pub(super) fn attempts(&self, intents: Vec<(StoreId, Intent)>, required: bool) -> Attempts {
        let covered = self.leases.cover(|node| {
            let dead = intents.iter().map(|(store, intent)| DeadWrite {
                attempt: intent.attempt,
                image: intent.image.clone(),
                node,
                store: store.clone(),
                object: intent.object.clone(),
            });
            dead.collect()
        });
        let writes = covered.transfer().writes().into_iter();
        let writes = writes.map(|write| NewWrite {
            attempt: write.attempt,
            node: write.node,
            store: write.store,
            object: write.object,
        });
        let targets = intents.iter().map(|(store, intent)| Target {
            store: store.clone(),
            intent: intent.clone(),
            required,
        });
        Attempts {
            writes: writes.collect(),
            targets: targets.collect(),
            covered,
        }
    }

    /// Ends attempts that failed: their bytes go, then their rows. What is not ours any more stays.
    pub(super) async fn undo(&self, covered: Covered) {
        let transfer = covered.transfer();
        for write in transfer.writes() {
            if let Err(error) = sweep::end(self, transfer.node(), &write).await {
                warn!(image.id = %write.image, %error, "Could not end a failed write; the sweep will");
                self.leases.leave_over([write]);
            }
        }
        covered.settle();
    }

    /// Records what an attempt really writes.
    pub(super) async fn opened(
        &self,
        transfer: &Transfer,
        attempt: Attempt,
        object: &str,
    ) -> Result<(), StopReason> {
        // First here: what is recorded last is never less than what is known.
        transfer.set_object(attempt, object);
        let recorded = self.db.write_object(attempt, transfer.node(), object).await;
        recorded.map_err(|error| match error {
            db::Error::Lost => StopReason::LeaseLost,
            error => {
                warn!(%attempt, %error, "Could not record what an attempt writes");
                StopReason::Unrecorded
            }
        })
    }
}
