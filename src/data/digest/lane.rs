//! One algorithm of one stream, and what it has to do.

use std::{collections::VecDeque, fmt, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::{
    LANE_CHUNKS,
    hasher::{self, Hasher, Peers},
};
use crate::{
    buf::{Chunk, Plain},
    model::HashAlgorithm,
};

/// Of the [`LANE_CHUNKS`] of a lane: when so many wait, the sender is about to.
const PRESSED_CHUNKS: usize = LANE_CHUNKS - 1;

/// In the ready queue at most once, and taken by one thread at a time.
pub(super) struct Lane {
    pub(super) algorithm: HashAlgorithm,
    pub(super) places: Semaphore,
    /// Taken after the queue's lock, never before it.
    pub(super) jobs: Mutex<Jobs>,
    /// Held by the one thread that has taken the lane.
    hasher: Mutex<Hasher>,
}

#[derive(Default)]
pub(super) struct Jobs {
    pub(super) waiting: VecDeque<Job>,
    /// In the ready queue or taken by a thread.
    pub(super) scheduled: bool,
    /// No chunks come any more.
    pub(super) leaving: bool,
}

pub(super) enum Job {
    Hash(Chunk<Plain>),
    Finish(oneshot::Sender<String>),
}

impl Lane {
    pub(super) fn new(algorithm: HashAlgorithm) -> Self {
        Self {
            algorithm,
            places: Semaphore::new(LANE_CHUNKS),
            jobs: Mutex::default(),
            hasher: Mutex::new(Hasher::new(algorithm)),
        }
    }

    /// Whether somebody waits for this lane: its sender, or its stream for the digest.
    pub(super) fn is_pressed(&self) -> bool {
        let jobs = self.jobs.lock();
        jobs.leaving || jobs.waiting.len() >= PRESSED_CHUNKS
    }
}

impl Jobs {
    /// With whom the next job can be done.
    pub(super) fn peers(&self, algorithm: HashAlgorithm) -> Peers {
        match self.waiting.front() {
            Some(Job::Hash(_)) => hasher::peers(algorithm),
            Some(Job::Finish(_)) | None => Peers::Nobody,
        }
    }
}

/// Does one job of each lane; chunks side by side. The lanes have one algorithm. Returns the bytes
/// that were hashed.
pub(super) fn step(lanes: &[Arc<Lane>], kernels: fresnel_hash::Engine) -> u64 {
    let mut work = Vec::with_capacity(lanes.len());
    for lane in lanes {
        // A lane whose stream was dropped meanwhile has nothing left to do.
        let job = lane.jobs.lock().waiting.pop_front();
        match job {
            Some(Job::Hash(chunk)) => work.push((lane, lane.hasher.lock(), chunk)),
            Some(Job::Finish(sender)) => {
                // A receiver that is gone was a transfer that is gone.
                drop(sender.send(lane.hasher.lock().finish(kernels)));
            }
            None => {}
        }
    }
    let together = work
        .iter_mut()
        .map(|(_, hasher, chunk)| (&mut **hasher, &chunk.bytes()[..]));
    Hasher::update(kernels, together.collect());
    let mut bytes = 0;
    for (lane, _, chunk) in work {
        bytes += chunk.bytes().len() as u64;
        drop(chunk);
        lane.places.add_permits(1);
    }
    bytes
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = self.algorithm;
        f.debug_struct("Lane")
            .field("algorithm", &algorithm)
            .finish_non_exhaustive()
    }
}
