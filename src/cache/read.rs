//! A download's way through an entry.

use std::{
    fs::File,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Fill, chunk_range,
    entry::{Check, Entry, Look},
};
use crate::model::ByteRange;

/// Reads a range of an entry, in order. What is not there is to be fetched by whoever is told so.
#[derive(Debug)]
pub struct Reader {
    entry: Arc<Entry>,
    rest: ByteRange,
    /// The chunk whose check this reader has waited for: once is enough, also where the kernel keeps no
    /// pages.
    waited: Option<u32>,
    patience: Duration,
    purpose: Purpose,
    /// The right to read past the cache while others wait for a fill.
    second: Option<OwnedSemaphorePermit>,
}

/// What a reader is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody waits for the bytes.
    Download,
    /// They are only to be there.
    Prefetch,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// These bytes of a file, which are in the page cache.
    Window {
        /// The file.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// Bytes are missing: fetch them, beside this reader, and ask again.
    Missing(Fill),
    /// The rest will not come into the cache.
    Refused(ByteRange),
    /// That was all.
    End,
}

impl Reader {
    pub(super) fn new(
        entry: Arc<Entry>,
        range: ByteRange,
        purpose: Purpose,
        patience: Duration,
    ) -> Self {
        entry.readers.fetch_add(1, Relaxed);
        if purpose == Purpose::Download {
            entry.downloads.fetch_add(1, Relaxed);
        }
        Self {
            entry,
            rest: range,
            waited: None,
            patience,
            purpose,
            second: None,
        }
    }

    /// The next bytes, as soon as they are there. `seeks` is whether the origin gives ranges.
    ///
    /// A chunk of an earlier process, or one that has left the page cache, is read and compared with
    /// its digest first.
    pub async fn next(&mut self, seeks: bool) -> Next {
        let entry = self.entry.clone();
        loop {
            if self.rest.len == 0 {
                return Next::End;
            }
            let mut changed = std::pin::pin!(entry.changed.notified());
            changed.as_mut().enable();
            match entry.look(self.rest.offset, self.rest.end(), seeks) {
                Look::Ready(chunk, check) => {
                    let window = self.window(chunk_range(chunk, entry.size_bytes).end());
                    if check == Check::Good
                        && (self.waited == Some(chunk) || self.is_cached(window))
                    {
                        self.check_ahead(chunk + 1);
                        return self.take(window);
                    }
                    self.begin_check(chunk);
                    self.waited = Some(chunk);
                }
                Look::Written(to) => {
                    let window = self.window(to);
                    return self.take(window);
                }
                Look::Missing(fill) => return Next::Missing(fill),
                Look::Refused => return Next::Refused(self.rest),
                Look::Far if self.goes_past() => return Next::Refused(self.rest),
                Look::Far | Look::Wait => {}
            }
            if timeout(self.patience, changed).await.is_err() {
                tracing::warn!(image.id = %entry.key.image(), "A fill of the cache stands still");
                return Next::Refused(self.rest);
            }
        }
    }

    /// Takes it upon itself to read the origin a second time, if nobody does.
    fn goes_past(&mut self) -> bool {
        if self.purpose == Purpose::Download {
            self.second = self.entry.second.clone().try_acquire_owned().ok();
        }
        self.second.is_some()
    }

    /// What is left up to there.
    fn window(&self, to: u64) -> ByteRange {
        let ByteRange { offset, len } = self.rest;
        ByteRange {
            offset,
            len: len.min(to - offset),
        }
    }

    fn take(&mut self, window: ByteRange) -> Next {
        self.rest.offset += window.len;
        self.rest.len -= window.len;
        if self.purpose == Purpose::Download {
            self.entry.served_bytes.fetch_add(window.len, Relaxed);
        }
        Next::Window {
            file: self.entry.files.data().clone(),
            offset: window.offset,
            len: window.len,
        }
    }

    /// While a chunk is sent, the next one is made ready.
    fn check_ahead(&self, chunk: u32) {
        let range = chunk_range(chunk, self.entry.size_bytes);
        if range.offset >= self.rest.end() {
            return;
        }
        let is_due = match self.entry.look_only(chunk) {
            Some(Check::Open) => true,
            Some(Check::Good) => !self.is_cached(range),
            Some(Check::Busy) | None => false,
        };
        if is_due {
            self.begin_check(chunk);
        }
    }

    fn begin_check(&self, chunk: u32) {
        if self.entry.begin_check(chunk) {
            let entry = self.entry.clone();
            tokio::task::spawn_blocking(move || entry.check(chunk));
        }
    }

    fn is_cached(&self, window: ByteRange) -> bool {
        fresnel_ring::is_cached(self.entry.files.data(), window.offset, window.len)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.entry.readers.fetch_sub(1, Relaxed);
        if self.purpose == Purpose::Download {
            self.entry.downloads.fetch_sub(1, Relaxed);
        }
    }
}
