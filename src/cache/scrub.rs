//! Reads what lies on disk from time to time, so that damage is found before somebody waits for it.

use std::sync::{Arc, Weak};

use super::{Shared, entry::Entry};

/// Goes round all chunks, one at a time.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    /// The entries of this round that are still to come; the last is at hand.
    entries: Vec<Weak<Entry>>,
    chunk: u32,
}

impl Scrub {
    /// Checks the next chunk that is there. Blocks.
    pub(super) fn step(&mut self, shared: &Shared) {
        if self.entries.is_empty() {
            self.entries = shared.all().map(|entry| Arc::downgrade(&entry)).collect();
            self.chunk = 0;
        }
        while let Some(entry) = self.entries.last() {
            let next = entry.upgrade().and_then(|entry| {
                let chunk = entry.next_ready(self.chunk)?;
                Some((entry, chunk))
            });
            let Some((entry, chunk)) = next else {
                self.entries.pop();
                self.chunk = 0;
                continue;
            };
            self.chunk = chunk + 1;
            if entry.begin_check(chunk) {
                entry.check(chunk);
                return;
            }
        }
    }
}
