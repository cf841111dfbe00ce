//! The process's one pool of buffers for all transfers.
//!
//! Each store has a share of its own, so that transfers to a store that has died cannot starve
//! those to the others. Of its share a transfer is admitted with [`ADMISSION_CHUNKS`] buffers (an
//! upload to a store that gathers, with as many as that takes), which nobody else can take from it,
//! and borrows the rest from what is free.
//!
//! **No deadlock.** A transfer that holds less than its admission gets a buffer at once. One that
//! holds more waits for its own buffers as well as for the share's, and a buffer that it returns
//! goes first against what it borrowed: so once its chunks have gone where they go, it has its
//! admission back, whatever the others do. Nobody may therefore wait for a buffer while it keeps
//! chunks until that buffer comes: gather with [`Admission::try_buffer`].

use std::{
    collections::HashMap,
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fresnel_mem::Block;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::Chunk;
use crate::{
    base::limits::{ADMISSION_CHUNKS, CHUNK_BYTES},
    model::StoreId,
};

/// The least that a store's share may be: two uploads at once.
const UPLOADS_MIN: usize = 2;

/// What is decrypted on its way out, beside all stores' shares: who holds buffers of a store to read from it
/// must not wait for more of the same.
pub const DECRYPTION_BYTES: usize = 32 * CHUNK_BYTES;

/// The share of a store that takes no uploads: a download gathers nothing, and needs a buffer or two.
pub const READER_SHARE_BYTES: usize = 16 * CHUNK_BYTES;

/// Buffers that stay committed when no transfer runs: a small image touches no fresh memory.
const IDLE_BLOCKS_MAX: usize = 4;

/// All buffers of the process.
#[derive(Clone, Debug)]
pub struct Pool {
    shares: Arc<HashMap<StoreId, Arc<Share>>>,
    decryption: Arc<Share>,
}

/// What a transfer that may need no buffers holds instead of an admission: it reserves nothing.
#[derive(Clone, Debug)]
pub struct Claim {
    share: Arc<Share>,
    chunks: usize,
    wait: Duration,
}

/// No buffers within the wait.
#[derive(Debug, thiserror::Error)]
#[error("no buffers became free in time")]
pub struct Exhausted;

impl Pool {
    /// At most `limit_bytes` in flight, shared equally by `stores`. Every store gets at least
    /// 4 MiB, also where that is more than the limit.
    pub fn new(limit_bytes: usize, stores: &[StoreId]) -> Self {
        let gather_nothing = stores.iter().map(|store| (store.clone(), 0));
        Self::with_gathering(limit_bytes, gather_nothing.collect())
    }

    /// The same for stores that gather so many bytes before they write any: an upload is admitted with
    /// room for them and a buffer more, and every store gets at least what two uploads are admitted
    /// with.
    pub fn with_gathering(limit_bytes: usize, stores: Vec<(StoreId, usize)>) -> Self {
        let chunks = Self::share_bytes(limit_bytes, stores.len()) / CHUNK_BYTES;
        let shelf = Arc::new(Shelf::default());
        let share = |(store, gathered_bytes): (StoreId, usize)| {
            let upload_chunks = upload_chunks(gathered_bytes);
            let share = Share {
                free: Semaphore::new(chunks.max(UPLOADS_MIN * upload_chunks)),
                chunks: chunks.max(UPLOADS_MIN * upload_chunks),
                upload_chunks,
                store: store.clone(),
                shelf: shelf.clone(),
            };
            (store, Arc::new(share))
        };
        let decryption = Share {
            free: Semaphore::new(DECRYPTION_BYTES / CHUNK_BYTES),
            chunks: DECRYPTION_BYTES / CHUNK_BYTES,
            upload_chunks: ADMISSION_CHUNKS,
            store: StoreId::new("decryption"),
            shelf: shelf.clone(),
        };
        Self {
            shares: Arc::new(stores.into_iter().map(share).collect()),
            decryption: Arc::new(decryption),
        }
    }

    /// Adds stores that take no uploads, each with [`READER_SHARE_BYTES`] of its own.
    pub fn with_readers(self, readers: impl Iterator<Item = StoreId>) -> Self {
        let shelf = Arc::new(Shelf::default());
        let mut shares = (*self.shares).clone();
        shares.extend(readers.map(|store| {
            let share = Share {
                free: Semaphore::new(READER_SHARE_BYTES / CHUNK_BYTES),
                chunks: READER_SHARE_BYTES / CHUNK_BYTES,
                upload_chunks: ADMISSION_CHUNKS,
                store: store.clone(),
                shelf: shelf.clone(),
            };
            (store, Arc::new(share))
        }));
        Self {
            shares: Arc::new(shares),
            ..self
        }
    }

    /// What each of so many stores gets of a limit, where that is enough for it.
    pub fn share_bytes(limit_bytes: usize, stores: usize) -> usize {
        limit_bytes / stores.max(1)
    }

    /// Waits, in order of arrival, for the buffers that an upload to `store` starts with.
    ///
    /// # Panics
    /// When the pool was not made for `store`.
    pub async fn admit(&self, store: &StoreId, wait: Duration) -> Result<Admission, Exhausted> {
        self.admit_gathering(store, 0, wait).await
    }

    /// The same for an upload of which so many bytes are gathered before any are written, where those are more than
    /// the store usually gathers; at most all that the store has.
    ///
    /// # Panics
    /// As [`Pool::admit`].
    pub async fn admit_gathering(
        &self,
        store: &StoreId,
        gathered_bytes: usize,
        wait: Duration,
    ) -> Result<Admission, Exhausted> {
        let mut claim = self.claim(store, wait);
        let share = &claim.share;
        let chunks = upload_chunks(gathered_bytes).max(share.upload_chunks);
        claim.chunks = chunks.min(share.chunks);
        claim.admit().await
    }

    /// Waits, in order of arrival, for the buffers that a download is decrypted in. Whoever waits holds no
    /// others.
    pub async fn admit_decryption(&self, wait: Duration) -> Result<Admission, Exhausted> {
        let claim = Claim {
            share: self.decryption.clone(),
            chunks: ADMISSION_CHUNKS,
            wait,
        };
        claim.admit().await
    }

    /// The right to be admitted later to read from `store`, waiting up to `wait` then.
    ///
    /// # Panics
    /// When the pool was not made for `store`.
    pub fn claim(&self, store: &StoreId, wait: Duration) -> Claim {
        let share = self.shares.get(store);
        let share = share.expect("the pool is made for every store of the registry");
        Claim {
            share: share.clone(),
            chunks: ADMISSION_CHUNKS,
            wait,
        }
    }
}

fn upload_chunks(gathered_bytes: usize) -> usize {
    (gathered_bytes.div_ceil(CHUNK_BYTES) + 1).max(ADMISSION_CHUNKS)
}

impl Claim {
    /// Waits, in order of arrival, for the buffers that a transfer starts with.
    pub async fn admit(&self) -> Result<Admission, Exhausted> {
        let share = &self.share;
        let chunks = u32::try_from(self.chunks).expect("an admission is a few chunks");
        let reserve = share.free.acquire_many(chunks);
        tokio::time::timeout(self.wait, reserve)
            .await
            .map_err(|_| Exhausted)?
            .expect("a share is never closed")
            .forget();
        share.shelf.open();
        Ok(Admission {
            ledger: Arc::new(Ledger {
                own: Semaphore::new(self.chunks),
                admitted_chunks: self.chunks,
                borrowed_chunks: Mutex::new(0),
                share: share.clone(),
            }),
        })
    }
}

/// A transfer's right to buffers. It ends with the last clone and the last of its buffers.
#[derive(Clone, Debug)]
pub struct Admission {
    ledger: Arc<Ledger>,
}

impl Admission {
    /// An empty buffer, as soon as there is one: the transfer's own, or one that is free in the
    /// share, in order of arrival.
    pub async fn buffer(&self) -> Buffer {
        if let Some(buffer) = self.try_buffer() {
            return buffer;
        }
        tokio::select! {
            biased;
            own = self.ledger.own.acquire() => own.expect("never closed").forget(),
            borrowed = self.ledger.share.free.acquire() => {
                borrowed.expect("never closed").forget();
                *self.ledger.borrowed_chunks.lock() += 1;
            }
        }
        Buffer::new(self.ledger.clone())
    }

    /// An empty buffer, if there is one now that nobody waits for.
    pub fn try_buffer(&self) -> Option<Buffer> {
        if let Ok(own) = self.ledger.own.try_acquire() {
            own.forget();
        } else {
            self.ledger.share.free.try_acquire().ok()?.forget();
            *self.ledger.borrowed_chunks.lock() += 1;
        }
        Some(Buffer::new(self.ledger.clone()))
    }

    /// Whether the transfer holds more than it was admitted with.
    pub fn is_borrowing(&self) -> bool {
        *self.ledger.borrowed_chunks.lock() > 0
    }
}

/// Memory for one chunk, exclusively owned while it is filled.
pub struct Buffer {
    block: Option<Block>,
    filled: usize,
    ledger: Arc<Ledger>,
}

impl Buffer {
    fn new(ledger: Arc<Ledger>) -> Self {
        let share = &ledger.share;
        share.gauge().increment(CHUNK_BYTES as f64);
        Self {
            block: Some(share.shelf.take()),
            filled: 0,
            ledger,
        }
    }

    /// Copies as much as fits, and says how much that was.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let len = bytes.len().min(spare.len());
        spare[..len].copy_from_slice(&bytes[..len]);
        self.filled += len;
        len
    }

    /// What is not filled, to be read into; say with [`Buffer::advance`] how much was. It holds
    /// bytes of earlier transfers.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let filled = self.filled;
        &mut self.block_mut()[filled..]
    }

    /// Counts the first `len` bytes of the spare part as filled.
    ///
    /// # Panics
    /// When that is more than was spare.
    pub fn advance(&mut self, len: usize) {
        assert!(len <= CHUNK_BYTES - self.filled, "more than was spare");
        self.filled += len;
    }

    /// Takes back what was filled from `len` on.
    pub fn split_off(&mut self, len: usize) -> Vec<u8> {
        let rest = self[len..].to_vec();
        self.filled = len;
        rest
    }

    /// Bytes filled.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing is filled.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        self.filled == CHUNK_BYTES
    }

    /// Shares what was filled; the memory returns to the pool with the last reference. The bytes
    /// begin at a multiple of 4096.
    pub fn freeze<State>(self) -> Chunk<State> {
        Chunk::new(Bytes::from_owner(self))
    }

    fn block_mut(&mut self) -> &mut Block {
        self.block.as_mut().expect("taken only by drop")
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let block = self.block.as_ref().expect("taken only by drop");
        &block[..self.filled]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let filled = self.filled;
        &mut self.block_mut()[..filled]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let share = &self.ledger.share;
        share.gauge().decrement(CHUNK_BYTES as f64);
        share.shelf.put(self.block.take());
        self.ledger.give_back();
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

/// What a transfer may have and has.
#[derive(Debug)]
struct Ledger {
    /// Of its admission, what it does not hold.
    own: Semaphore,
    admitted_chunks: usize,
    /// What it holds beyond its admission.
    borrowed_chunks: Mutex<usize>,
    share: Arc<Share>,
}

impl Ledger {
    /// What was borrowed is returned first, so that others wait as short as they can.
    fn give_back(&self) {
        let mut borrowed = self.borrowed_chunks.lock();
        if *borrowed > 0 {
            *borrowed -= 1;
            self.share.free.add_permits(1);
        } else {
            self.own.add_permits(1);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.share.shelf.close();
        self.share.free.add_permits(self.admitted_chunks);
    }
}

/// What the transfers of one store have together.
#[derive(Debug)]
struct Share {
    /// Chunks that no transfer has reserved or borrowed. Fair: it serves in order of arrival, and
    /// what is free while somebody waits is given to nobody else.
    free: Semaphore,
    /// All that there are.
    chunks: usize,
    /// What an upload is admitted with.
    upload_chunks: usize,
    store: StoreId,
    shelf: Arc<Shelf>,
}

impl Share {
    /// Bytes in buffers that are filled or on their way.
    fn gauge(&self) -> metrics::Gauge {
        metrics::gauge!("fresnel_pool_bytes", "store" => self.store.to_string())
    }
}

/// Committed memory that no transfer uses just now. Fresh pages cost a fault each, 0.1 CPU
/// seconds for a GiB, so blocks are kept while transfers run and freed when none does.
#[derive(Debug, Default)]
struct Shelf {
    state: Mutex<Blocks>,
}

#[derive(Debug, Default)]
struct Blocks {
    idle: Vec<Block>,
    transfers: usize,
}

impl Shelf {
    fn open(&self) {
        self.state.lock().transfers += 1;
    }

    fn close(&self) {
        let mut state = self.state.lock();
        state.transfers -= 1;
        if state.transfers == 0 {
            let keep = state.idle.len().min(IDLE_BLOCKS_MAX);
            let freed = state.idle.split_off(keep);
            drop(state);
            drop(freed);
        }
    }

    /// The block that was used last: its pages are the likeliest to be in the processor's cache.
    fn take(&self) -> Block {
        let idle = self.state.lock().idle.pop();
        idle.unwrap_or_else(|| Block::new(CHUNK_BYTES))
    }

    fn put(&self, block: Option<Block>) {
        self.state.lock().idle.extend(block);
    }
}

#[cfg(test)]
mod tests;
