//! `POST /v2/images/{id}/import` (reference A.5.4, B.3): decides, and leaves a task behind that a job
//! does. The moves of an image's properties that both share are in `progress`.
//!
//! One transaction records the task, its job, the lock on the image and the move to `importing`, so
//! that whatever was answered with 202 is done or fails, on whatever node.

mod begin;
mod forward;
mod method;
pub(super) mod progress;
mod refusal;

use std::{path::PathBuf, time::Duration};

use crate::model::StoreId;

pub use crate::client::peer::Answer;
pub use begin::{Begun, ImportRequest};
pub use method::{Method, Web};
pub use refusal::Refusal;

/// The property by which a task has an image to itself.
pub(super) const LOCK: &str = "os_glance_import_task";

/// What the operator decides about imports.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `enabled_import_methods`.
    pub methods: Vec<Method>,
    /// Where data waits for its import.
    pub staging: Staging,
    /// `worker_self_reference_url`, else `public_endpoint`: how other workers reach this one.
    pub self_url: Option<String>,
    /// `[task] task_time_to_live`: for how long a task that has ended is remembered.
    pub task_time_to_live: Duration,
}

/// Where data waits for its import.
#[derive(Clone, Debug)]
pub struct Staging {
    /// The store; no image rests there.
    pub store: StoreId,
    /// Where it is, if it is a directory that perhaps no other host sees.
    pub local: Option<LocalStaging>,
}

/// A staging directory.
#[derive(Clone, Debug)]
pub struct LocalStaging {
    /// Glance beside us stages there under the same names.
    pub path: PathBuf,
    /// The name of this host.
    pub host: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            methods: Vec::new(),
            staging: Staging {
                store: StoreId::new(Self::STAGING_STORE),
                local: None,
            },
            self_url: None,
            task_time_to_live: Duration::from_secs(48 * 3600),
        }
    }
}

impl Settings {
    /// Glance's name for its staging store.
    pub const STAGING_STORE: &'static str = "os_glance_staging_store";

    /// Whether a method is enabled.
    pub fn has(&self, name: &str) -> bool {
        self.methods.iter().any(|method| method.as_str() == name)
    }
}
