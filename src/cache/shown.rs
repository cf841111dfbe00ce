//! An entry, as it is shown.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{
    Key, chunk_range,
    entry::{Entry, Times},
    meta::Meta,
};

/// An entry, as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What it has the bytes of.
    pub key: Key,
    /// All of the image's bytes.
    pub size_bytes: u64,
    /// Those that are there.
    pub filled_bytes: u64,
    /// Downloads that found all that they asked for.
    pub hits: u64,
    /// When it was last asked for.
    pub accessed: SystemTime,
    /// When it last grew.
    pub modified: SystemTime,
    /// All of it has the image's own digest.
    pub is_proven: bool,
}

impl Shown {
    pub(super) fn of(entry: &Entry) -> Self {
        let Times { modified, accessed } = entry.times();
        Self {
            key: entry.key.clone(),
            size_bytes: entry.size_bytes,
            filled_bytes: entry.filled_bytes(),
            hits: entry.hits.load(Relaxed),
            accessed,
            modified,
            is_proven: entry.is_proven(),
        }
    }

    /// What lies on disk, where hits are not.
    pub(super) fn of_file(modified: SystemTime, meta: Meta) -> Self {
        let chunks = meta.ready.keys();
        let lens = chunks.map(|chunk| chunk_range(*chunk, meta.size_bytes).len);
        Self {
            filled_bytes: lens.sum(),
            key: meta.key,
            size_bytes: meta.size_bytes,
            hits: 0,
            accessed: modified,
            modified,
            is_proven: meta.proven,
        }
    }

    /// Whether all of the image is there.
    pub fn is_whole(&self) -> bool {
        self.filled_bytes == self.size_bytes
    }

    /// As the cache's API tells it, Glance's and a node's (reference A.10).
    pub fn document(&self) -> Value {
        json!({
            "image_id": self.key.image().as_str(),
            "last_accessed": epoch_seconds(self.accessed),
            "last_modified": epoch_seconds(self.modified),
            "size": self.size_bytes,
            "hits": self.hits,
        })
    }
}

fn epoch_seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64()
}
