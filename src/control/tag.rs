//! Tags of an image (reference A.6).

use super::{
    Caller, Control, Error, Result, Rule, db,
    image::{ATTEMPTS_MAX, is_wide, now},
    quota,
};
use crate::model::{Image, ImageId};

impl Control {
    /// Adds a tag; one that is there stays.
    ///
    /// # Errors
    /// [`Error::ParentNotFound`], [`Error::Denied`], [`Error::Hidden`], [`Error::TagsDenied`],
    /// [`Error::TooManyTagsOn`], [`Error::WideTag`].
    pub async fn tag_add(&self, caller: &Caller, id: &ImageId, tag: &str) -> Result<()> {
        self.change_tags(caller, id, "update", |image| {
            if image.tags.iter().any(|have| have == tag) {
                return Ok(());
            }
            image.tags.push(tag.to_owned());
            let count = image.tags.len();
            if let Some((attempted, maximum)) = quota::over(self.settings.image_tag_quota, count) {
                return Err(Error::TooManyTagsOn {
                    image: id.clone(),
                    attempted,
                    maximum,
                });
            }
            if is_wide(tag) {
                return Err(Error::WideTag);
            }
            Ok(())
        })
        .await
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// [`Error::ParentNotFound`], [`Error::Denied`], [`Error::Hidden`], [`Error::TagsDenied`],
    /// [`Error::NoSuchTag`].
    pub async fn tag_remove(&self, caller: &Caller, id: &ImageId, tag: &str) -> Result<()> {
        self.change_tags(caller, id, "delete", |image| {
            let at = image.tags.iter().position(|have| have == tag);
            image.tags.remove(at.ok_or(Error::NoSuchTag)?);
            Ok(())
        })
        .await
    }

    async fn change_tags(
        &self,
        caller: &Caller,
        id: &ImageId,
        action: &'static str,
        change: impl Fn(&mut Image) -> Result<()>,
    ) -> Result<()> {
        caller.may_change()?;
        let denied = || Error::TagsDenied {
            action,
            image: id.clone(),
        };
        for _ in 0..ATTEMPTS_MAX {
            let before = self.load(caller, id, Error::ParentNotFound).await?;
            let allowed = self.allow(Rule::ModifyImage, caller, &before);
            allowed.map_err(|error| match error {
                Error::NotOwner => denied(),
                other => other,
            })?;
            let mut after = before.clone();
            change(&mut after)?;
            if !caller.owns(&before) {
                return Err(denied());
            }
            after.updated_at = now();
            match self.db.image_save(&before, &after).await {
                Ok(()) => return Ok(()),
                Err(db::Error::Conflict) => {}
                Err(db::Error::NotFound) => return Err(Error::ParentNotFound(id.clone())),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict)
    }
}
