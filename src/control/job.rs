//! Background work: a few jobs at once, each on whatever node takes it, until it is done.
//!
//! A job outlives its node: the lease of a dead one does not hold, and another takes its jobs over
//! from their start. Deleting the image deletes its jobs, and whoever works on one of them sees
//! that it is not held any more and stops.

mod digest;
mod import;
mod keys;

use std::{collections::HashMap, sync::Arc, time::Duration};

use metrics::counter;
use tokio::{
    select,
    task::{Id, JoinSet},
    time::sleep,
};
use tracing::{info, warn};

use super::{
    Control, Error,
    db::{Job, JobKind, NodeId},
};
use crate::data::Plane;

pub use digest::DigestInput;
pub use import::{ImportInput, RemoteInput};

/// How often a node looks for jobs of others.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How often it asks whether a job still is its own.
const HOLD_EVERY: Duration = Duration::from_secs(2);
/// How often an import is begun that never ends, and so perhaps ends its nodes.
const IMPORTS_MAX: u32 = 10;
/// How often it is tried to destroy keys, with [`REST_MAX`] between: a day.
const KEYS_MAX: u32 = 24 * 60;
/// The jobs of one look.
const ROWS_MAX: u32 = 100;
/// The longest rest between two attempts.
const REST_MAX: Duration = Duration::from_secs(60);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// There is nothing left to do.
    Done,
    /// The job is not ours any more: its image is gone, or our lease.
    Lost,
}

impl JobKind {
    /// Jobs of the kind that a process does at once: they read whole images. Somebody waits for an
    /// import, and nobody for a digest.
    fn at_once_max(self) -> usize {
        match self {
            Self::Digest => 2,
            Self::Import => 16,
            Self::Keys => 4,
        }
    }
}

/// Works for ever.
pub async fn run(control: Arc<Control>, plane: Arc<Plane>) {
    let mut running = JoinSet::new();
    let mut kinds: HashMap<Id, JobKind> = HashMap::new();
    loop {
        while let Some((job, node)) = take(&control, &kinds).await {
            let kind = job.kind;
            let task = running.spawn(attempt(control.clone(), plane.clone(), job, node));
            kinds.insert(task.id(), kind);
        }
        select! {
            ended = running.join_next_with_id(), if !running.is_empty() => {
                let id = match ended {
                    Some(Ok((id, ()))) => Some(id),
                    // Its panic is logged where it happens.
                    Some(Err(error)) => Some(error.id()),
                    None => None,
                };
                id.map(|id| kinds.remove(&id));
            }
            () = control.job_added.notified() => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// Takes the oldest job that this node can do and has hands for.
async fn take(control: &Control, running: &HashMap<Id, JobKind>) -> Option<(Job, NodeId)> {
    let has_hands = |kind: &JobKind| {
        let same = running.values().filter(|running| *running == kind);
        same.count() < kind.at_once_max()
    };
    let kinds: Vec<JobKind> = JobKind::ALL.into_iter().filter(has_hands).collect();
    let waiting = control.db.jobs_waiting(&kinds, ROWS_MAX).await;
    let waiting = waiting.unwrap_or_else(|error| {
        warn!(%error, "Could not look for jobs");
        Vec::new()
    });
    let node = control.leases.node();
    for mut job in waiting {
        let can = match job.kind {
            JobKind::Digest => digest::is_possible(control, &job),
            JobKind::Import => import::is_possible(control, &job).await,
            JobKind::Keys => true,
        };
        if !can {
            continue;
        }
        match control.db.job_claim(job.id, node).await {
            Ok(true) => {
                job.attempts += 1;
                return Some((job, node));
            }
            Ok(false) => {}
            Err(error) => warn!(image.id = %job.image, %error, "Could not take a job"),
        }
    }
    None
}

async fn attempt(control: Arc<Control>, plane: Arc<Plane>, job: Job, node: NodeId) {
    let work = async {
        match job.kind {
            JobKind::Digest => digest::run(&control, &plane, &job, node).await,
            JobKind::Import if job.attempts > IMPORTS_MAX => {
                let given_up = import::give_up(&control, &job, node).await;
                given_up.map(|()| Outcome::Done)
            }
            JobKind::Import => import::run(&control, &plane, &job, node).await,
            JobKind::Keys => keys::run(&control, &job, node).await,
        }
    };
    let outcome = select! {
        outcome = work => outcome,
        () = lost(&control, &job, node) => Ok(Outcome::Lost),
    };
    if outcome.is_ok() {
        control.held.forget(job.id);
    }
    let label = match &outcome {
        Ok(Outcome::Done) => {
            control.end_trust(job.id).await;
            "done"
        }
        Ok(Outcome::Lost) => {
            info!(image.id = %job.image, job = job.kind.as_str(), "A job is not wanted here any more");
            "lost"
        }
        Err(error) => {
            failed(&control, &job, node, error).await;
            "failed"
        }
    };
    counter!("fresnel_jobs_total", "kind" => job.kind.as_str(), "outcome" => label).increment(1);
}

/// Ready when the job is not the node's any more.
async fn lost(control: &Control, job: &Job, node: NodeId) {
    loop {
        sleep(HOLD_EVERY).await;
        match control.db.job_holds(job.id, node).await {
            Ok(true) => {}
            Ok(false) => return,
            // The lease decides: without a database it runs out, and nothing can be recorded.
            Err(error) => warn!(image.id = %job.image, %error, "Could not look after a job"),
        }
    }
}

/// Tries again later, or gives up.
async fn failed(control: &Arc<Control>, job: &Job, node: NodeId, error: &Error) {
    let (id, attempts) = (&job.image, job.attempts);
    let kind = job.kind.as_str();
    let tries_max = match job.kind {
        JobKind::Digest => control.settings.http_retries.saturating_add(1),
        JobKind::Import => IMPORTS_MAX,
        JobKind::Keys => KEYS_MAX,
    };
    let recorded = if attempts < tries_max {
        warn!(image.id = %id, job = kind, attempts, %error, "A job failed; it will be tried again");
        let rest = Duration::from_secs(1 << attempts.min(6)).min(REST_MAX);
        let released = control.db.job_release(job.id, node, rest).await;
        released.map_err(Error::from)
    } else {
        warn!(image.id = %id, job = kind, attempts, %error, "A job failed for good");
        match job.kind {
            JobKind::Digest => digest::give_up(control, job, node, error).await,
            JobKind::Import => import::give_up(control, job, node).await,
            // It was said, each time, that they stay.
            JobKind::Keys => control.db.job_drop(job.id, node).await.map_err(Error::from),
        }
    };
    if let Err(error) = recorded {
        warn!(image.id = %id, job = kind, %error, "Could not record a failed job; it is begun again when our lease is over");
    }
}
