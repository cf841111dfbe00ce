//! How fast fills go: all of them together as fast as the operator lets them, and those that nobody
//! waits for behind those that somebody does.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::entry::Entry;

/// How often a fill that stands back looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// It takes a piece after so long in any case: an origin that nobody reads from takes its connection
/// for dead.
const STAND_BACK_MAX: Duration = Duration::from_secs(10);

/// The fills of the process.
#[derive(Debug)]
pub(super) struct Traffic {
    bytes_per_second: Option<u64>,
    /// When all that was fetched has been paid for.
    free_at: Mutex<Instant>,
    /// Whose they are.
    fills: Mutex<Vec<Arc<Entry>>>,
}

/// How fast one fill goes.
#[derive(Debug)]
pub struct Pace {
    entry: Arc<Entry>,
}

impl Traffic {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second,
            free_at: Mutex::new(Instant::now()),
            fills: Mutex::default(),
        }
    }

    pub(super) fn begin(&self, entry: &Arc<Entry>) {
        self.fills.lock().push(entry.clone());
    }

    pub(super) fn end(&self, entry: &Arc<Entry>) {
        let mut fills = self.fills.lock();
        if let Some(at) = fills.iter().position(|other| Arc::ptr_eq(other, entry)) {
            fills.swap_remove(at);
        }
    }

    /// When so many bytes more have been paid for.
    fn pay(&self, bytes: usize) -> Option<Instant> {
        let cost = bytes as f64 / self.bytes_per_second? as f64;
        let mut free_at = self.free_at.lock();
        *free_at = Instant::now().max(*free_at) + Duration::from_secs_f64(cost);
        Some(*free_at)
    }

    fn has_awaited(&self) -> bool {
        self.fills.lock().iter().any(|entry| is_awaited(entry))
    }
}

impl Pace {
    pub(super) fn new(entry: Arc<Entry>) -> Self {
        Self { entry }
    }

    /// Waits until more may be fetched, after so many bytes.
    pub async fn wait(&self, bytes: usize) {
        let Some(shared) = self.entry.shared.upgrade() else {
            return;
        };
        if let Some(paid_at) = shared.traffic.pay(bytes) {
            sleep_until(paid_at).await;
        }
        let go_on_at = Instant::now() + STAND_BACK_MAX;
        while !is_awaited(&self.entry) && shared.traffic.has_awaited() && Instant::now() < go_on_at
        {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Whether a download reads it.
fn is_awaited(entry: &Entry) -> bool {
    entry.downloads.load(Relaxed) > 0
}
