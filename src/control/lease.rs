//! Leases: this process's word to the others that its transfers are alive.
//!
//! One heartbeat renews the lease of all transfers of this process, whatever they do, and asks in
//! one query which of them nobody wants any more. When the lease could not be renewed in time (a
//! database that was away or slow, a process that slept), transfers go on, but nothing is published
//! until it is renewed. Then those whose images another node has taken over are told to stop.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::gauge;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{debug, error, info, warn};

use super::db::{self, Beat, Db, DeadWrite, NodeId};
use crate::{
    data::StopReason,
    model::{Attempt, ImageId},
};

/// A running transfer is in the log each time that it is so much older.
const AGED: Duration = Duration::from_secs(60);

/// The leases of this process.
#[derive(Debug)]
pub struct Leases {
    db: Db,
    lease: Duration,
    held: Mutex<Held>,
    /// When the last heartbeat that succeeded was sent, and nothing is known to be lost since.
    renewed_at: watch::Sender<Instant>,
    joined_at: Instant,
    /// How many transfers there are.
    count: watch::Sender<usize>,
    /// The process ends: nothing is begun that nobody waits for.
    draining: AtomicBool,
}

#[derive(Debug)]
struct Held {
    node: NodeId,
    transfers: HashMap<Attempt, Arc<Transfer>>,
    /// Attempts of this process whose end could not be recorded; the sweep ends them.
    leftovers: Vec<DeadWrite>,
}

/// A transfer that a lease covers.
#[derive(Debug)]
pub struct Transfer {
    writes: Mutex<Vec<DeadWrite>>,
    node: NodeId,
    started: Instant,
    received_bytes: AtomicU64,
    /// At which multiple of [`AGED`] it was last in the log.
    shown: AtomicU64,
    stop: watch::Sender<Option<StopReason>>,
}

/// Keeps a transfer under the lease. Dropped without [`Covered::settle`], its attempts are left to
/// the sweep.
#[derive(Debug)]
pub struct Covered {
    leases: Arc<Leases>,
    transfer: Arc<Transfer>,
    settled: bool,
}

impl Leases {
    /// What a stopped transfer gets for its clean-up, and its client to hear of it, before the process ends
    /// without them.
    pub const CLEAN_UP_WAIT: Duration = Duration::from_secs(5);

    /// Enters this process under a fresh node id.
    ///
    /// # Errors
    /// The database's.
    pub async fn join(db: Db, lease: Duration) -> db::Result<Arc<Self>> {
        let node = NodeId::random();
        let asked_at = Instant::now();
        db.node_join(node, lease).await?;
        Ok(Arc::new(Self {
            renewed_at: watch::Sender::new(asked_at),
            joined_at: asked_at,
            db,
            lease,
            held: Mutex::new(Held {
                node,
                transfers: HashMap::new(),
                leftovers: Vec::new(),
            }),
            count: watch::Sender::new(0),
            draining: AtomicBool::new(false),
        }))
    }

    /// The node id of now.
    pub fn node(&self) -> NodeId {
        self.held.lock().node
    }

    /// Puts a transfer under the lease, before its rows are written: what happens to the lease
    /// from now on, it hears of. `writes` are its attempts at one image, for the node's rows.
    pub fn cover(self: &Arc<Self>, writes: impl FnOnce(NodeId) -> Vec<DeadWrite>) -> Covered {
        let mut held = self.held.lock();
        let writes = writes(held.node);
        let transfer = Arc::new(Transfer {
            node: held.node,
            started: Instant::now(),
            received_bytes: AtomicU64::new(0),
            shown: AtomicU64::new(0),
            stop: watch::Sender::new(None),
            writes: Mutex::new(writes),
        });
        for write in transfer.writes() {
            held.transfers.insert(write.attempt, transfer.clone());
        }
        self.count.send_modify(|count| *count += 1);
        gauge!("fresnel_transfers", "direction" => "upload").increment(1);
        Covered {
            leases: self.clone(),
            transfer,
            settled: false,
        }
    }

    /// Tells an upload of this process at once that its image is gone. Other processes hear of it
    /// with their next heartbeat.
    pub fn image_deleted(&self, image: &ImageId) {
        for transfer in self.held.lock().transfers.values() {
            if transfer.is_of(image) {
                transfer.stop(StopReason::Deleted);
            }
        }
    }

    /// Renews the lease three times in its length, for ever.
    pub async fn keep(&self) {
        let mut was_late = false;
        loop {
            sleep(self.lease / 3).await;
            let asked_at = Instant::now();
            match timeout(self.lease, self.beat(&mut was_late)).await {
                Ok(Ok(())) => drop(self.renewed_at.send_replace(asked_at)),
                Ok(Err(error)) => warn!(%error, "Could not renew the lease; trying again"),
                Err(_) => warn!("The database is slow to renew the lease; trying again"),
            }
            self.show();
        }
    }

    /// Whether the last heartbeat is younger than the lease.
    pub fn is_held(&self) -> bool {
        self.renewed_at.borrow().elapsed() < self.lease
    }

    /// Returns when the last heartbeat is younger than the lease; waits a lease for that.
    ///
    /// # Errors
    /// [`StopReason::LeaseLost`].
    pub(super) async fn assured(&self) -> Result<(), StopReason> {
        let mut renewed_at = self.renewed_at.subscribe();
        let assured = timeout(
            self.lease,
            renewed_at.wait_for(|at| at.elapsed() < self.lease),
        );
        match assured.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(StopReason::LeaseLost),
        }
    }

    /// Takes no more jobs. Waits for the transfers to end, until `deadline`; then stops them, so that their
    /// images are `queued` again. The lease goes on until [`Leases::leave`].
    pub async fn drain(&self, deadline: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        let mut count = self.count.subscribe();
        let none_left = |count: &usize| *count == 0;
        if timeout(deadline, count.wait_for(none_left)).await.is_err() {
            for transfer in self.held.lock().transfers.values() {
                transfer.stop(StopReason::Draining);
            }
            if timeout(Self::CLEAN_UP_WAIT, count.wait_for(none_left))
                .await
                .is_err()
            {
                warn!("Transfers left to the sweep of another node");
            }
        }
    }

    /// For how long this process has been there.
    pub(super) fn age(&self) -> Duration {
        self.joined_at.elapsed()
    }

    /// Whether the process ends.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Gives the lease up, when nothing runs any more that it covers, nor [`Leases::keep`]: what is left is
    /// dead at once, and another node's.
    pub async fn leave(&self) {
        if let Err(error) = self.db.node_leave(self.node()).await {
            warn!(%error, "Could not give up the lease; it will expire");
        }
    }

    /// Hands over what could not be ended, once.
    pub(super) fn take_leftovers(&self) -> Vec<DeadWrite> {
        std::mem::take(&mut self.held.lock().leftovers)
    }

    /// Whether a transfer of this process has the attempt.
    pub(super) fn covers(&self, attempt: Attempt) -> bool {
        self.held.lock().transfers.contains_key(&attempt)
    }

    /// Keeps for the sweep what could not be ended.
    pub(super) fn leave_over(&self, writes: impl IntoIterator<Item = DeadWrite>) {
        self.held.lock().leave_over(writes);
    }

    /// One heartbeat, and what it says of the transfers.
    async fn beat(&self, was_late: &mut bool) -> db::Result<()> {
        let node = self.node();
        match self.db.node_beat(node, self.lease).await? {
            Beat::InTime => {}
            Beat::Late => {
                warn!("The lease had run out before it was renewed");
                *was_late = true;
            }
            Beat::Gone => return self.rejoin().await,
        }
        if *was_late {
            self.stop_lost(node).await?;
            *was_late = false;
        }
        self.stop_unwanted(node).await
    }

    /// Stops everything and starts again as another node.
    async fn rejoin(&self) -> db::Result<()> {
        let node = NodeId::random();
        {
            let mut held = self.held.lock();
            held.node = node;
            for transfer in held.transfers.values() {
                transfer.stop(StopReason::LeaseLost);
            }
            error!(
                transfers = held.transfers.len(),
                "The database has forgotten this node; all its transfers stop"
            );
        }
        self.db.node_join(node, self.lease).await
    }

    /// Stops what another node has taken over.
    async fn stop_lost(&self, node: NodeId) -> db::Result<()> {
        let renewed_at = *self.renewed_at.borrow();
        let kept = self.db.writes_unfenced(node).await?;
        for (attempt, transfer) in &self.held.lock().transfers {
            let is_kept = kept.iter().any(|write| write.attempt == *attempt);
            // Of a younger one the row may still be on its way.
            if transfer.started < renewed_at && !is_kept {
                transfer.stop(StopReason::LeaseLost);
            }
        }
        Ok(())
    }

    /// Stops what nobody wants any more.
    async fn stop_unwanted(&self, node: NodeId) -> db::Result<()> {
        if self.held.lock().transfers.is_empty() {
            return Ok(());
        }
        let unwanted = self.db.writes_unwanted(node).await?;
        let held = self.held.lock();
        for transfer in unwanted.iter().filter_map(|a| held.transfers.get(a)) {
            transfer.stop(StopReason::Deleted);
        }
        Ok(())
    }

    /// Age, bytes and rate of what runs.
    fn show(&self) {
        let age = self.renewed_at.borrow().elapsed();
        gauge!("fresnel_lease_age_seconds").set(age.as_secs_f64());
        let held = self.held.lock();
        let oldest = held.transfers.values().map(|t| t.started.elapsed()).max();
        gauge!("fresnel_transfer_oldest_seconds").set(oldest.unwrap_or_default().as_secs_f64());
        for transfer in held.transfers.values() {
            let age = transfer.started.elapsed();
            let image = transfer.image();
            let image = image.as_ref().map(ImageId::as_str);
            let received_bytes = transfer.received_bytes();
            let bytes_per_second = received_bytes as f64 / age.as_secs_f64();
            let age_seconds = age.as_secs();
            if transfer.is_due(age) {
                info!(
                    image.id = image,
                    received_bytes, age_seconds, bytes_per_second, "Upload goes on"
                );
            } else {
                debug!(
                    image.id = image,
                    received_bytes, age_seconds, bytes_per_second, "Upload goes on"
                );
            }
        }
    }
}

impl Held {
    /// Each attempt once.
    fn leave_over(&mut self, writes: impl IntoIterator<Item = DeadWrite>) {
        for write in writes {
            if !self.leftovers.contains(&write) {
                self.leftovers.push(write);
            }
        }
    }
}

impl Transfer {
    /// The node under which it was entered.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// When it was entered.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Its attempts.
    pub fn writes(&self) -> Vec<DeadWrite> {
        self.writes.lock().clone()
    }

    /// The image of its attempts.
    pub fn image(&self) -> Option<ImageId> {
        let writes = self.writes.lock();
        writes.first().map(|write| write.image.clone())
    }

    /// An attempt writes something else than was known at its beginning.
    pub fn set_object(&self, attempt: Attempt, object: &str) {
        let mut writes = self.writes.lock();
        for write in writes.iter_mut().filter(|w| w.attempt == attempt) {
            object.clone_into(&mut write.object);
        }
    }

    fn is_of(&self, image: &ImageId) -> bool {
        let writes = self.writes.lock();
        writes.iter().any(|write| write.image == *image)
    }

    /// Whether it has got so much older that the log should say so, once.
    fn is_due(&self, age: Duration) -> bool {
        let times = age.as_secs() / AGED.as_secs();
        self.shown.swap(times, Ordering::Relaxed) != times
    }

    /// What has arrived.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// Notes what has arrived; returns how much of it is new.
    pub fn set_received_bytes(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.received_bytes.swap(bytes, Ordering::Relaxed))
    }

    /// Tells it to stop. The first reason stays.
    pub fn stop(&self, reason: StopReason) {
        self.stop.send_if_modified(|stopped| {
            let first = stopped.is_none();
            stopped.get_or_insert(reason);
            first
        });
    }

    /// Why it must stop, if it must.
    pub fn stop_reason(&self) -> Option<StopReason> {
        *self.stop.borrow()
    }

    /// Ready when it must stop.
    pub async fn stopped(&self) -> StopReason {
        let mut stop = self.stop.subscribe();
        let told = stop.wait_for(Option::is_some).await;
        told.expect("the transfer holds the sender")
            .expect("waited for a reason")
    }
}

impl Covered {
    /// The transfer.
    pub fn transfer(&self) -> &Arc<Transfer> {
        &self.transfer
    }

    /// The transfer's end is recorded: nothing is left to do for the sweep.
    pub fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Covered {
    fn drop(&mut self) {
        let mut held = self.leases.held.lock();
        let writes = self.transfer.writes();
        for write in &writes {
            held.transfers.remove(&write.attempt);
        }
        if !self.settled {
            held.leave_over(writes);
        }
        drop(held);
        self.leases.count.send_modify(|count| *count -= 1);
        gauge!("fresnel_transfers", "direction" => "upload").decrement(1);
    }
}
