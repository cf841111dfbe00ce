//! Room: what entries have taken, and what the disk has left.

use std::{io, path::PathBuf};

use parking_lot::Mutex;

use super::{Config, disk};

#[derive(Debug)]
pub(super) struct Space {
    dir: PathBuf,
    limit_bytes: u64,
    free_bytes: u64,
    taken_bytes: Mutex<u64>,
}

impl Space {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            dir: config.dir.clone(),
            limit_bytes: config.limit_bytes,
            free_bytes: config.free_bytes,
            taken_bytes: Mutex::new(0),
        }
    }

    /// Takes room, if there is some.
    pub(super) fn try_take(&self, bytes: u64) -> io::Result<bool> {
        let left_bytes = disk::free_bytes(&self.dir)?.saturating_sub(bytes);
        let mut taken_bytes = self.taken_bytes.lock();
        let fits = *taken_bytes + bytes <= self.limit_bytes && left_bytes >= self.free_bytes;
        if fits {
            *taken_bytes += bytes;
        }
        Ok(fits)
    }

    /// Counts what is on disk already.
    pub(super) fn take_unasked(&self, bytes: u64) {
        *self.taken_bytes.lock() += bytes;
    }

    pub(super) fn give(&self, bytes: u64) {
        *self.taken_bytes.lock() -= bytes;
    }

    pub(super) fn is_over(&self) -> bool {
        *self.taken_bytes.lock() > self.limit_bytes
    }

    pub(super) fn taken_bytes(&self) -> u64 {
        *self.taken_bytes.lock()
    }
}
