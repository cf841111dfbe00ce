//! `DELETE /v2/images/{id}` (reference A.4.6): the data first, then the record, so that a failure
//! leaves an image that can be deleted again. Before any data goes, all of it is asked for its use.

use tracing::{error, info, warn};

use super::ATTEMPTS_MAX;
use crate::{
    control::{Caller, Control, Error, Result, Rule, db},
    model::{Image, ImageId, Location, LocationStatus, Status},
    store,
};

impl Control {
    /// Deletes an image and its data. An upload in flight learns of it and publishes nothing.
    ///
    /// # Errors
    /// [`Error::NothingToDelete`], [`Error::Denied`], [`Error::Protected`], [`Error::InUse`],
    /// [`Error::Status`]; [`Error::Store`] when a store fails in a way that deleting again may mend.
    pub async fn image_delete(&self, caller: &Caller, id: &ImageId) -> Result<()> {
        caller.may_change()?;
        for _ in 0..ATTEMPTS_MAX {
            let image = self.load(caller, id, Error::NothingToDelete).await?;
            self.allow(Rule::DeleteImage, caller, &image)?;
            if image.protected {
                return Err(Error::Protected(image.id));
            }
            image.status.transition(Status::Deleted)?;
            if !caller.owns(&image) {
                return Err(Error::NothingToDelete(image.id));
            }
            self.remove_data(&image).await?;
            match self.db.image_delete(&image).await {
                Ok(()) => {
                    self.leases.image_deleted(id);
                    info!(image.id = %id, "Deleted image {id}");
                    return Ok(());
                }
                // Its upload ended, or it was deactivated, meanwhile: look again.
                Err(db::Error::Conflict) => {}
                Err(db::Error::NotFound) => return Err(Error::NothingToDelete(id.clone())),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict)
    }

    async fn remove_data(&self, image: &Image) -> Result<()> {
        self.refuse_in_use(&image.id, &image.locations).await?;
        for location in image.locations.iter().filter(|l| is_active(l)) {
            self.remove_location(&image.id, location).await?;
        }
        Ok(())
    }

    /// Refuses where something depends on the data at one of the locations.
    pub(super) async fn refuse_in_use(&self, id: &ImageId, locations: &[Location]) -> Result<()> {
        for location in locations.iter().filter(|l| is_active(l)) {
            let Some(store) = self.store_of(location) else {
                continue;
            };
            match store.in_use(&location.url).await {
                Ok(false)
                | Err(
                    store::Error::NotFound(_)
                    | store::Error::ReadOnly(_)
                    | store::Error::BadAddress(_),
                ) => {}
                Ok(true) => return Err(in_use(id, location.url.clone())),
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }

    /// Removes the data of locations that no image has any more. What cannot be removed stays where
    /// it is, and the log says so.
    pub(super) async fn forget(&self, id: &ImageId, locations: &[Location]) {
        for location in locations.iter().filter(|l| is_active(l)) {
            if let Err(error) = self.remove_location(id, location).await {
                error!(image.id = %id, url = location.url, %error, "The data of a removed location stays where it is");
            }
        }
    }

    /// Data that is gone already, or in a store that takes no deletes, hinders nobody.
    async fn remove_location(&self, id: &ImageId, location: &Location) -> Result<()> {
        let Some(store) = self.store_of(location) else {
            error!(image.id = %id, "No store for the data of image {id}: it stays where it is");
            return Ok(());
        };
        match store.delete(&location.url).await {
            Ok(()) => Ok(()),
            Err(store::Error::Busy(reason)) => Err(in_use(id, reason)),
            Err(
                cause @ (store::Error::NotFound(_)
                | store::Error::ReadOnly(_)
                | store::Error::BadAddress(_)),
            ) => {
                warn!(image.id = %id, store = %store.id(), %cause, "No data to delete of image {id}");
                Ok(())
            }
            Err(cause) => Err(cause.into()),
        }
    }
}

fn is_active(location: &Location) -> bool {
    location.status == LocationStatus::Active
}

fn in_use(image: &ImageId, reason: String) -> Error {
    Error::InUse {
        image: image.clone(),
        reason,
    }
}
