//! Tasks as clients see them (reference A.4.5, A.8).

mod create;

use chrono::{NaiveDateTime, TimeDelta};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Caller, Control, Error, Result, Rule,
    db::{self, Ended, TaskQuery},
    image::now,
    policy::Target,
};
use crate::model::{ImageId, ProjectId, Task, TaskId, TaskStatus};

pub use create::NewTask;

impl Control {
    /// The tasks of an image, oldest first; of more than `most` the newest.
    ///
    /// # Errors
    /// [`Error::Hidden`] when there is no such image, or the caller may not see it.
    pub async fn tasks_of_image(
        &self,
        caller: &Caller,
        id: &ImageId,
        most: u64,
    ) -> Result<Vec<Task>> {
        let image = self.load(caller, id, |_| Error::Hidden).await?;
        let allowed = self.allow(Rule::GetImage, caller, &image);
        allowed.map_err(|_| Error::Hidden)?;
        Ok(self.db.tasks_of_image(id, &caller.viewer(), most).await?)
    }

    /// A page of the tasks that the caller may see.
    ///
    /// # Errors
    /// [`Error::TaskMarker`], [`Error::Denied`].
    pub async fn task_list(&self, caller: &Caller, query: &TaskQuery) -> Result<Vec<Task>> {
        self.policy.allow(Rule::GetTasks, caller, Target::Service)?;
        match self.db.tasks(query, &caller.viewer()).await {
            Err(db::Error::MarkerUnknown) => {
                let marker = query.marker.expect("only a marker can be unknown");
                Err(Error::TaskMarker(marker))
            }
            listed => Ok(listed?),
        }
    }

    /// One task.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::TaskHidden`], [`Error::Denied`].
    pub async fn task_show(&self, caller: &Caller, id: TaskId) -> Result<Task> {
        self.policy.allow(Rule::GetTask, caller, Target::Service)?;
        let task = match self.db.task(id).await {
            Err(db::Error::NotFound) => return Err(Error::TaskNotFound(id.to_string())),
            found => found?,
        };
        let is_own = caller.project.as_ref() == Some(&task.owner);
        match caller.is_admin || is_own {
            true => Ok(task),
            false => Err(Error::TaskHidden(id)),
        }
    }

    /// A task that has failed before anything was begun.
    pub(super) fn failed(&self, task: Task, message: String) -> Task {
        let ended = self.ended(Err(message));
        Task {
            status: ended.status,
            message: ended.message,
            expires_at: Some(ended.expires_at),
            ..task
        }
    }

    /// A task that ends now.
    pub(super) fn ended(&self, outcome: Result<Value, String>) -> Ended {
        let lives = TimeDelta::from_std(self.settings.import.task_time_to_live);
        let expires_at = now().checked_add_signed(lives.unwrap_or(TimeDelta::MAX));
        let (status, result, message) = match outcome {
            Ok(result) => (TaskStatus::Success, result, None),
            Err(message) => (TaskStatus::Failure, Value::Null, Some(message)),
        };
        Ended {
            status,
            result,
            message,
            expires_at: expires_at.unwrap_or(NaiveDateTime::MAX),
        }
    }
}

/// A task that a caller begins.
pub(super) fn begun(caller: &Caller, kind: &str, image: Option<ImageId>, input: Value) -> Task {
    let now = now();
    Task {
        id: Uuid::new_v4(),
        kind: kind.to_owned(),
        status: TaskStatus::Pending,
        owner: caller.project.clone().unwrap_or(ProjectId::new("")),
        image,
        request_id: Some(caller.request_id.clone()),
        user_id: caller.user.clone(),
        expires_at: None,
        created_at: now,
        updated_at: now,
        input,
        result: Value::Null,
        message: None,
    }
}
