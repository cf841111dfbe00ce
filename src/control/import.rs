//! `POST /v2/images/{id}/import` (reference A.5.4, B.3): decides, and leaves a task behind that a job
//! does. The moves of an image's properties that both share are in `progress`. A task of the API of
//! tasks is done by such a job too: see `control::task`.
//!
//! One transaction records the task, its job, the lock on the image and the move to `importing`, so
//! that whatever was answered with 202 is done or fails, on whatever node.

mod begin;
mod forward;
mod held;
mod method;
pub(super) mod progress;
mod refusal;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{data::stage, model::StoreId};

pub use crate::client::peer::Answer;
pub use begin::{Begun, ImportRequest};
pub use held::Held;
pub use method::{Method, Remote, Web};
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
    /// `image_import_plugins`: what is done to an image on its way in.
    pub plugins: Plugins,
    /// `[glance_download_properties] extra_properties`: how the names begin of the properties that
    /// come along with an image of another service.
    pub download_properties: Vec<String>,
    /// Directory of files that plugins need for a while.
    pub scratch: PathBuf,
}

/// What is done to an image on its way in, be it listed in any order: its bytes are unpacked, then
/// converted. A copy is as its image is.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    /// To its bytes.
    pub stage: stage::Plugins,
    /// To its properties.
    pub inject: Option<Inject>,
}

/// `inject_image_metadata`, by `[inject_metadata_properties]`.
#[derive(Clone, Debug, Default)]
pub struct Inject {
    /// `inject`.
    pub properties: BTreeMap<String, String>,
    /// `ignore_user_roles`: who has one of them is spared.
    pub spared_roles: Vec<String>,
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
            plugins: Plugins::default(),
            download_properties: Vec::new(),
            scratch: PathBuf::new(),
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
