//! One image's bytes: which chunks are there, and who fetches the others.

use std::{
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tracing::{error, warn};

use super::{
    CHUNK_BYTES, Key, Shared, chunk_of, chunk_range,
    disk::Files,
    fill::Fill,
    index::Use,
    meta::{self, Digest, Meta, Record},
};
use crate::base::limits::KIB;

/// A reader waits for a fill that is at most so far (64 MiB) before what it needs; further ahead it is
/// worth a fill of its own, where the origin gives ranges.
const AHEAD_BYTES: u64 = 16 * CHUNK_BYTES;
/// After the disk refused bytes of an image, so long nobody tries again.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Bytes read at a time to check a chunk: small, so that many checks at once stay bounded.
const CHECK_BYTES: usize = 128 * KIB;

/// What an entry costs beside its chunks: two files, and memory.
pub(super) const ENTRY_BYTES: u64 = 64 * KIB as u64;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) size_bytes: u64,
    pub(super) files: Files,
    pub(super) shared: Weak<Shared>,
    /// Told when a chunk, or the part of one that is written, has changed.
    pub(super) changed: Notify,
    state: Mutex<State>,
    /// One after the other.
    saving: Mutex<()>,
    /// Who reads it.
    pub(super) readers: AtomicUsize,
    /// Those of them that somebody waits for.
    pub(super) downloads: AtomicUsize,
    /// One reader at a time may go past a fill that is far behind.
    pub(super) second: Arc<Semaphore>,
    pub(super) served_bytes: AtomicU64,
    pub(super) hits: AtomicU64,
    times: Mutex<Times>,
}

/// By the wall clock, to be shown only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) modified: SystemTime,
    pub(super) accessed: SystemTime,
}

#[derive(Debug)]
struct State {
    chunks: Vec<Chunk>,
    ready_chunks: u32,
    /// Room that is ours: of every chunk that was ever begun.
    taken_bytes: u64,
    fills: Vec<Plan>,
    fill_ids: u64,
    proof: Proof,
    refused: Option<Instant>,
    /// It is not in the index any more, and nobody fills it.
    is_closed: bool,
    /// What the disk does not know yet.
    unsaved: Vec<Record>,
}

#[derive(Clone, Copy, Debug)]
enum Chunk {
    /// `is_taken` is whether its room is ours already.
    Absent { is_taken: bool },
    /// Being written, up to this offset of the image.
    Pending { written_to: u64 },
    /// All there, with its BLAKE3.
    Ready { digest: Digest, check: Check },
}

/// Whether this process knows that a chunk on disk is the one that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// It was there before this process.
    Open,
    /// Somebody reads it just now.
    Busy,
    /// It was written or read by this process.
    Good,
}

/// Whether the image's own digest was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Open,
    Busy,
    Good,
}

/// The chunks that a fill will fetch.
#[derive(Clone, Copy, Debug)]
struct Plan {
    id: u64,
    next: u32,
    end: u32,
}

/// What a reader finds at an offset.
pub(super) enum Look {
    /// The chunk is there.
    Ready(u32, Check),
    /// It is being written, and there up to this offset.
    Written(u64),
    /// Somebody will write it.
    Wait,
    /// The same, when much else is written; the origin gives no ranges.
    Far,
    /// Nobody has it: who sees this has it to fetch.
    Missing(Fill),
    /// Nobody will fetch it into the cache.
    Refused,
}

/// Whether a fill may write a chunk.
pub(super) enum Begin {
    Begun,
    /// It is there, or another fill writes it.
    Taken,
    /// The entry is closed.
    Closed,
}

impl Entry {
    pub(super) fn new(
        key: Key,
        size_bytes: u64,
        files: Files,
        meta: Option<&Meta>,
        shared: Weak<Shared>,
    ) -> Self {
        let count = meta::chunks(size_bytes);
        let ready = meta.map(|meta| &meta.ready);
        let chunk = |chunk| match ready.and_then(|ready| ready.get(&chunk)) {
            None => Chunk::Absent { is_taken: false },
            Some(digest) => Chunk::Ready {
                digest: *digest,
                check: Check::Open,
            },
        };
        let chunks: Vec<Chunk> = (0..count).map(chunk).collect();
        let there = (0..count).filter(|chunk| ready.is_some_and(|r| r.contains_key(chunk)));
        let filled: u64 = there.map(|chunk| chunk_range(chunk, size_bytes).len).sum();
        let now = SystemTime::now();
        Self {
            key,
            size_bytes,
            files,
            shared,
            changed: Notify::new(),
            state: Mutex::new(State {
                chunks,
                ready_chunks: ready.map_or(0, |ready| ready.len() as u32),
                taken_bytes: ENTRY_BYTES + filled,
                fills: Vec::new(),
                fill_ids: 0,
                proof: match meta.is_some_and(|meta| meta.proven) {
                    true => Proof::Good,
                    false => Proof::Open,
                },
                refused: None,
                is_closed: false,
                unsaved: Vec::new(),
            }),
            saving: Mutex::new(()),
            readers: AtomicUsize::new(0),
            downloads: AtomicUsize::new(0),
            second: Arc::new(Semaphore::new(1)),
            served_bytes: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            times: Mutex::new(Times {
                modified: now,
                accessed: now,
            }),
        }
    }

    /// What a reader of `at .. end` finds at its beginning. `seeks` is whether the origin gives ranges:
    /// else the only way to any chunk leads through all before it.
    pub(super) fn look(self: &Arc<Self>, at: u64, end: u64, seeks: bool) -> Look {
        let mut state = self.state.lock();
        let chunk = chunk_of(at);
        match state.chunks[chunk as usize] {
            Chunk::Ready { check, .. } => Look::Ready(chunk, check),
            Chunk::Pending { written_to } if written_to > at => Look::Written(written_to.min(end)),
            Chunk::Pending { .. } => Look::Wait,
            Chunk::Absent { .. } if state.is_refused() => Look::Refused,
            Chunk::Absent { .. } => {
                let Some(shared) = self.shared.upgrade() else {
                    return Look::Refused;
                };
                let reach_bytes = match seeks {
                    true => AHEAD_BYTES,
                    false => shared.config.lag_bytes.unwrap_or(u64::MAX),
                };
                match state.behind_bytes(chunk) {
                    Some(bytes) if bytes <= reach_bytes => return Look::Wait,
                    Some(_) if !seeks => return Look::Far,
                    Some(_) | None => {}
                }
                let Ok(permit) = shared.fills.clone().try_acquire_owned() else {
                    return Look::Refused;
                };
                let range = match seeks {
                    true => chunk..state.absent_to(chunk, chunk_of(end - 1) + 1),
                    false => 0..state.chunks.len() as u32,
                };
                state.fill_ids += 1;
                let plan = Plan {
                    id: state.fill_ids,
                    next: range.start,
                    end: range.end,
                };
                state.fills.push(plan);
                shared.traffic.begin(self);
                Look::Missing(Fill::new(self.clone(), plan.id, range, !seeks, permit))
            }
        }
    }

    /// What is known of a chunk that is there.
    pub(super) fn look_only(&self, chunk: u32) -> Option<Check> {
        match self.state.lock().chunks.get(chunk as usize) {
            Some(Chunk::Ready { check, .. }) => Some(*check),
            Some(Chunk::Absent { .. } | Chunk::Pending { .. }) | None => None,
        }
    }

    /// Whether all chunks of a range are there.
    pub(super) fn has(&self, at: u64, end: u64) -> bool {
        let state = self.state.lock();
        let chunks = chunk_of(at)..=chunk_of(end.max(1) - 1);
        let mut chunks = chunks.map(|chunk| state.chunks[chunk as usize]);
        chunks.all(|chunk| matches!(chunk, Chunk::Ready { .. }))
    }

    /// A fill is about to write the first byte of a chunk. Makes room, and so may remove other entries:
    /// blocks.
    pub(super) fn begin(&self, fill: u64, chunk: u32) -> io::Result<Begin> {
        let range = chunk_range(chunk, self.size_bytes);
        let is_taken = {
            let mut state = self.state.lock();
            if state.is_closed {
                return Ok(Begin::Closed);
            }
            if let Some(plan) = state.fills.iter_mut().find(|plan| plan.id == fill) {
                plan.next = chunk;
            }
            let Chunk::Absent { is_taken } = state.chunks[chunk as usize] else {
                return Ok(Begin::Taken);
            };
            state.chunks[chunk as usize] = Chunk::Pending {
                written_to: range.offset,
            };
            is_taken
        };
        if !is_taken {
            let shared = self.shared.upgrade();
            let made = shared.map_or(Ok(()), |shared| shared.make_room(range.len));
            if let Err(error) = made {
                self.set(chunk, Chunk::Absent { is_taken: false });
                return Err(error);
            }
            self.state.lock().taken_bytes += range.len;
        }
        Ok(Begin::Begun)
    }

    /// The chunk is written up to this offset.
    pub(super) fn wrote(&self, chunk: u32, to: u64) {
        self.set(chunk, Chunk::Pending { written_to: to });
    }

    /// The chunk is whole.
    pub(super) fn filled(&self, fill: u64, chunk: u32, digest: Digest) {
        let check = Check::Good;
        self.set(chunk, Chunk::Ready { digest, check });
        let mut state = self.state.lock();
        state.ready_chunks += 1;
        state.unsaved.push(Record::Ready { chunk, digest });
        if let Some(plan) = state.fills.iter_mut().find(|plan| plan.id == fill) {
            plan.next = chunk + 1;
        }
        drop(state);
        self.times.lock().modified = SystemTime::now();
        let bytes = chunk_range(chunk, self.size_bytes).len;
        counter!("fresnel_cache_filled_bytes_total").increment(bytes);
    }

    /// A fill is over; what it was writing is free for others.
    pub(super) fn give_up(&self, fill: u64, writing: Option<u32>) {
        let mut state = self.state.lock();
        state.fills.retain(|plan| plan.id != fill);
        if let Some(chunk) = writing {
            state.chunks[chunk as usize] = Chunk::Absent { is_taken: true };
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The disk takes no bytes: for a while nobody tries again.
    pub(super) fn refuse(&self) {
        self.state.lock().refused = Some(Instant::now());
    }

    /// Nobody fills it any more, and its files go; who reads it reads on. Blocks.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        if let Err(error) = self.files.remove() {
            warn!(image.id = %self.key.image(), %error, "Could not remove an entry of the cache");
        }
        self.changed.notify_waiters();
    }

    /// Takes it upon the caller to [`Entry::check`] the chunk; not if somebody does already.
    pub(super) fn begin_check(&self, chunk: u32) -> bool {
        let mut state = self.state.lock();
        match &mut state.chunks[chunk as usize] {
            Chunk::Ready { check, .. } if *check != Check::Busy => {
                *check = Check::Busy;
                true
            }
            _ => false,
        }
    }

    /// Reads a chunk and compares it with what was written; one that differs is absent. Blocks.
    pub(super) fn check(&self, chunk: u32) -> bool {
        let Chunk::Ready { digest, .. } = self.state.lock().chunks[chunk as usize] else {
            return false;
        };
        let found = self.read_digest(chunk);
        let is_good = matches!(found, Ok(found) if found == digest);
        if is_good {
            let check = Check::Good;
            self.set(chunk, Chunk::Ready { digest, check });
        } else {
            let error = found.err().map(tracing::field::display);
            error!(image.id = %self.key.image(), chunk, error, "A cached chunk is damaged");
            counter!("fresnel_cache_damaged_chunks_total").increment(1);
            self.lose(chunk);
        }
        self.changed.notify_waiters();
        is_good
    }

    fn lose(&self, chunk: u32) {
        let mut state = self.state.lock();
        state.chunks[chunk as usize] = Chunk::Absent { is_taken: true };
        state.ready_chunks -= 1;
        state.proof = Proof::Open;
        state.unsaved.push(Record::Absent { chunk });
    }

    fn read_digest(&self, chunk: u32) -> io::Result<Digest> {
        let range = chunk_range(chunk, self.size_bytes);
        let (mut at, mut buffer) = (range.offset, vec![0; CHECK_BYTES]);
        let mut hasher = blake3::Hasher::new();
        while at < range.end() {
            let len = (range.end() - at).min(CHECK_BYTES as u64) as usize;
            self.files.data().read_exact_at(&mut buffer[..len], at)?;
            hasher.update(&buffer[..len]);
            at += len as u64;
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// Tells the disk what it does not know yet. What fails is tried again. Blocks.
    pub(super) fn save(&self) -> io::Result<()> {
        let _saving = self.saving.lock();
        let unsaved = {
            let mut state = self.state.lock();
            match state.is_closed {
                true => Vec::new(),
                false => std::mem::take(&mut state.unsaved),
            }
        };
        if unsaved.is_empty() {
            return Ok(());
        }
        let recorded = self.files.record(&unsaved);
        if recorded.is_err() {
            let mut state = self.state.lock();
            let newer = std::mem::replace(&mut state.unsaved, unsaved);
            state.unsaved.extend(newer);
        }
        recorded
    }

    /// Takes it upon the caller to prove an entry that is whole.
    pub(super) fn begin_proof(&self) -> bool {
        let mut state = self.state.lock();
        let is_due = state.is_whole() && state.proof == Proof::Open && !state.is_closed;
        if is_due {
            state.proof = Proof::Busy;
        }
        is_due
    }

    /// What came of it. A proof of an entry that has lost a chunk meanwhile is none.
    pub(super) fn end_proof(&self, is_good: bool) {
        let mut state = self.state.lock();
        if state.proof != Proof::Busy {
            return;
        }
        state.proof = match is_good && state.is_whole() {
            true => Proof::Good,
            false => Proof::Open,
        };
        if state.proof == Proof::Good {
            state.unsaved.push(Record::Proven);
        }
    }

    pub(super) fn is_proven(&self) -> bool {
        self.state.lock().proof == Proof::Good
    }

    pub(super) fn is_whole(&self) -> bool {
        self.state.lock().is_whole()
    }

    pub(super) fn ready_chunks(&self) -> Vec<u32> {
        let state = self.state.lock();
        let chunks = (0..).zip(&state.chunks);
        let ready = chunks.filter(|(_, chunk)| matches!(chunk, Chunk::Ready { .. }));
        ready.map(|(chunk, _)| chunk).collect()
    }

    /// The first chunk from there on that is there.
    pub(super) fn next_ready(&self, from: u32) -> Option<u32> {
        let state = self.state.lock();
        let mut later = (from..).zip(state.chunks.get(from as usize..)?);
        later.find_map(|(at, chunk)| matches!(chunk, Chunk::Ready { .. }).then_some(at))
    }

    pub(super) fn filled_bytes(&self) -> u64 {
        let chunks = self.ready_chunks().into_iter();
        chunks
            .map(|chunk| chunk_range(chunk, self.size_bytes).len)
            .sum()
    }

    pub(super) fn has_fills(&self) -> bool {
        !self.state.lock().fills.is_empty()
    }

    pub(super) fn taken_bytes(&self) -> u64 {
        self.state.lock().taken_bytes
    }

    pub(super) fn times(&self) -> Times {
        *self.times.lock()
    }

    pub(super) fn set_times(&self, times: Times) {
        *self.times.lock() = times;
    }

    /// What the index decides by. Only the index itself may hold the entry, and nobody a part of its file that is on
    /// its way to a client, or it is busy.
    pub(super) fn used(entry: &Arc<Self>) -> Use {
        let is_sent = Arc::strong_count(entry.files.data()) > 1;
        Use {
            is_busy: Arc::strong_count(entry) > 1 || is_sent,
            filled_bytes: entry.taken_bytes(),
            served_bytes: entry.served_bytes.load(Relaxed),
        }
    }

    fn set(&self, chunk: u32, to: Chunk) {
        self.state.lock().chunks[chunk as usize] = to;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.space.give(self.state.get_mut().taken_bytes);
        }
    }
}

impl State {
    fn is_whole(&self) -> bool {
        self.ready_chunks as usize == self.chunks.len()
    }

    fn is_refused(&self) -> bool {
        self.is_closed || self.refused.is_some_and(|at| at.elapsed() < REFUSED_FOR)
    }

    /// What the nearest fill has to write before an absent chunk; none where no fill comes to it.
    fn behind_bytes(&self, chunk: u32) -> Option<u64> {
        let coming = self.fills.iter().map(|plan| plan.next..plan.end);
        let coming = coming.filter(|chunks| chunks.contains(&chunk));
        let chunks = coming.map(|chunks| chunk - chunks.start).min()?;
        Some(u64::from(chunks) * CHUNK_BYTES)
    }

    /// The end of the absent chunks from here.
    fn absent_to(&self, from: u32, end: u32) -> u32 {
        let absent = |chunk: &u32| matches!(self.chunks[*chunk as usize], Chunk::Absent { .. });
        from + (from..end).take_while(absent).count() as u32
    }
}
