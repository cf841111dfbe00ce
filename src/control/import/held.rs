//! Tokens with which jobs of this node ask another image service in the name of their user, where that may
//! make no trust. They are in memory alone: no token is written down, and what a node that died has held is
//! lost.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{base::secret::Secret, control::db::JobId};

/// No token is good for longer; one whose job went with its image is forgotten after that.
const HELD_FOR: Duration = Duration::from_secs(24 * 3600);

/// The tokens, by job.
#[derive(Debug, Default)]
pub struct Held(Mutex<HashMap<JobId, (Instant, Secret)>>);

impl Held {
    pub(in crate::control) fn keep(&self, job: JobId, token: Secret) {
        let mut held = self.0.lock();
        held.retain(|_, (since, _)| since.elapsed() < HELD_FOR);
        held.insert(job, (Instant::now(), token));
    }

    pub(in crate::control) fn of(&self, job: JobId) -> Option<Secret> {
        let held = self.0.lock();
        held.get(&job).map(|(_, token)| token.clone())
    }

    pub(in crate::control) fn forget(&self, job: JobId) {
        self.0.lock().remove(&job);
    }
}
