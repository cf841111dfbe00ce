//! The keys of an image that was deleted with delay: they go when its data is gone, whoever removes that.
//!
//! The job waits in the database while the image is `pending_delete`. It acts for whoever deleted the image,
//! by a trust; what nobody can act for stays, and the log says so.

use std::time::Duration;

use tracing::{info, warn};
use uuid::Uuid;

use super::Outcome;
use crate::{
    base::secret::Secret,
    control::{
        Control, Result,
        db::{Job, JobKind, NewJob, NodeId},
        encryption::Leaving,
        trust::Acting,
    },
    model::{ImageId, Status},
};

/// How long after `scrub_time` the data may lie for its keys to go with it.
const LATE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

impl Control {
    /// What is to be done about keys when the data of an image is gone that is being deleted. None: none goes
    /// with it, or nobody could act for its user.
    pub(in crate::control) async fn keys_later(
        &self,
        image: &ImageId,
        leaving: &Leaving,
        token: Option<&Secret>,
    ) -> Option<NewJob> {
        if leaving.destroyed.is_empty() {
            return None;
        }
        let job = NewJob {
            id: Uuid::new_v4(),
            kind: JobKind::Keys,
            image: image.clone(),
            input: serde_json::to_string(leaving).expect("ids are JSON"),
        };
        let lasts = self.settings.scrub_time.saturating_add(LATE_MAX);
        match self.entrust_for(job.id, token, lasts).await {
            Ok(true) => return Some(job),
            Ok(false) => {
                warn!(image.id = %image, "The keys of a deleted image stay: Keystone lets nobody act for its user");
            }
            Err(error) => {
                warn!(image.id = %image, %error, "The keys of a deleted image stay");
            }
        }
        None
    }
}

/// Destroys them, unless the image was restored.
///
/// # Errors
/// What another time may mend.
pub(super) async fn run(control: &Control, job: &Job, node: NodeId) -> Result<Outcome> {
    let fate = control.db.image_fate(&job.image).await?;
    let is_gone = fate.is_none_or(|fate| fate.status == Status::Deleted);
    match serde_json::from_str::<Leaving>(&job.input) {
        Ok(leaving) if is_gone => {
            let acting = control.acting(job.id).await?;
            let token = acting.map(|Acting { token, .. }| token);
            control
                .leave_keys(&job.image, &leaving, token.as_ref())
                .await?;
        }
        Ok(_) => info!(image.id = %job.image, "A restored image keeps its keys"),
        Err(_) => warn!(image.id = %job.image, job.id = %job.id, "A job that makes no sense"),
    }
    control.db.job_drop(job.id, node).await?;
    Ok(Outcome::Done)
}
