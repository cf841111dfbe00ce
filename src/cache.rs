//! Images' bytes on the local disk: looked up by what they hash to, fetched once whoever asks, sent
//! from the page cache. Knows no store and no upstream.
//!
//! An entry is an image's bytes in chunks of 4 MiB, each absent, being written, or there with the
//! BLAKE3 that it had when it was written. A [`Reader`] goes through a range of it. What it finds
//! missing it is given as a [`Fill`]: a duty that is given once, to be done by somebody who knows where
//! bytes come from, beside all readers and at the origin's own pace. Readers follow the bytes as they
//! are written.
//!
//! **What is sent was written.** A chunk that this process has written, and whose pages have not left
//! memory since, is sent as it is; every other is read and compared with its BLAKE3 first. On disk a
//! chunk counts when its data was synced before its record was written ([`meta`]). When an entry is
//! whole, its image's own digest is looked at ([`Proof`]), and an entry that has another is gone.
//!
//! **Room** is taken chunk by chunk, before a chunk is written: entries are removed until both the
//! limit and the free disk allow it ([`index`] says which), or the rest of the image is not cached. An
//! entry is two open files, so that there are no more of them than half of the process's descriptors.
//! An entry that somebody reads is not removed for room; one that is removed all the same is read on
//! by whoever reads it, and its room counts until then.

mod disk;
mod entry;
mod fill;
mod index;
mod key;
pub mod meta;
mod pace;
mod proof;
mod queue;
mod read;
mod scrub;
mod shown;
mod space;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use metrics::{counter, gauge};
use parking_lot::Mutex;
use rustix::{
    fs::FlockOperation,
    process::{Resource, getrlimit},
};
use tokio::{sync::Semaphore, task::spawn_blocking};
use tracing::{info, warn};

use crate::{
    base::limits::MIB,
    model::{ByteRange, ImageId},
};
use disk::{Files, Folder};
use entry::{ENTRY_BYTES, Entry, Times};
use index::{Index, Place};
use pace::Traffic;
use read::Purpose;
use scrub::Scrub;
use space::Space;

pub use fill::{Fill, Flow};
pub use key::{Key, Owner};
pub use pace::Pace;
pub use proof::Proof;
pub use queue::Queue;
pub use read::{Next, Reader};
pub use shown::Shown;

/// Bytes of a chunk; the last one of an image has fewer.
pub const CHUNK_BYTES: u64 = 4 * MIB as u64;

/// Fills at once. Each has a thread that writes; a download beyond them reads past the cache.
const FILLS_MAX: usize = 64;
/// How often the disk is told what was filled, and a chunk on it is looked at: what a crash loses is
/// fetched again, and a TiB is read in six days.
const SAVE_EVERY: Duration = Duration::from_secs(2);

/// Where the cache is and how large it may be.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory of our entries: ours alone.
    pub dir: PathBuf,
    /// Bytes of all entries together, holes not counted.
    pub limit_bytes: u64,
    /// Bytes that stay free on the filesystem.
    pub free_bytes: u64,
    /// A reader that waits so long for a chunk that another fetches reads past the cache.
    pub patience: Duration,
    /// Bytes that all fills together fetch in a second; none is no limit.
    pub fill_bytes_per_second: Option<u64>,
    /// Bytes by which a fill from an origin without ranges may be behind what a reader wants; of those
    /// who want more one reads past the cache. None: all wait.
    pub lag_bytes: Option<u64>,
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be used.
    #[error("cannot use the directory {path}")]
    Dir {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the directory {0} is used by another process")]
    Locked(PathBuf),
}

/// The cache of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Cache {
    shared: Arc<Shared>,
}

/// An entry that is not removed for room as long as this is there.
#[derive(Debug)]
pub struct Hold {
    _entry: Arc<Entry>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a look at everything that is on disk has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Chunks that are what was written.
    pub good_chunks: u64,
    /// Chunks that are not, and count as absent now.
    pub damaged_chunks: u64,
}

/// What entries and fills know of the cache.
#[derive(Debug)]
struct Shared {
    config: Config,
    entries_max: usize,
    folder: Arc<Folder>,
    space: Space,
    index: Mutex<Index<Entry>>,
    fills: Arc<Semaphore>,
    traffic: Traffic,
    /// Entries are made one after the other, so that no two are of one key.
    making: Mutex<()>,
    /// Images are proven one after the other.
    proofs: Semaphore,
    _lock: File,
}

impl Cache {
    /// Takes the directory, and what an earlier process left there. Blocks.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(config: Config) -> Result<Self, Error> {
        let folder = Folder::new(config.dir.clone());
        Self::open_folder(config, folder, entries_max())
    }

    fn open_folder(config: Config, folder: Folder, entries_max: usize) -> Result<Self, Error> {
        let unusable = |source| Error::Dir {
            path: config.dir.clone(),
            source,
        };
        fs::create_dir_all(&config.dir).map_err(unusable)?;
        let lock = File::create(config.dir.join("lock")).map_err(unusable)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| Error::Locked(config.dir.clone()))?;
        let folder = Arc::new(folder);
        let shared = Arc::new(Shared {
            space: Space::new(&config),
            traffic: Traffic::new(config.fill_bytes_per_second),
            config,
            entries_max,
            folder,
            index: Mutex::default(),
            fills: Arc::new(Semaphore::new(FILLS_MAX)),
            making: Mutex::new(()),
            proofs: Semaphore::new(1),
            _lock: lock,
        });
        shared.load().map_err(|source| Error::Dir {
            path: shared.config.dir.clone(),
            source,
        })?;
        Ok(Self { shared })
    }

    /// What lies in a directory, whoever has it. Hits are in no file. Blocks.
    ///
    /// # Errors
    /// [`Error::Dir`].
    pub fn look(dir: &Path) -> Result<Vec<Shown>, Error> {
        let found = Folder::new(dir.to_owned()).look();
        let found = found.map_err(|source| Error::Dir {
            path: dir.to_owned(),
            source,
        })?;
        let found = found.into_iter();
        let shown = found.map(|(modified, meta)| Shown::of_file(modified, meta));
        Ok(shown.collect())
    }

    /// A download's way through an entry, which is made where there is none; `None` where such an
    /// image is not cached, or nothing can be written.
    pub async fn read(&self, key: &Key, size_bytes: u64, range: ByteRange) -> Option<Reader> {
        let entry = self.open_entry(key, size_bytes).await?;
        entry.set_times(Times {
            accessed: SystemTime::now(),
            ..entry.times()
        });
        let outcome = match entry.has(range.offset, range.end()) {
            true => "hit",
            false => "miss",
        };
        if outcome == "hit" {
            entry.hits.fetch_add(1, Relaxed);
        }
        counter!("fresnel_cache_requests_total", "outcome" => outcome).increment(1);
        let patience = self.shared.config.patience;
        Some(Reader::new(entry, range, Purpose::Download, patience))
    }

    /// The way through a whole entry of somebody who only wants it to be there: nobody waits for it, and it
    /// counts as no use. `None` as for [`Cache::read`].
    pub async fn prefetch(&self, key: &Key, size_bytes: u64) -> Option<Reader> {
        let entry = self.open_entry(key, size_bytes).await?;
        let (range, patience) = (ByteRange::whole(size_bytes), self.shared.config.patience);
        Some(Reader::new(entry, range, Purpose::Prefetch, patience))
    }

    /// Keeps an entry that is whole; `None` where there is none.
    pub fn hold(&self, key: &Key) -> Option<Hold> {
        let entry = self.shared.index.lock().get(key)?;
        entry.is_whole().then_some(Hold { _entry: entry })
    }

    async fn open_entry(&self, key: &Key, size_bytes: u64) -> Option<Arc<Entry>> {
        if let Some(entry) = self.shared.find(key, size_bytes) {
            return Some(entry);
        }
        let (shared, key) = (self.shared.clone(), key.clone());
        let made = spawn_blocking(move || shared.make(&key, size_bytes)).await;
        made.ok().flatten()
    }

    /// The duty to prove the entry, if it is whole and nobody does.
    pub async fn proof(&self, key: &Key) -> Option<Proof> {
        let entry = self.shared.index.lock().get(key)?;
        if !entry.is_whole() || entry.is_proven() {
            return None;
        }
        let turn = self.shared.proofs.acquire().await.ok()?;
        turn.forget();
        Proof::begin(entry, self.shared.clone())
    }

    /// What is whole and not proven.
    pub fn unproven(&self) -> Vec<Key> {
        let open = |entry: &Arc<Entry>| entry.is_whole() && !entry.is_proven();
        let entries = self.shared.all().filter(open);
        entries.map(|entry| entry.key.clone()).collect()
    }

    /// Every entry, in no order.
    pub fn entries(&self) -> Vec<Shown> {
        self.shared.all().map(|entry| Shown::of(&entry)).collect()
    }

    /// Those of images.
    pub fn images(&self) -> Vec<Shown> {
        let mut entries = self.entries();
        entries.retain(|shown| shown.key.owner() == Owner::Image);
        entries
    }

    /// Whether there is an entry of an image, with anything in it or nothing.
    pub fn knows(&self, image: &ImageId) -> bool {
        let index = self.shared.index.lock();
        index.entries().any(|(key, _)| key.is_of(image))
    }

    /// Whether all of an image is there.
    pub fn has(&self, image: &ImageId) -> bool {
        let mut entries = self.shared.some(|key| key.is_of(image));
        entries.any(|entry| entry.is_whole())
    }

    /// Bytes that all entries together may have.
    pub fn limit_bytes(&self) -> u64 {
        self.shared.config.limit_bytes
    }

    /// Removes the entries of an image, or of a blob. Who reads one reads on. Blocks.
    pub fn remove(&self, image: &ImageId) -> Removed {
        self.remove_each(self.shared.some(|key| key.image() == image))
    }

    /// Removes all entries. Blocks.
    pub fn clear(&self) -> Removed {
        self.remove_each(self.shared.all())
    }

    /// Removes entries that nobody fills and that have not grown for so long without being whole. Blocks.
    pub fn clean(&self, stall: Duration) -> Removed {
        self.remove_each(self.shared.all().filter(|entry| {
            let age = entry.times().modified.elapsed().unwrap_or_default();
            !entry.is_whole() && !entry.has_fills() && age >= stall
        }))
    }

    /// Removes entries until the limit holds, which it does but for those that are read. Blocks.
    pub fn prune(&self) -> Removed {
        self.shared.shrink()
    }

    /// Reads every chunk that is there and compares it with what was written. `tell` hears of each image how
    /// many of its bytes were read. Blocks for as long as that takes.
    pub fn verify(&self, tell: impl Fn(&ImageId, u64)) -> Verified {
        let mut verified = Verified::default();
        for entry in self.shared.all() {
            for (chunk, read) in entry.ready_chunks().into_iter().zip(0..) {
                tell(entry.key.image(), read * CHUNK_BYTES);
                if !entry.begin_check(chunk) {
                    continue;
                }
                match entry.check(chunk) {
                    true => verified.good_chunks += 1,
                    false => verified.damaged_chunks += 1,
                }
            }
        }
        verified
    }

    /// Tells the disk what was filled since it was last told. Blocks.
    pub fn save(&self) {
        for entry in self.shared.all() {
            if let Err(error) = entry.save() {
                warn!(image.id = %entry.key.image(), %error, "Could not sync an entry of the cache");
            }
        }
        gauge!("fresnel_cache_bytes").set(self.shared.space.taken_bytes() as f64);
    }

    /// Saves and scrubs from time to time, for as long as the process runs.
    pub async fn keep(self) {
        let mut ticks = tokio::time::interval(SAVE_EVERY);
        let mut scrub = Scrub::default();
        loop {
            ticks.tick().await;
            let cache = self.clone();
            let kept = spawn_blocking(move || {
                cache.save();
                scrub.step(&cache.shared);
                scrub
            });
            // Its panics are told by the panic hook.
            scrub = kept.await.unwrap_or_default();
        }
    }

    fn remove_each(&self, entries: impl Iterator<Item = Arc<Entry>>) -> Removed {
        let mut removed = Removed::default();
        for entry in entries {
            removed.add(&entry);
            self.shared.remove(&entry);
        }
        removed
    }
}

impl Shared {
    /// What is on disk, the longest untouched first in line.
    fn load(self: &Arc<Self>) -> io::Result<()> {
        let mut names = self.folder.names()?;
        let surplus = names.len().saturating_sub(self.entries_max);
        for (_, name) in names.drain(..surplus) {
            warn!(
                name,
                "An entry of the cache is removed: so many files cannot be open"
            );
            self.folder.remove(&name)?;
        }
        let mut found = Vec::new();
        for (modified, name) in names {
            match Files::open(&self.folder, &name) {
                Ok((files, meta)) => found.push((modified, files, meta)),
                Err(error) if error.is_lost() => {
                    warn!(name, %error, "An entry of the cache cannot be used and is removed");
                    self.folder.remove(&name)?;
                }
                Err(error) => return Err(io::Error::other(format!("{name}: {error}"))),
            }
        }
        for (modified, files, meta) in found {
            let weak = Arc::downgrade(self);
            let entry = Entry::new(meta.key.clone(), meta.size_bytes, files, Some(&meta), weak);
            entry.set_times(Times {
                modified,
                accessed: modified,
            });
            self.space.take_unasked(entry.taken_bytes());
            let place = match meta.proven {
                true => Place::Main,
                false => Place::Small,
            };
            let older = self
                .index
                .lock()
                .insert_at(place, meta.key, Arc::new(entry));
            if let Some(older) = older {
                older.close();
            }
        }
        let removed = self.shrink();
        let entries = self.index.lock().entries().count();
        let bytes = self.space.taken_bytes();
        info!(
            entries,
            bytes,
            removed = removed.entries,
            "The cache is ready"
        );
        Ok(())
    }

    fn find(&self, key: &Key, size_bytes: u64) -> Option<Arc<Entry>> {
        let entry = self.index.lock().get(key)?;
        (entry.size_bytes == size_bytes).then_some(entry)
    }

    /// A new entry, if there is none and such an image is cached. Blocks.
    fn make(self: &Arc<Self>, key: &Key, size_bytes: u64) -> Option<Arc<Entry>> {
        let _making = self.making.lock();
        if let Some(entry) = self.find(key, size_bytes) {
            return Some(entry);
        }
        let needs_bytes = size_bytes.checked_add(ENTRY_BYTES)?;
        let fits = needs_bytes <= self.config.limit_bytes && size_bytes <= meta::SIZE_BYTES_MAX;
        if size_bytes == 0 || !fits {
            counter!("fresnel_cache_requests_total", "outcome" => "bypass").increment(1);
            return None;
        }
        let made = self.make_place().and_then(|()| {
            Files::create(&self.folder, key, size_bytes)
                .inspect_err(|_| self.space.give(ENTRY_BYTES))
        });
        let files = match made {
            Ok(files) => files,
            Err(error) => {
                warn!(image.id = %key.image(), %error, "An image is not cached");
                return None;
            }
        };
        let weak: Weak<Self> = Arc::downgrade(self);
        let entry = Arc::new(Entry::new(key.clone(), size_bytes, files, None, weak));
        let older = self.index.lock().insert(key.clone(), entry.clone());
        if let Some(older) = older {
            older.close();
        }
        Some(entry)
    }

    /// Takes an entry's own room, and two descriptors. Blocks.
    fn make_place(&self) -> io::Result<()> {
        while self.index.lock().len() >= self.entries_max {
            if self.evict().is_none() {
                return Err(io::Error::other("so many files cannot be open"));
            }
        }
        self.make_room(ENTRY_BYTES)
    }

    /// Takes room, removing entries that nobody reads as far as it must. Blocks.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        while !self.space.try_take(bytes)? {
            if self.evict().is_none() {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        Ok(())
    }

    fn shrink(&self) -> Removed {
        let mut removed = Removed::default();
        while self.space.is_over()
            && let Some(entry) = self.evict()
        {
            removed.add(&entry);
        }
        removed
    }

    fn evict(&self) -> Option<Arc<Entry>> {
        let limit_bytes = self.config.limit_bytes;
        let entry = self.index.lock().evict(limit_bytes, Entry::used)?;
        info!(image.id = %entry.key.image(), bytes = entry.taken_bytes(), "Evicted from the cache");
        counter!("fresnel_cache_evictions_total").increment(1);
        entry.close();
        Some(entry)
    }

    fn remove(&self, entry: &Arc<Entry>) {
        let mut index = self.index.lock();
        let current = index.get(&entry.key);
        if current.is_some_and(|current| Arc::ptr_eq(&current, entry)) {
            index.remove(&entry.key);
        }
        drop(index);
        entry.close();
    }

    fn all(&self) -> impl Iterator<Item = Arc<Entry>> + use<> {
        self.some(|_| true)
    }

    /// What there is now under such keys, one after the other: an entry that somebody holds is not evicted.
    fn some<F>(&self, is_meant: F) -> impl Iterator<Item = Arc<Entry>> + use<F>
    where
        F: Fn(&Key) -> bool,
    {
        let index = self.index.lock();
        let meant = index.entries().filter(|(key, _)| is_meant(key));
        let meant: Vec<Weak<Entry>> = meant.map(|(_, entry)| Arc::downgrade(entry)).collect();
        meant.into_iter().filter_map(|entry| entry.upgrade())
    }
}

/// As many as take half of the descriptors that the process may have; the others are for connections.
fn entries_max() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors / 4).unwrap_or(usize::MAX)
}

impl Removed {
    fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.bytes += entry.filled_bytes();
    }
}

/// The chunk of an image that has a byte.
fn chunk_of(at: u64) -> u32 {
    u32::try_from(at / CHUNK_BYTES).unwrap_or(u32::MAX)
}

/// The bytes of a chunk.
fn chunk_range(chunk: u32, size_bytes: u64) -> ByteRange {
    let offset = u64::from(chunk) * CHUNK_BYTES;
    ByteRange {
        offset,
        len: CHUNK_BYTES.min(size_bytes.saturating_sub(offset)),
    }
}

#[cfg(test)]
mod tests;
