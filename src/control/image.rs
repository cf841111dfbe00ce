//! Images: create, show, list, change, delete. One file an operation, each read top down: load,
//! allow, check, move the status, persist.

mod actions;
mod create;
mod delete;
mod list;
mod show;
mod text;
mod unstore;
pub mod update;

use chrono::{NaiveDateTime, Utc};

use super::{Control, Error, Result, Rule, caller::Caller, db, policy::Target};
use crate::model::{Image, ImageId};

pub use create::NewImage;
pub use list::Page;
pub(super) use text::is_wide;
pub use update::{Attribute, Change, Edit};

/// How often an operation starts again when others change its image at the same time.
pub(super) const ATTEMPTS_MAX: u32 = 5;

impl Control {
    /// Loads what the caller may see, or says `missing`.
    pub(in crate::control) async fn load(
        &self,
        caller: &Caller,
        id: &ImageId,
        missing: fn(ImageId) -> Error,
    ) -> Result<Image> {
        match self.db.image(id, &caller.viewer()).await {
            Ok(found) => Ok(found.image),
            Err(db::Error::NotFound) => Err(missing(id.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the policy about an image. Who may not even see it is told that there is none.
    pub(in crate::control) fn allow(
        &self,
        rule: Rule,
        caller: &Caller,
        image: &Image,
    ) -> Result<()> {
        let target = Target::Image(image);
        match self.policy.allow(rule, caller, target) {
            Err(Error::Denied(_)) if !self.policy.holds(Rule::GetImage, caller, target) => {
                return Err(Error::Hidden);
            }
            answer => answer?,
        }
        if self.policy.checks_ownership() && is_of_owner(rule) && !caller.owns(image) {
            return Err(Error::NotOwner);
        }
        Ok(())
    }
}

/// Before the rules of today Glance allowed these to everybody, and then looked at the owner.
pub(super) fn is_of_owner(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::Deactivate
            | Rule::DeleteImage
            | Rule::DeleteImageLocation
            | Rule::ModifyImage
            | Rule::Reactivate
            | Rule::UploadImage
    )
}

/// The time that goes into rows: UTC.
pub(super) fn now() -> NaiveDateTime {
    Utc::now().naive_utc()
}
