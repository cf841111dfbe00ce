//! `POST /v2/images/{id}/actions/...` (reference A.4.7).

use tracing::info;

use super::{ATTEMPTS_MAX, now};
use crate::{
    control::{Caller, Control, Error, Result, Rule, db},
    model::{Image, ImageId, Status},
};

impl Control {
    /// Keeps the data from everybody but administrators. Doing it twice is no error.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], [`Error::Denied`], [`Error::WrongStatusFor`].
    pub async fn image_deactivate(&self, caller: &Caller, id: &ImageId) -> Result<()> {
        let rule = Rule::Deactivate;
        self.act(caller, id, rule, Status::Active, Status::Deactivated)
            .await
    }

    /// Gives the data back.
    ///
    /// # Errors
    /// As [`Control::image_deactivate`].
    pub async fn image_reactivate(&self, caller: &Caller, id: &ImageId) -> Result<()> {
        let rule = Rule::Reactivate;
        self.act(caller, id, rule, Status::Deactivated, Status::Active)
            .await
    }

    async fn act(
        &self,
        caller: &Caller,
        id: &ImageId,
        rule: Rule,
        from: Status,
        to: Status,
    ) -> Result<()> {
        caller.may_change()?;
        for _ in 0..ATTEMPTS_MAX {
            let before = self.load(caller, id, Error::ImageNotFound).await?;
            self.allow(rule, caller, &before)?;
            if before.status == to {
                return Ok(());
            }
            if before.status != from {
                return Err(Error::WrongStatusFor {
                    action: rule.as_str(),
                    status: before.status,
                });
            }
            if !caller.owns(&before) {
                return Err(Error::NotOwner);
            }
            let mut after: Image = before.clone();
            after.status = before.status.transition(to)?;
            after.updated_at = now();
            match self.db.image_save(&before, &after).await {
                Ok(()) => {
                    info!(request.id = caller.request_id, image.id = %id, status = %to, "An image has another status");
                    return Ok(());
                }
                Err(db::Error::Conflict) => {}
                Err(db::Error::NotFound) => return Err(Error::ImageNotFound(id.clone())),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict)
    }
}
