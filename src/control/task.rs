//! Tasks as clients see them (reference A.4.5, A.8).

mod create;

use super::{Caller, Control, Error, Result, Rule, db, db::TaskQuery, policy::Target};
use crate::model::{ImageId, Task, TaskId};

pub use create::NewTask;

impl Control {
    /// The tasks of an image, oldest first.
    ///
    /// # Errors
    /// [`Error::Hidden`] when there is no such image, or the caller may not see it.
    pub async fn tasks_of_image(&self, caller: &Caller, id: &ImageId) -> Result<Vec<Task>> {
        let image = self.load(caller, id, |_| Error::Hidden).await?;
        let allowed = self.allow(Rule::GetImage, caller, &image);
        allowed.map_err(|_| Error::Hidden)?;
        Ok(self.db.tasks_of_image(id, &caller.viewer()).await?)
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
}
