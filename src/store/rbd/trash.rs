//! The trash: what has been deleted, until its data is removed.
//!
//! What is ours to remove is marked, so that a process that ends in between leaves it to the next
//! look, of whatever process. An image whose snapshot still has clones (of format 2) stays until the
//! last of them is gone. What Glance or an operator moved there is left alone.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use fresnel_ceph::{Image, Outcome, Pool, Result};
use tokio::{
    runtime::Handle,
    select,
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tracing::{debug, warn};

use super::{Failure, Shared};

const MARK_KEY: &str = "fresnel.deleted";
/// How often the whole trash is looked through.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// So long does the cluster keep the watch of a client that has died or that could not end it, and no
/// image can be removed that is watched.
const DEAD_WATCH: Duration = Duration::from_secs(35);
/// What a removal may take.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Marks an image as ours to remove when it is in the trash. The mark holds the image's id, because
/// clones inherit what is noted on their parent.
pub(super) fn mark(image: &Image, id: &str) -> Result<()> {
    image.set_metadata(MARK_KEY, id)
}

impl Shared {
    /// Has an image in the trash removed soon. What is forgotten is found later.
    pub(super) fn remove_later(&self, id: String) {
        if self.removals.try_send(id).is_err() {
            debug!(store.id = %self.id, "A removal is left to the next look into the trash");
        }
    }
}

/// Removes what it is told and, now and then, what it finds; until the store is dropped.
pub(super) async fn look_after(shared: Weak<Shared>, mut ids: mpsc::Receiver<String>) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // From then on it is known whose addresses are ours.
    if let Some(shared) = shared.upgrade() {
        drop(shared.fsid().await);
    }
    let mut looks_soon = false;
    loop {
        let id = select! {
            id = ids.recv() => match id {
                Some(id) => Some(id),
                None => return,
            },
            _ = looks.tick() => None,
        };
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match id {
            Some(id) => {
                if !remove(&shared, id).await && !looks_soon {
                    looks.reset_after(DEAD_WATCH);
                    looks_soon = true;
                }
            }
            None => {
                look(&shared).await;
                looks_soon = false;
            }
        }
    }
}

async fn look(shared: &Arc<Shared>) {
    let marked = shared.read.call(PATIENCE, |pool| {
        let entries = pool.trash()?.into_iter();
        let marked = entries.filter(|entry| is_marked(pool, &entry.id));
        Ok(marked.map(|entry| entry.id).collect::<Vec<_>>())
    });
    match marked.await {
        Ok(ids) => {
            for id in ids {
                remove(shared, id).await;
            }
        }
        Err(failure) => debug!(store.id = %shared.id, ?failure, "Cannot look into the trash"),
    }
}

fn is_marked(pool: &Pool, id: &str) -> bool {
    let mark = pool
        .open_by_id_read_only(id)
        .and_then(|image| image.metadata(MARK_KEY));
    mark.is_ok_and(|mark| mark.as_deref() == Some(id))
}

/// Whether it is gone.
async fn remove(shared: &Arc<Shared>, id: String) -> bool {
    let name = id.clone();
    match shared
        .read
        .call(PATIENCE, move |pool| removed(pool, &name))
        .await
    {
        Ok(()) => {
            debug!(store.id = %shared.id, id, "Removed an image from the trash");
            return true;
        }
        Err(Failure::Failed(error)) => match error.outcome() {
            // Another process was first.
            Some(Outcome::NotFound) => return true,
            Some(Outcome::Busy | Outcome::HasSnapshots) => {
                debug!(store.id = %shared.id, id, %error, "An image in the trash is still needed");
            }
            _ => {
                warn!(store.id = %shared.id, id, %error, "Cannot remove an image from the trash yet")
            }
        },
        Err(failure) => {
            debug!(store.id = %shared.id, id, ?failure, "Cannot remove an image from the trash yet");
        }
    }
    false
}

/// Removes an image and its data. A snapshot that waited for its clones, and has none any more, goes
/// first. Blocks.
fn removed(pool: &Pool, id: &str) -> Result<()> {
    let image = pool.open_by_id(id)?;
    for snapshot in image.snapshots()?.into_iter().filter(|s| s.is_trash) {
        image.snap_remove_by_id(snapshot.id)?;
    }
    let closed = image.closed();
    drop(image);
    Handle::current().block_on(closed);
    pool.trash_remove(id)
}
