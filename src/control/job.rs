//! Background work: a few jobs at once, each on whatever node takes it, until it is done.
//!
//! A job outlives its node: the lease of a dead one does not hold, and another takes its jobs over
//! from their start. Deleting the image deletes its jobs, and whoever works on one of them sees
//! that it is not held any more and stops.

mod digest;
mod import;
mod keys;

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use metrics::counter;
use tokio::{
    select,
    task::{Id, JoinSet},
    time::sleep,
};
use tracing::{info, warn};

use super::{
    Control, Error,
    db::{Back, Job, JobId, JobKind, NodeId},
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
/// The rest of a job that was begun for nothing: the sweep has ended its writes meanwhile.
const BACK_AFTER: Duration = Duration::from_secs(5);

/// What this process works on.
type Hands = HashMap<Id, (JobKind, JobId)>;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// There is nothing left to do.
    Done,
    /// It stops here: its image is gone, another node has it, or this one ends.
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
    let mut hands = Hands::new();
    loop {
        while let Some((job, node)) = take(&control, &hands).await {
            let hand = (job.kind, job.id);
            let task = running.spawn(attempt(control.clone(), plane.clone(), job, node));
            hands.insert(task.id(), hand);
        }
        if !has_hands(&hands, JobKind::Import) {
            speak_for_imports(&control).await;
        }
        select! {
            ended = running.join_next_with_id(), if !running.is_empty() => {
                let id = match ended {
                    Some(Ok((id, ()))) => Some(id),
                    Some(Err(error)) => Some(error.id()),
                    None => None,
                };
                id.map(|id| hands.remove(&id));
            }
            () = control.job_added.notified() => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

fn has_hands(hands: &Hands, kind: JobKind) -> bool {
    let same = hands.values().filter(|(busy, _)| *busy == kind);
    same.count() < kind.at_once_max()
}

async fn waiting(control: &Control, kinds: &[JobKind]) -> Vec<Job> {
    let waiting = control.db.jobs_waiting(kinds, ROWS_MAX).await;
    waiting.unwrap_or_else(|error| {
        warn!(%error, "Could not look for jobs");
        Vec::new()
    })
}

/// Takes the oldest job that this node can do and has hands for.
async fn take(control: &Control, hands: &Hands) -> Option<(Job, NodeId)> {
    if control.leases.is_draining() {
        return None;
    }
    let kinds = JobKind::ALL.into_iter();
    let kinds: Vec<JobKind> = kinds.filter(|kind| has_hands(hands, *kind)).collect();
    // What was begun under an earlier id of this node may still run.
    let runs = |job: &Job| hands.values().any(|(_, id)| *id == job.id);
    let waiting = waiting(control, &kinds).await.into_iter();
    let node = control.leases.node();
    for mut job in waiting.filter(|job| !runs(job)) {
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

/// Imports that this node will do when it has hands, others do not give up for lost.
async fn speak_for_imports(control: &Control) {
    let mut ours = Vec::new();
    for job in waiting(control, &[JobKind::Import]).await {
        if import::is_ours_to_come(control, &job).await {
            ours.push(job.id);
        }
    }
    if let Err(error) = control.db.jobs_await(&ours).await {
        warn!(%error, "Could not speak for imports that wait");
    }
}

async fn attempt(control: Arc<Control>, plane: Arc<Plane>, job: Job, node: NodeId) {
    let (kind, id) = (job.kind.as_str(), &job.image);
    let work = async {
        match job.kind {
            JobKind::Digest => digest::run(&control, &plane, &job, node).await,
            JobKind::Import if job.attempts > IMPORTS_MAX => {
                import::give_up(&control, &job, node).await
            }
            JobKind::Import => import::run(&control, &plane, &job, node).await,
            JobKind::Keys => keys::run(&control, &job, node).await,
        }
    };
    // The panic itself was told by the panic hook.
    let work = AssertUnwindSafe(work).catch_unwind();
    let outcome = select! {
        outcome = work => outcome.unwrap_or(Err(Error::Crashed)),
        () = lost(&control, &job, node) => Ok(Outcome::Lost),
    };
    let (label, back, rest) = match &outcome {
        Ok(Outcome::Done) => {
            control.end_trust(job.id).await;
            ("done", Back::Unfinished, BACK_AFTER)
        }
        Ok(Outcome::Lost) => {
            info!(image.id = %id, job = kind, "A job stops here");
            ("lost", Back::Unfinished, BACK_AFTER)
        }
        Err(error) if error.is_busy() => {
            info!(image.id = %id, job = kind, %error, "A job finds no buffers; it will be begun again");
            ("busy", Back::Unfinished, BACK_AFTER)
        }
        Err(error) => {
            let rest = failed(&control, &job, node, error).await;
            ("failed", Back::Failed, rest)
        }
    };
    counter!("fresnel_jobs_total", "kind" => kind, "outcome" => label).increment(1);
    if !released(&control, &job, node, back, rest).await {
        control.held.forget(job.id);
    }
}

/// Gives back what has not ended, however long the database is away: a job of a node that lives is
/// begun by no other. False: it has ended, or is another's.
async fn released(control: &Control, job: &Job, node: NodeId, back: Back, rest: Duration) -> bool {
    loop {
        match control.db.job_release(job.id, node, back, rest).await {
            Ok(was_ours) => return was_ours,
            Err(error) => {
                warn!(image.id = %job.image, %error, "Could not give a job back; trying again");
            }
        }
        sleep(HOLD_EVERY).await;
    }
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

/// Gives up a job that has failed too often. Returns how long it rests, if it is still there.
async fn failed(control: &Arc<Control>, job: &Job, node: NodeId, error: &Error) -> Duration {
    let (id, attempts) = (&job.image, job.attempts);
    let kind = job.kind.as_str();
    let tries_max = match job.kind {
        JobKind::Digest => control.settings.http_retries.saturating_add(1),
        JobKind::Import => IMPORTS_MAX,
        JobKind::Keys => KEYS_MAX,
    };
    if attempts < tries_max {
        warn!(image.id = %id, job = kind, attempts, %error, "A job failed; it will be tried again");
        return Duration::from_secs(1 << attempts.min(6)).min(REST_MAX);
    }
    warn!(image.id = %id, job = kind, attempts, %error, "A job failed for good");
    let recorded = match job.kind {
        JobKind::Digest => digest::give_up(control, job, node, error).await,
        JobKind::Import => import::give_up(control, job, node).await.map(drop),
        // It was said, each time, that they stay.
        JobKind::Keys => control.db.job_drop(job.id, node).await.map_err(Error::from),
    };
    if let Err(error) = recorded {
        warn!(image.id = %id, job = kind, %error, "Could not record a failed job; it is begun again");
    }
    REST_MAX
}
