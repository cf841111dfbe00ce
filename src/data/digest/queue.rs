//! Which lanes are hashed next, and which of them side by side.
//!
//! A vector costs the same however many of its lanes are used, so a chunk waits for company of its
//! algorithm: until all that may come is there, and never longer than [`COMPANY_WAIT`]. It does not
//! wait at all where company would gain nothing (too few streams), where waiting would hold its
//! sender up, or where its stream is at its end. Among what need not wait any more, the oldest goes
//! first, and nobody goes twice before another: a slow stream finds its turn as soon as a fast one.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use fresnel_hash::{Engine as Kernels, Width};
use parking_lot::{Condvar, Mutex};

use super::{
    hasher::{self, Peers},
    lane::{Job, Lane},
};
use crate::model::HashAlgorithm;

/// The longest that a chunk waits for company while a thread is free. A run of a full vector takes
/// about as long.
pub(super) const COMPANY_WAIT: Duration = Duration::from_millis(3);

/// The lanes that have work, each at most once.
#[derive(Debug)]
pub(super) struct Ready {
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// Lanes for one thread. They come back by [`Ready::done`].
#[derive(Debug)]
pub(super) struct Run {
    /// At least one; of one algorithm.
    pub(super) lanes: Vec<Arc<Lane>>,
    /// Whether they are enough to share a vector.
    pub(super) side_by_side: bool,
    /// How long a free thread let the first of them wait.
    pub(super) waited: Duration,
    peers: Peers,
}

#[derive(Debug)]
struct Queue {
    /// By [`Peers`].
    groups: [Group; Peers::ALL.len()],
    closed: bool,
}

/// Lanes that can share a vector.
#[derive(Debug)]
struct Group {
    width: Width,
    ready: VecDeque<Waiting>,
    /// Lanes of streams that may still bring chunks.
    open: usize,
    /// Those of them that a thread hashes now.
    busy: usize,
}

#[derive(Debug)]
struct Waiting {
    lane: Arc<Lane>,
    since: Instant,
}

impl Ready {
    pub(super) fn new(kernels: Kernels) -> Self {
        let group = |peers: Peers| Group {
            width: peers.width(kernels),
            ready: VecDeque::new(),
            open: 0,
            busy: 0,
        };
        let queue = Queue {
            groups: Peers::ALL.map(group),
            closed: false,
        };
        Self {
            queue: Mutex::new(queue),
            wake: Condvar::new(),
        }
    }

    /// A lane that may bring chunks.
    pub(super) fn open(&self, algorithm: HashAlgorithm) -> Arc<Lane> {
        self.queue.lock().group(hasher::peers(algorithm)).open += 1;
        Arc::new(Lane::new(algorithm))
    }

    /// Gives a lane something to do. [`Job::Finish`] is the last.
    pub(super) fn push(&self, lane: &Arc<Lane>, job: Job) {
        let mut queue = self.queue.lock();
        if matches!(job, Job::Finish(_)) {
            queue.leave(lane);
        }
        let mut jobs = lane.jobs.lock();
        jobs.waiting.push_back(job);
        let scheduled = std::mem::replace(&mut jobs.scheduled, true);
        let peers = jobs.peers(lane.algorithm);
        drop(jobs);
        let now = Instant::now();
        if !scheduled {
            queue.schedule(lane.clone(), peers, now);
        }
        // The first must be watched, for it may not wait for ever.
        let group = queue.group(peers);
        if group.is_ripe(now) || group.ready.len() == 1 {
            self.wake.notify_one();
        }
    }

    /// A stream is gone, its queued chunks with it.
    pub(super) fn forget(&self, lane: &Lane) {
        let mut queue = self.queue.lock();
        queue.leave(lane);
        lane.jobs.lock().waiting.clear();
        // There is one less to wait for.
        self.wake.notify_one();
    }

    /// What to hash next, once there is something that need not wait; `None` when the engine is
    /// gone.
    pub(super) fn take(&self) -> Option<Run> {
        let free_since = Instant::now();
        let mut queue = self.queue.lock();
        loop {
            let now = Instant::now();
            if let Some(run) = queue.next(free_since, now) {
                // Somebody else watches what is left while this thread hashes.
                if queue.deadline().is_some() {
                    self.wake.notify_one();
                }
                return Some(run);
            }
            if queue.closed {
                return None;
            }
            match queue.deadline() {
                Some(at) => drop(self.wake.wait_until(&mut queue, at)),
                None => self.wake.wait(&mut queue),
            }
        }
    }

    /// The lanes are hashed; those that have more to do go to the end of the queue.
    pub(super) fn done(&self, run: Run) {
        let mut queue = self.queue.lock();
        queue.group(run.peers).busy -= run.lanes.len();
        let now = Instant::now();
        for lane in run.lanes {
            let mut jobs = lane.jobs.lock();
            jobs.scheduled = !jobs.waiting.is_empty();
            let peers = jobs.scheduled.then(|| jobs.peers(lane.algorithm));
            drop(jobs);
            if let Some(peers) = peers {
                queue.schedule(lane, peers, now);
            }
        }
    }

    /// Whether no stream is open.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.queue.lock().groups.iter().all(|group| group.open == 0)
    }

    /// Ends the threads.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.wake.notify_all();
    }
}

impl Queue {
    fn group(&mut self, peers: Peers) -> &mut Group {
        &mut self.groups[peers as usize]
    }

    fn schedule(&mut self, lane: Arc<Lane>, peers: Peers, since: Instant) {
        let waiting = Waiting { lane, since };
        self.group(peers).ready.push_back(waiting);
    }

    /// The lane brings no more chunks: nobody waits for it.
    fn leave(&mut self, lane: &Lane) {
        let left = std::mem::replace(&mut lane.jobs.lock().leaving, true);
        if !left {
            self.group(hasher::peers(lane.algorithm)).open -= 1;
        }
    }

    fn next(&mut self, free_since: Instant, now: Instant) -> Option<Run> {
        let ripe = Peers::ALL
            .into_iter()
            .filter(|peers| self.groups[*peers as usize].is_ripe(now));
        let peers = ripe.min_by_key(|peers| self.groups[*peers as usize].since())?;
        let group = self.group(peers);
        let since = group.since().expect("a ripe group has a lane");
        let lanes = group.take();
        Some(Run {
            side_by_side: lanes.len() >= group.width.min,
            waited: now.saturating_duration_since(since.max(free_since)),
            lanes,
            peers,
        })
    }

    /// When the next group is ripe whoever comes.
    fn deadline(&self) -> Option<Instant> {
        let since = self.groups.iter().filter_map(Group::since).min();
        since.map(|since| since + COMPANY_WAIT)
    }
}

impl Group {
    fn since(&self) -> Option<Instant> {
        self.ready.front().map(|first| first.since)
    }

    /// Whether there are lanes, and nothing to wait for.
    fn is_ripe(&self, now: Instant) -> bool {
        let Some(since) = self.since() else {
            return false;
        };
        let company = self.open.saturating_sub(self.busy).min(self.width.max);
        company < self.width.min
            || self.ready.len() >= company
            || now >= since + COMPANY_WAIT
            || self.ready.iter().any(|waiting| waiting.lane.is_pressed())
    }

    /// As many as share a vector; too few for that go one by one, each to a thread of its own.
    fn take(&mut self) -> Vec<Arc<Lane>> {
        let count = match self.ready.len() {
            count if count < self.width.min => 1,
            count => count.min(self.width.max),
        };
        self.busy += count;
        let taken = self.ready.drain(..count);
        taken.map(|waiting| waiting.lane).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::buf::Chunk;

    const WIDTH: Width = Width { min: 3, max: 8 };

    /// A group of so many open lanes, of which some have a chunk each since `at`.
    fn group(open: usize, ready: usize, at: Instant) -> Group {
        let waiting = |_| {
            let lane = Lane::new(HashAlgorithm::Md5);
            let chunk = Chunk::new(Bytes::from_static(b"x"));
            lane.jobs.lock().waiting.push_back(Job::Hash(chunk));
            Waiting {
                lane: Arc::new(lane),
                since: at,
            }
        };
        Group {
            width: WIDTH,
            ready: (0..ready).map(waiting).collect(),
            open,
            busy: 0,
        }
    }

    #[test]
    fn too_few_streams_for_a_vector_never_wait() {
        let now = Instant::now();
        for open in 1..WIDTH.min {
            let mut group = group(open, 1, now);
            assert!(group.is_ripe(now));
            assert_eq!(group.take().len(), 1);
        }
    }

    #[test]
    fn a_chunk_waits_until_all_are_there_and_no_longer_than_the_limit() {
        let now = Instant::now();
        assert!(!group(5, 4, now).is_ripe(now));
        assert!(group(5, 5, now).is_ripe(now));
        assert!(group(5, 4, now).is_ripe(now + COMPANY_WAIT));
        assert!(group(20, WIDTH.max, now).is_ripe(now));
    }

    #[test]
    fn lanes_that_are_being_hashed_are_no_company() {
        let now = Instant::now();
        let mut group = group(20, 9, now);
        assert_eq!(group.take().len(), WIDTH.max);
        assert!(!group.is_ripe(now));
        group.open = 9;
        assert!(group.is_ripe(now));
    }

    #[test]
    fn too_few_at_the_limit_go_one_by_one() {
        let now = Instant::now();
        let mut group = group(5, 2, now);
        assert!(group.is_ripe(now + COMPANY_WAIT));
        assert_eq!(group.take().len(), 1);
        assert_eq!(group.take().len(), 1);
    }

    #[test]
    fn a_chunk_does_not_wait_where_that_holds_its_sender_up() {
        let now = Instant::now();
        let group = group(5, 3, now);
        let lane = group.ready[1].lane.clone();
        while !lane.is_pressed() {
            assert!(!group.is_ripe(now));
            let chunk = Chunk::new(Bytes::from_static(b"x"));
            lane.jobs.lock().waiting.push_back(Job::Hash(chunk));
        }
        assert!(lane.jobs.lock().waiting.len() < super::super::LANE_CHUNKS);
        assert!(group.is_ripe(now));
    }

    #[test]
    fn the_end_of_a_stream_does_not_wait() {
        let now = Instant::now();
        let group = group(5, 3, now);
        group.ready[2].lane.jobs.lock().leaving = true;
        assert!(group.is_ripe(now));
    }

    #[test]
    fn the_oldest_goes_first() {
        let now = Instant::now();
        let ready = Ready::new(Kernels::available().pop().expect("scalar is everywhere"));
        let lanes = [HashAlgorithm::Sha512, HashAlgorithm::Md5].map(|a| ready.open(a));
        let mut queue = ready.queue.lock();
        for (index, lane) in lanes.iter().enumerate() {
            let since = now + Duration::from_micros(index as u64);
            queue.schedule(lane.clone(), hasher::peers(lane.algorithm), since);
        }
        for lane in &lanes {
            let run = queue.next(now, now + COMPANY_WAIT).expect("two are ready");
            assert!(Arc::ptr_eq(&run.lanes[0], lane));
        }
    }
}
