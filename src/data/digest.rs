//! Digests off the I/O path: a few long-lived threads hash the chunks of all transfers.
//!
//! A stream has one lane for each of its algorithms. Lanes of one algorithm that have a chunk ready
//! share a processor's vectors ([`fresnel_hash`]); which go together, and when one is rather hashed
//! alone, `queue` decides. So the MD5 and the SHA-512 of one upload run on two threads,
//! many uploads run side by side, and a slow one holds nobody up. Handing over whole chunks costs
//! under a microsecond each.
//!
//! Alone, MD5's chain of dependencies bounds a lane at 0.7 GiB/s on any machine.

mod hasher;
mod lane;
mod queue;
mod rates;

use std::{io, sync::Arc, thread};

use fresnel_hash::Engine as Kernels;
use metrics::{counter, histogram};
use tokio::sync::oneshot;

use crate::{
    buf::{Chunk, Plain},
    model::HashAlgorithm,
};
use lane::{Job, Lane};
use queue::{Ready, Run};

pub use rates::{Rate, auto, rates};

/// The chunks that a lane holds at most, the one being hashed included. With it [`Stream::feed`]
/// makes a slow hash slow its sender and never grow a queue.
const LANE_CHUNKS: usize = 4;

/// Which kernels hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The best that the processor has.
    #[default]
    Auto,
    /// Streams side by side in 512-bit vectors.
    Avx512,
    /// Streams side by side in 256-bit vectors.
    Avx2,
    /// OpenSSL's code, one stream after the other.
    Scalar,
}

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

impl EngineChoice {
    /// What was chosen.
    ///
    /// # Errors
    /// When the processor lacks it.
    fn kernels(self) -> io::Result<Kernels> {
        let name = match self {
            Self::Auto => return Ok(Kernels::detect()),
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Scalar => "scalar",
        };
        let mut available = Kernels::available().into_iter();
        available.find(|k| k.name() == name).ok_or_else(|| {
            let message = format!("this processor does not have {name}");
            io::Error::new(io::ErrorKind::Unsupported, message)
        })
    }
}

impl Engine {
    /// An engine of that many threads, at least one, with the best kernels.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(threads: usize) -> io::Result<Self> {
        Self::with_kernels(Kernels::detect(), threads)
    }

    /// An engine for this machine: half of its cores, and at least two threads, because an upload
    /// has two digests.
    ///
    /// # Errors
    /// When the processor lacks the kernels, or the system gives no thread.
    pub fn sized_for_machine(choice: EngineChoice) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (kernels, threads) = (choice.kernels()?, (cores / 2).max(2));
        tracing::info!(engine = kernels.name(), threads, "Digests are ready");
        Self::with_kernels(kernels, threads)
    }

    fn with_kernels(kernels: Kernels, threads: usize) -> io::Result<Self> {
        let ready = Arc::new(Ready::new(kernels));
        let engine = Self {
            threads: Arc::new(Threads {
                ready: ready.clone(),
            }),
        };
        for index in 0..threads.max(1) {
            let ready = ready.clone();
            thread::Builder::new()
                .name(format!("digest-{index}"))
                .spawn(move || work(&ready, kernels))?;
        }
        Ok(engine)
    }

    /// Starts the digests of one transfer.
    pub fn open(&self, algorithms: &[HashAlgorithm]) -> Stream {
        let ready = &self.threads.ready;
        Stream {
            lanes: algorithms.iter().map(|a| ready.open(*a)).collect(),
            threads: self.threads.clone(),
        }
    }
}

impl Stream {
    /// Hands a chunk to every lane. Waits while one of them is full.
    pub async fn feed(&self, chunk: &Chunk<Plain>) {
        if cfg!(feature = "bench-no-digests") {
            return;
        }
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
            self.threads.ready.forget(lane);
        }
    }
}

/// Ends the threads when nobody can give them work any more.
#[derive(Debug)]
struct Threads {
    ready: Arc<Ready>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.ready.close();
    }
}

fn work(ready: &Ready, kernels: Kernels) {
    while let Some(run) = ready.take() {
        let bytes = lane::step(&run.lanes, kernels);
        if bytes > 0 {
            count(&run, bytes, kernels);
        }
        ready.done(run);
    }
}

/// What operators see: `docs/OPERATIONS.md`.
fn count(run: &Run, bytes: u64, kernels: Kernels) {
    let algorithm = run.lanes[0].algorithm.as_str();
    let engine = if run.side_by_side {
        kernels.name()
    } else {
        "scalar"
    };
    let lanes = run.lanes.len().to_string();
    counter!("fresnel_digest_bytes_total", "algorithm" => algorithm, "engine" => engine)
        .increment(bytes);
    counter!("fresnel_digest_runs_total", "algorithm" => algorithm, "lanes" => lanes).increment(1);
    histogram!("fresnel_digest_wait_seconds", "algorithm" => algorithm)
        .record(run.waited.as_secs_f64());
}

#[cfg(test)]
mod tests;
