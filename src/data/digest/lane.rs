//! One algorithm of one stream, and what it has to do.

use std::{collections::VecDeque, fmt};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::{LANE_CHUNKS, hasher::Hasher};
use crate::{
    buf::{Chunk, Plain},
    model::HashAlgorithm,
};

/// In the ready queue at most once, and taken by one thread at a time.
pub(super) struct Lane {
    pub(super) algorithm: HashAlgorithm,
    pub(super) places: Semaphore,
    pub(super) jobs: Mutex<Jobs>,
    /// Held by the one thread that has taken the lane.
    hasher: Mutex<Hasher>,
}

#[derive(Default)]
pub(super) struct Jobs {
    pub(super) waiting: VecDeque<Job>,
    /// In the ready queue or taken by a thread.
    pub(super) scheduled: bool,
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

    /// Whether its next job is a chunk.
    pub(super) fn has_chunk(&self) -> bool {
        matches!(self.jobs.lock().waiting.front(), Some(Job::Hash(_)))
    }

    /// Whether there are more jobs; if not, the next push schedules the lane again.
    pub(super) fn goes_on(&self) -> bool {
        let mut jobs = self.jobs.lock();
        jobs.scheduled = !jobs.waiting.is_empty();
        jobs.scheduled
    }
}

/// Does one job of each lane; chunks side by side. The lanes have one algorithm.
pub(super) fn step(lanes: &[std::sync::Arc<Lane>], kernels: fresnel_hash::Engine) {
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
    for (lane, _, chunk) in work {
        drop(chunk);
        lane.places.add_permits(1);
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = self.algorithm;
        f.debug_struct("Lane")
            .field("algorithm", &algorithm)
            .finish_non_exhaustive()
    }
}
