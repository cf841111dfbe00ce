//! Digests off the I/O path: a few long-lived threads hash the chunks of all transfers.
//!
//! A stream has one lane for each of its algorithms. A lane with work waits in one queue, a thread
//! takes the lane at the head, hashes one chunk (1 MiB is about 1.3 ms) and puts it back at the
//! tail. So the MD5 and the SHA-512 of one upload run on two threads, many uploads take turns, and
//! a slow one holds nobody up. MD5's chain of dependencies bounds a lane at 0.7 GiB/s on any
//! machine; handing over whole chunks costs under a microsecond each.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::{self, available_parallelism},
};

use openssl::hash::{Hasher, MessageDigest};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    buf::{Chunk, Plain},
    model::HashAlgorithm,
};

/// The chunks that a lane holds at most, the one being hashed included. With it [`Stream::feed`]
/// makes a slow hash slow its sender and never grow a queue.
const LANE_CHUNKS: usize = 4;

/// The hash threads of the process. Clones share them; they end with the last clone and stream.
#[derive(Clone, Debug)]
pub struct Engine {
    threads: Arc<Threads>,
}

/// The digests of one transfer. Dropping it forgets its queued chunks at once.
#[derive(Debug)]
pub struct Stream {
    lanes: Vec<Arc<Lane>>,
    threads: Arc<Threads>,
}

impl Engine {
    /// An engine of that many threads, at least one.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let engine = Self {
            threads: Arc::default(),
        };
        for index in 0..threads.max(1) {
            let ready = engine.threads.ready.clone();
            thread::Builder::new()
                .name(format!("digest-{index}"))
                .spawn(move || work(&ready))?;
        }
        Ok(engine)
    }

    /// An engine for this machine: half of its cores, and at least two threads, because an upload
    /// has two digests.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn sized_for_machine() -> std::io::Result<Self> {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::new((cores / 2).max(2))
    }

    /// Starts the digests of one transfer.
    pub fn open(&self, algorithms: &[HashAlgorithm]) -> Stream {
        Stream {
            lanes: algorithms.iter().map(|a| Arc::new(Lane::new(*a))).collect(),
            threads: self.threads.clone(),
        }
    }
}

impl Stream {
    /// Hands a chunk to every lane. Waits while one of them is full.
    pub async fn feed(&self, chunk: &Chunk<Plain>) {
        for lane in &self.lanes {
            let place = lane.places.acquire().await;
            place.expect("a lane's semaphore is never closed").forget();
            self.threads.ready.push(lane, Job::Hash(chunk.clone()));
        }
    }

    /// The digests of all that was fed, in lower-case hexadecimal digits and the order of
    /// [`Engine::open`].
    pub async fn finish(self) -> Vec<String> {
        let mut answers = Vec::new();
        for lane in &self.lanes {
            let (sender, answer) = oneshot::channel();
            self.threads.ready.push(lane, Job::Finish(sender));
            answers.push(answer);
        }
        let mut digests = Vec::new();
        for answer in answers {
            digests.push(answer.await.expect("a lane answers before it ends"));
        }
        digests
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        for lane in &self.lanes {
            lane.jobs.lock().waiting.clear();
        }
    }
}

/// Ends the threads when nobody can give them work any more.
#[derive(Debug, Default)]
struct Threads {
    ready: Arc<Ready>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.ready.queue.lock().closed = true;
        self.ready.wake.notify_all();
    }
}

/// The lanes that have work, each at most once.
#[derive(Debug, Default)]
struct Ready {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lanes: VecDeque<Arc<Lane>>,
    closed: bool,
}

/// One algorithm of one stream.
struct Lane {
    places: Semaphore,
    jobs: Mutex<Jobs>,
    /// Held by the one thread that has taken the lane.
    hasher: Mutex<Hasher>,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// In the ready queue or taken by a thread.
    scheduled: bool,
}

enum Job {
    Hash(Chunk<Plain>),
    Finish(oneshot::Sender<String>),
}

impl Ready {
    fn push(&self, lane: &Arc<Lane>, job: Job) {
        let mut jobs = lane.jobs.lock();
        jobs.waiting.push_back(job);
        if !std::mem::replace(&mut jobs.scheduled, true) {
            drop(jobs);
            self.schedule(lane.clone());
        }
    }

    fn schedule(&self, lane: Arc<Lane>) {
        self.queue.lock().lanes.push_back(lane);
        self.wake.notify_one();
    }

    /// The lane whose turn it is; `None` when the engine is gone.
    fn take(&self) -> Option<Arc<Lane>> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(lane) = queue.lanes.pop_front() {
                return Some(lane);
            }
            if queue.closed {
                return None;
            }
            self.wake.wait(&mut queue);
        }
    }
}

impl Lane {
    fn new(algorithm: HashAlgorithm) -> Self {
        let hasher = Hasher::new(message_digest(algorithm));
        Self {
            places: Semaphore::new(LANE_CHUNKS),
            jobs: Mutex::default(),
            hasher: Mutex::new(hasher.expect("the vendored OpenSSL has every algorithm")),
        }
    }

    /// Does one job, and says whether there are more.
    fn step(&self) -> bool {
        let job = self.jobs.lock().waiting.pop_front();
        match job {
            Some(Job::Hash(chunk)) => {
                let hashed = self.hasher.lock().update(chunk.bytes());
                hashed.expect("hashing memory does not fail");
                drop(chunk);
                self.places.add_permits(1);
            }
            Some(Job::Finish(sender)) => {
                let digest = self.hasher.lock().finish();
                let digest = digest.expect("hashing memory does not fail");
                // A receiver that is gone was a transfer that is gone.
                drop(sender.send(hex(&digest)));
            }
            None => {}
        }
        let mut jobs = self.jobs.lock();
        jobs.scheduled = !jobs.waiting.is_empty();
        jobs.scheduled
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

fn work(ready: &Ready) {
    while let Some(lane) = ready.take() {
        if lane.step() {
            ready.schedule(lane);
        }
    }
}

fn message_digest(algorithm: HashAlgorithm) -> MessageDigest {
    match algorithm {
        HashAlgorithm::Blake2b => MessageDigest::from_name("BLAKE2B-512")
            .expect("the vendored OpenSSL has every algorithm"),
        HashAlgorithm::Blake2s => MessageDigest::from_name("BLAKE2S-256")
            .expect("the vendored OpenSSL has every algorithm"),
        HashAlgorithm::Md5 => MessageDigest::md5(),
        HashAlgorithm::Sha1 => MessageDigest::sha1(),
        HashAlgorithm::Sha224 => MessageDigest::sha224(),
        HashAlgorithm::Sha256 => MessageDigest::sha256(),
        HashAlgorithm::Sha384 => MessageDigest::sha384(),
        HashAlgorithm::Sha3_224 => MessageDigest::sha3_224(),
        HashAlgorithm::Sha3_256 => MessageDigest::sha3_256(),
        HashAlgorithm::Sha3_384 => MessageDigest::sha3_384(),
        HashAlgorithm::Sha3_512 => MessageDigest::sha3_512(),
        HashAlgorithm::Sha512 => MessageDigest::sha512(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    async fn digest(
        engine: &Engine,
        algorithms: &[HashAlgorithm],
        pieces: &[&[u8]],
    ) -> Vec<String> {
        let stream = engine.open(algorithms);
        for piece in pieces {
            stream
                .feed(&Chunk::new(Bytes::copy_from_slice(piece)))
                .await;
        }
        stream.finish().await
    }

    /// Python: `hashlib.new(name, b"abc").hexdigest()`, its first eight digits.
    const ABC: [(HashAlgorithm, &str, usize); 12] = [
        (HashAlgorithm::Blake2b, "ba80a53f", 128),
        (HashAlgorithm::Blake2s, "508c5e8c", 64),
        (HashAlgorithm::Md5, "90015098", 32),
        (HashAlgorithm::Sha1, "a9993e36", 40),
        (HashAlgorithm::Sha224, "23097d22", 56),
        (HashAlgorithm::Sha256, "ba7816bf", 64),
        (HashAlgorithm::Sha384, "cb00753f", 96),
        (HashAlgorithm::Sha3_224, "e642824c", 56),
        (HashAlgorithm::Sha3_256, "3a985da7", 64),
        (HashAlgorithm::Sha3_384, "ec014982", 96),
        (HashAlgorithm::Sha3_512, "b751850b", 128),
        (HashAlgorithm::Sha512, "ddaf35a1", 128),
    ];

    #[tokio::test]
    async fn every_algorithm_is_pythons() {
        let engine = Engine::new(2).unwrap();
        for (algorithm, head, digits) in ABC {
            let found = digest(&engine, &[algorithm], &[b"a", b"", b"bc"]).await;
            assert_eq!(
                (&found[0][..8], found[0].len()),
                (head, digits),
                "{algorithm}"
            );
        }
    }

    #[tokio::test]
    async fn more_streams_than_threads_do_not_mix() {
        let engine = Engine::new(1).unwrap();
        let streams: Vec<Stream> = (0..20)
            .map(|_| engine.open(&[HashAlgorithm::Md5]))
            .collect();
        for round in 0..10u8 {
            for (index, stream) in streams.iter().enumerate() {
                let bytes = vec![round ^ index as u8; 1000];
                stream.feed(&Chunk::new(Bytes::from(bytes))).await;
            }
        }
        for (index, stream) in streams.into_iter().enumerate() {
            let whole: Vec<u8> = (0..10u8)
                .flat_map(|r| vec![r ^ index as u8; 1000])
                .collect();
            let expected = digest(&engine, &[HashAlgorithm::Md5], &[&whole]).await;
            assert_eq!(stream.finish().await, expected);
        }
    }

    #[tokio::test]
    async fn a_dropped_stream_gives_its_chunks_back() {
        let engine = Engine::new(1).unwrap();
        let memory = Arc::new(vec![7u8; 1000]);
        struct Shared(Arc<Vec<u8>>);
        impl AsRef<[u8]> for Shared {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let stream = engine.open(&[HashAlgorithm::Sha512]);
        for _ in 0..3 {
            stream
                .feed(&Chunk::new(Bytes::from_owner(Shared(memory.clone()))))
                .await;
        }
        drop(stream);
        // The one thread is past the dropped lane once it answers for another.
        digest(&engine, &[HashAlgorithm::Md5], &[b""]).await;
        assert_eq!(Arc::strong_count(&memory), 1);
    }
}
