//! What goes on with an image after its request is answered (reference A.8, B.2).

use std::{fmt, str::FromStr};

use chrono::NaiveDateTime;
use serde_json::Value;

use super::{ImageId, ProjectId, image::UnknownWord};

/// The id of a task, which is also the value of the lock that it has on its image.
pub type TaskId = uuid::Uuid;

/// The type of a task that imports an image.
pub const API_IMAGE_IMPORT: &str = "api_image_import";
/// The type of a task that registers a location.
pub const LOCATION_IMPORT: &str = "location_import";
/// The type of a task of `POST /v2/tasks`.
pub const IMPORT: &str = "import";

/// A row of `tasks`, with what `task_info` has beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What it does: any text that a Glance may have written.
    pub kind: String,
    /// How far it is.
    pub status: TaskStatus,
    /// Whose it is. The column is never NULL; the text is empty for nobody.
    pub owner: ProjectId,
    /// To which image.
    pub image: Option<ImageId>,
    /// Of which request.
    pub request_id: Option<String>,
    /// Who asked for it.
    pub user_id: Option<String>,
    /// UTC; after it the task is forgotten. Set with its end.
    pub expires_at: Option<NaiveDateTime>,
    /// UTC.
    pub created_at: NaiveDateTime,
    /// UTC. A task that goes on renews it: who finds it too old takes its lock away.
    pub updated_at: NaiveDateTime,
    /// What was asked for.
    pub input: Value,
    /// What came of it.
    pub result: Value,
    /// What there is to say: how far it is, or why it failed.
    pub message: Option<String>,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    /// Nobody works on it yet.
    Pending,
    /// Somebody does.
    Processing,
    /// Done.
    Success,
    /// Given up.
    Failure,
}

impl TaskStatus {
    /// Every status with the text of the API and the database.
    const TEXT: [(Self, &'static str); 4] = [
        (Self::Pending, "pending"),
        (Self::Processing, "processing"),
        (Self::Success, "success"),
        (Self::Failure, "failure"),
    ];

    /// The text of the API and the database.
    pub fn as_str(self) -> &'static str {
        Self::TEXT[self as usize].1
    }

    /// Whether it has ended.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Success | Self::Failure)
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TaskStatus {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::TEXT.iter().find(|(_, name)| *name == text);
        found
            .map(|(status, _)| *status)
            .ok_or_else(|| UnknownWord(text.to_owned()))
    }
}
