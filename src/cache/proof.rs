//! Whether an entry is the image that it says.

use std::{io, os::unix::fs::FileExt, pin::pin, sync::Arc};

use tokio::sync::OwnedSemaphorePermit;
use tracing::{error, info};

use super::{Fill, Key, Shared, chunk_of, entry::Entry};

/// The duty to hash an entry and to say what came of it. Dropped without a word, the entry is neither
/// proven nor gone.
#[derive(Debug)]
pub struct Proof {
    entry: Arc<Entry>,
    shared: Arc<Shared>,
    is_due: bool,
    _turn: OwnedSemaphorePermit,
}

/// Whether an entry is to be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// By whoever asked.
    Yes,
    /// Somebody does it just now.
    Busy,
    /// It is not whole, or proven.
    No,
}

impl Proof {
    /// Of an entry that is whole, once nobody else is about to prove it.
    pub(super) async fn of_whole(entry: Arc<Entry>, shared: Arc<Shared>) -> Option<Self> {
        if !entry.is_whole() || entry.is_proven() {
            return None;
        }
        let turn = shared.proofs.clone().acquire_owned().await.ok()?;
        loop {
            let mut changed = pin!(entry.changed.notified());
            changed.as_mut().enable();
            match entry.begin_proof() {
                Due::Yes => break,
                Due::Busy => changed.await,
                Due::No => return None,
            }
        }
        Some(Self::new(entry, shared, turn))
    }

    /// Of an entry that a fill makes whole, to go on beside it.
    pub(super) fn beside(fill: &Fill, shared: Arc<Shared>) -> Option<Self> {
        let turn = shared.followers.clone().try_acquire_owned().ok()?;
        let entry = fill.makes_whole()?.clone();
        entry
            .begin_early_proof()
            .then(|| Self::new(entry, shared, turn))
    }

    fn new(entry: Arc<Entry>, shared: Arc<Shared>, turn: OwnedSemaphorePermit) -> Self {
        Self {
            entry,
            shared,
            is_due: true,
            _turn: turn,
        }
    }

    /// What the entry should be.
    pub fn key(&self) -> &Key {
        &self.entry.key
    }

    /// Bytes to be hashed.
    pub fn size_bytes(&self) -> u64 {
        self.entry.size_bytes
    }

    /// Waits until the chunk of that byte is there. False where nobody brings it any more.
    pub async fn reaches(&self, at: u64) -> bool {
        loop {
            let mut changed = pin!(self.entry.changed.notified());
            changed.as_mut().enable();
            // In this order: a fill has written its last chunk before it ends.
            let is_coming = self.entry.has_fills();
            if self.entry.look_only(chunk_of(at)).is_some() {
                return true;
            }
            if !is_coming {
                return false;
            }
            changed.await;
        }
    }

    /// Reads bytes of chunks that are there. Blocks.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.entry.files.data().read_exact_at(bytes, offset)
    }

    /// Says what all bytes hash to, in lower-case hexadecimal digits: an entry that is another image is
    /// gone. Blocks.
    pub fn end(mut self, digest: &str) -> bool {
        let is_good = digest == self.entry.key.digest();
        let image = self.entry.key.image().clone();
        self.entry.end_proof(is_good);
        self.is_due = false;
        if is_good {
            info!(image.id = %image, bytes = self.entry.size_bytes, "A cached image is proven");
        } else {
            error!(image.id = %image, "A cached image does not have its digest and is removed");
            metrics::counter!("fresnel_cache_wrong_images_total").increment(1);
            self.shared.remove(&self.entry);
        }
        is_good
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        if self.is_due {
            self.entry.end_proof(false);
        }
    }
}
