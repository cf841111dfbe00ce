//! Why an import is not begun, in Glance's words (reference A.5.4).

use super::Method;
use crate::model::{ImageId, StoreId};

/// Why an import is not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The image has its data.
    #[error("Image with status active cannot be target for import")]
    Active,
    /// There is nothing to copy.
    #[error("Only images with status active can be targeted for copying")]
    NotActive,
    /// The image gets data already.
    #[error("Image needs to be in 'queued' state to use '{}' method", .0.as_str())]
    NotQueued(Method),
    /// There is nothing to import.
    #[error("Image needs to be staged before 'glance-direct' method can be used")]
    NotStaged,
    /// The name says which.
    #[error("'{0}' needs to be set before import")]
    FormatUnset(&'static str),
    /// A task has the image.
    #[error("Image has active task")]
    ActiveTask,
    /// A task was first.
    #[error(
        "New operation on image '{0}' is not permitted as prior operation is still in progress"
    )]
    Overtaken(ImageId),
    /// No such store.
    #[error("Store for identifier {0} not found")]
    UnknownStore(StoreId),
    /// Stores named in two ways.
    #[error(
        "All_stores parameter can't be used with x-image-meta-store header or stores parameter"
    )]
    AllAndSome,
    /// Stores named in two ways.
    #[error("Stores parameter and x-image-meta-store header can't be both specified")]
    HeaderAndSome,
    /// A copy to where the image is.
    #[error("Image is already present at store '{0}'")]
    Present(StoreId),
    /// Without `enabled_backends` there is one store, which must succeed.
    #[error("All_stores_must_succeed can only be set with enabled_backends {}", .0.as_deref().unwrap_or("None"))]
    SingleStore(Option<String>),
    /// The worker that has the staged data cannot be asked.
    #[error("Stage host is unavailable")]
    StageHost,
    /// It does not answer.
    #[error("Stage host is unavailable")]
    StageHostSilent,
    /// `glance-download` must be told more; the name says what.
    #[error("'{0}' needs to be set for glance-download import method")]
    RemoteUnset(&'static str),
    /// A token that may make no trust, in a service that others do not know for one.
    #[error(
        "glance-download acts for its user when the request is over: the token may make no trust, \
         and this service has not the role service"
    )]
    Untrusted,
    /// The id of an image elsewhere is none.
    #[error("Remote image id does not look like a UUID: {0}")]
    RemoteId(String),
    /// The address of a task is not one that may be asked.
    #[error("URI for legacy import task does not pass filtering: {0}")]
    TaskAddress(String),
    /// The address is not one that may be asked.
    #[error("URI for web-download does not pass filtering: {}", .0.as_deref().unwrap_or("None"))]
    Address(Option<String>),
}
