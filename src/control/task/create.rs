//! `POST /v2/tasks` (reference A.8, B.2): an image that a task makes and fills from the web.
//!
//! The image is there with the task, `importing` and locked by it, and goes with its failure. What is
//! wrong with its properties fails the task, not the request, as in Glance.

use std::convert::identity;

use serde_json::Value;

use super::begun;
use crate::{
    base::secret::Secret,
    control::{
        Caller, Control, Error, Result, Rule,
        db::{self, JobKind, NewJob},
        image::NewImage,
        import::{Method, Refusal, Web},
        job::ImportInput,
        policy::Target,
    },
    model::{Status, Task, task},
};

/// An import as a client asks for it.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// All that was asked for.
    pub input: Value,
    /// From where.
    pub uri: String,
    /// The image, or why there can be none.
    pub image: Result<NewImage, String>,
    /// In whose name the key manager is asked for a certificate.
    pub token: Option<Secret>,
}

impl Control {
    /// Records a task, and the image that it makes. What is returned is the task as it was asked for,
    /// be it by now that it has failed.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Denied`], [`Error::Import`] for an address that may not be
    /// fetched; the database's.
    pub async fn task_create(&self, caller: &Caller, new: NewTask) -> Result<Task> {
        caller.may_change()?;
        self.policy.allow(Rule::AddTask, caller, Target::Service)?;
        let passes = match &self.web {
            Some(web) => web.check(&new.uri).await.is_ok(),
            None => false,
        };
        if !passes {
            return Err(Refusal::TaskAddress(new.uri).into());
        }
        let task = begun(caller, task::IMPORT, None, new.input);
        let begun = match new.image {
            Ok(image) => {
                let begun = self.begin_task(caller, &task, image, new.uri, new.token);
                begun.await
            }
            Err(text) => return self.failed_task(task, text).await,
        };
        match begun {
            Ok(()) => {
                self.job_added.notify_one();
                Ok(task)
            }
            Err(error @ (Error::Db(_) | Error::IdentityUnavailable(_))) => Err(error),
            Err(error) => self.failed_task(task, error.to_string()).await,
        }
    }

    async fn begin_task(
        &self,
        caller: &Caller,
        task: &Task,
        new: NewImage,
        uri: String,
        token: Option<Secret>,
    ) -> Result<()> {
        let mut image = self.creatable(caller, new)?;
        image.status = Status::Importing;
        let default = self.stores.default_id().as_str().to_owned();
        let project = caller.project.as_ref();
        let certified = self.certified(&image, token.as_ref(), false).await;
        let job = NewJob {
            id: task.id,
            kind: JobKind::Import,
            image: image.id.clone(),
            input: ImportInput {
                method: Method::WebDownload,
                web: Some(Web { uri }),
                remote: None,
                stores: Vec::from_iter(self.settings.multistore.then_some(default)),
                must_succeed: true,
                project: project.map(|project| project.as_str().to_owned()),
                inject: false,
                creates: true,
                certified,
            }
            .to_json(),
        };
        let mut bounds = self.bounds(caller).await?;
        loop {
            let created = self.db.import_create(task, &job, &image, bounds.as_ref());
            match created.await {
                Ok(()) => return Ok(()),
                Err(db::Error::Duplicate(_)) => return Err(Error::DuplicateImage(image.id)),
                Err(error) => self.try_again(&mut bounds, identity, error).await?,
            }
        }
    }

    /// What is returned is the task as it was made.
    async fn failed_task(&self, task: Task, message: String) -> Result<Task> {
        self.db
            .task_add(&self.failed(task.clone(), message))
            .await?;
        Ok(task)
    }
}
