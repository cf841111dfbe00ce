//! `DELETE /v2/stores/{store}/{image}` (reference A.5.5): takes an image out of one of its stores.
//!
//! The record first: of two requests that each take one of the last two copies, one is refused, and
//! the image keeps its bytes. A location whose bytes are not gone yet says `pending_delete`, so that
//! what a crash or a store that is away leaves behind is found by `fresnel scrub`.

use tracing::info;

use super::{ATTEMPTS_MAX, now};
use crate::{
    control::{Caller, Control, Error, Result, Rule, db, location::Refusal},
    model::{Image, ImageId, Location, LocationStatus, Status, StoreId},
};

impl Control {
    /// Removes an image's bytes from a store.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Location`], [`Error::Denied`], [`Error::NotOwner`], and the
    /// store's and the database's.
    pub async fn image_unstore(
        &self,
        caller: &Caller,
        store: &StoreId,
        id: &ImageId,
    ) -> Result<()> {
        caller.may_change()?;
        if self.stores.get(store).is_none() {
            return Err(Refusal::StoreUnknown(store.clone()).into());
        }
        for _ in 0..ATTEMPTS_MAX {
            let missing = |id| Refusal::ImageUnknown(id).into();
            let before = self.load(caller, id, missing).await?;
            self.allow(Rule::GetImageLocation, caller, &before)?;
            self.allow(Rule::DeleteImageLocation, caller, &before)?;
            let at = self.copy_in(&before, store)?;
            if !caller.owns(&before) {
                return Err(Error::NotOwner);
            }
            let gone = [before.locations[at].clone()];
            match self.refuse_in_use(id, &gone).await {
                Err(Error::InUse(image)) => return Err(Refusal::DataInUse(image).into()),
                answer => answer?,
            }
            let mut after = before.clone();
            after.locations[at].status = LocationStatus::PendingDelete;
            after.updated_at = now();
            match self.db.image_save(&before, &after).await {
                Ok(()) => {
                    info!(request.id = caller.request_id, image.id = %id, store.id = %store, "Took an image out of a store");
                    self.forget(id, &gone).await;
                    return Ok(());
                }
                // Another copy went, or the status moved, meanwhile: judge again by what it is now.
                Err(db::Error::Conflict) => {}
                Err(db::Error::NotFound) => return Err(missing(id.clone())),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict)
    }

    /// The place of the location that may go, in Glance's order of checks.
    fn copy_in(&self, image: &Image, store: &StoreId) -> Result<usize, Refusal> {
        if image.status != Status::Active {
            return Err(Refusal::Inactive);
        }
        let is_active = |location: &Location| location.status == LocationStatus::Active;
        if image.locations.iter().filter(|l| is_active(l)).count() == 1 {
            return Err(Refusal::OnlyCopy);
        }
        let is_there = |location: &Location| {
            let holds = self.store_of(location).map(|there| there.id());
            is_active(location) && holds == Some(store)
        };
        let at = image.locations.iter().position(is_there);
        at.ok_or_else(|| Refusal::NotInStore {
            image: image.id.clone(),
            store: store.clone(),
        })
    }
}
