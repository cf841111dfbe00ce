//! The sweep: ends attempts that nobody will end.
//!
//! Only attempts of the journal whose lease is dead, and those of this process whose end could not
//! be recorded, or whose beginning was when nobody waited for it any more. Each is fenced first, so
//! that a writer who wakes has nothing to publish; then its bytes go; then its image is `queued` again.
//! What fails is tried again at the next sweep, several at once: a store that is away delays only its
//! own.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{
    Control, Result,
    db::{DeadWrite, NodeId},
};
use crate::{
    model::ImageId,
    store::{self, Intent},
};

/// How often it looks.
pub const SWEEP_EVERY: Duration = Duration::from_secs(3);
/// The attempts of one look.
const ROWS_MAX: u32 = 100;
/// Attempts that are ended at the same time.
const ENDS_AT_ONCE: usize = 8;

/// Sweeps for ever, now and then every `every`.
pub async fn run(control: &Control, every: Duration) {
    loop {
        once(control).await;
        sleep(every).await;
    }
}

/// One look. Errors are logged: the next look tries again.
pub async fn once(control: &Control) {
    let node = control.leases.node();
    let leftovers = stream::iter(control.leases.take_leftovers());
    let ended = leftovers.for_each_concurrent(ENDS_AT_ONCE, |write| async move {
        if let Err(error) = end(control, node, &write).await {
            warn!(image.id = %write.image, attempt = %write.attempt, %error, "Could not end an upload of this node yet");
            control.leases.leave_over([write]);
        }
    });
    ended.await;
    recorded_late(control, node).await;
    control.sweep_staged().await;
    control.sweep_blobs().await;
    control.end_trusts().await;
    let dead = match control.db.writes_dead(node, ROWS_MAX).await {
        Ok(dead) => dead,
        Err(error) => {
            warn!(%error, "Could not look for dead uploads");
            return;
        }
    };
    let ended = stream::iter(dead).for_each_concurrent(ENDS_AT_ONCE, |write| async move {
        match end(control, node, &write).await {
            Ok(true) => {
                info!(image.id = %write.image, attempt = %write.attempt, "Ended a dead upload")
            }
            Ok(false) => {}
            Err(error) => {
                warn!(image.id = %write.image, attempt = %write.attempt, %error, "Could not end a dead upload yet");
                // Fenced by this node, which lives, it is found by none: this one tries again.
                control.leases.leave_over([write]);
            }
        }
    });
    ended.await;
}

/// Leaves to the next look what no transfer of this process has: the database has committed it after the
/// connection broke, and after the transfer ended that had asked for it.
async fn recorded_late(control: &Control, node: NodeId) {
    match control.db.writes_unfenced(node).await {
        Ok(writes) => {
            let covers = |write: &DeadWrite| control.leases.covers(write.attempt);
            let unknown: Vec<_> = writes.into_iter().filter(|w| !covers(w)).collect();
            control.leases.leave_over(unknown);
        }
        Err(error) => warn!(%error, "Could not look for uploads that were recorded late"),
    }
}

/// Ends the dead attempts at one image, before it is begun again.
///
/// # Errors
/// As [`end`].
pub(super) async fn end_dead(control: &Control, node: NodeId, image: &ImageId) -> Result<()> {
    for write in control.db.writes_dead_at(node, image).await? {
        end(control, node, &write).await?;
    }
    Ok(())
}

/// Fences an attempt, removes its bytes and returns its image to `queued`; that order, but for this
/// node's own attempts whose store is away. False when the attempt is not ours to end: recorded as
/// finished, or another node ends it.
///
/// # Errors
/// The database's and the store's; the attempt then stays in the journal.
pub(super) async fn end(control: &Control, node: NodeId, write: &DeadWrite) -> Result<bool> {
    // A node without the store must not fence what another could end.
    if control.stores.get(&write.store).is_none() {
        debug!(store = %write.store, "An upload to a store of another node");
        return Ok(false);
    }
    if !control.db.write_fence(write.attempt, node).await? {
        return Ok(false);
    }
    let attempts = [write.attempt];
    if let Err(error) = discard(control, write).await {
        // Of this node's attempts the writers have ended: the image need not wait for the store,
        // which may be away for long.
        if write.node == node {
            control.db.write_release(&attempts, &write.image).await?;
        }
        return Err(error.into());
    }
    control.db.write_abandon(&attempts, &write.image).await?;
    Ok(true)
}

/// Removes an attempt's bytes, published or not.
pub(super) async fn discard(control: &Control, write: &DeadWrite) -> store::Result<()> {
    let store = control.stores.get(&write.store);
    let store = store.ok_or_else(|| store::Error::Unavailable(write.store.clone()))?;
    store.discard(&intent(write)).await
}

fn intent(write: &DeadWrite) -> Intent {
    Intent::new(write.image.clone(), write.attempt, write.object.clone())
}
