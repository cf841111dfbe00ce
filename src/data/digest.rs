//! Digests off the I/O path: a few long-lived threads hash the chunks of all transfers.
//!
//! A stream has one lane for each of its algorithms. A lane with work waits in one queue, a thread
//! takes the lane at the head, hashes one chunk (1 MiB is about 1.3 ms) and puts it back at the
//! tail. So the MD5 and the SHA-512 of one upload run on two threads, many uploads take turns, and
//! a slow one holds nobody up. Handing over whole chunks costs under a microsecond each.
//!
//! Alone, MD5's chain of dependencies bounds a lane at 0.7 GiB/s on any machine. Together, lanes
//! share a processor's vectors: with the lane at its head, a thread takes those behind it that have
//! the same algorithm and a chunk ready, and hashes them side by side ([`fresnel_hash`]). It never
//! waits for company.

mod hasher;
mod lane;

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::{self, available_parallelism},
};

use fresnel_hash::Engine as Kernels;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{
    buf::{Chunk, Plain},
    model::HashAlgorithm,
};
use lane::{Job, Lane};

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
        let kernels = Kernels::detect();
        for index in 0..threads.max(1) {
            let ready = engine.threads.ready.clone();
            thread::Builder::new()
                .name(format!("digest-{index}"))
                .spawn(move || work(&ready, kernels))?;
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

    /// The lane whose turn it is, and those behind it that can be hashed beside it; `None` when
    /// the engine is gone.
    fn take(&self, kernels: Kernels) -> Option<Vec<Arc<Lane>>> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(first) = queue.lanes.pop_front() {
                return Some(queue.gather(first, kernels));
            }
            if queue.closed {
                return None;
            }
            self.wake.wait(&mut queue);
        }
    }
}

impl Queue {
    fn gather(&mut self, first: Arc<Lane>, kernels: Kernels) -> Vec<Arc<Lane>> {
        let lanes_max = match first.algorithm {
            HashAlgorithm::Md5 => kernels.md5_lanes(),
            HashAlgorithm::Sha512 => kernels.sha512_lanes(),
            _ => 1,
        };
        let algorithm = first.algorithm;
        let joins = first.has_chunk();
        let mut taken = vec![first];
        let mut next = 0;
        while joins && taken.len() < lanes_max && next < self.lanes.len() {
            let lane = &self.lanes[next];
            if lane.algorithm == algorithm && lane.has_chunk() {
                taken.extend(self.lanes.remove(next));
            } else {
                next += 1;
            }
        }
        taken
    }
}

fn work(ready: &Ready, kernels: Kernels) {
    while let Some(lanes) = ready.take(kernels) {
        lane::step(&lanes, kernels);
        for lane in lanes {
            if lane.goes_on() {
                ready.schedule(lane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use openssl::hash::MessageDigest;

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
            assert_eq!(found[0].len(), 2 * algorithm.digest_bytes());
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

    /// Chunks of every length, so that blocks are cut everywhere, from more streams than lanes.
    #[tokio::test]
    async fn streams_side_by_side_are_as_alone() {
        const STREAMS: usize = 20;
        let engine = Engine::new(2).unwrap();
        let algorithms = [HashAlgorithm::Md5, HashAlgorithm::Sha512];
        let piece = |stream: usize, round: usize| -> Vec<u8> {
            let len = (stream * 7919 + round * 104_729) % 50_000;
            (0..len).map(|at| (at ^ stream ^ round) as u8).collect()
        };
        let streams: Vec<Stream> = (0..STREAMS).map(|_| engine.open(&algorithms)).collect();
        for round in 0..12 {
            for (index, stream) in streams.iter().enumerate() {
                stream
                    .feed(&Chunk::new(Bytes::from(piece(index, round))))
                    .await;
            }
        }
        for (index, stream) in streams.into_iter().enumerate() {
            let whole: Vec<u8> = (0..12).flat_map(|round| piece(index, round)).collect();
            let openssl = |digest| {
                let sum = openssl::hash::hash(digest, &whole).unwrap();
                sum.iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
            };
            let expected = [MessageDigest::md5(), MessageDigest::sha512()].map(openssl);
            assert_eq!(stream.finish().await, expected, "stream {index}");
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
