//! Whether a whole entry is the image that it says.

use std::{io, os::unix::fs::FileExt, sync::Arc};

use tracing::{error, info};

use super::{Key, Shared, entry::Entry};

/// The duty to hash an entry and to say what came of it. Dropped without a word, the entry is neither
/// proven nor gone.
#[derive(Debug)]
pub struct Proof {
    entry: Arc<Entry>,
    shared: Arc<Shared>,
    is_due: bool,
}

impl Proof {
    /// Takes over a permit of the shared proofs.
    pub(super) fn begin(entry: Arc<Entry>, shared: Arc<Shared>) -> Option<Self> {
        let is_due = entry.begin_proof();
        let proof = Self {
            entry,
            shared,
            is_due,
        };
        is_due.then_some(proof)
    }

    /// What the entry should be.
    pub fn key(&self) -> &Key {
        &self.entry.key
    }

    /// Bytes to be hashed.
    pub fn size_bytes(&self) -> u64 {
        self.entry.size_bytes
    }

    /// Reads bytes of the entry; all of them are there. Blocks.
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
        self.shared.proofs.add_permits(1);
    }
}
