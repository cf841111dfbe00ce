//! `DELETE /v2/images/{id}` (reference A.4.6): the data first, then the record, so that a failure
//! leaves an image that can be deleted again. Before any data goes, all of it is asked for its use.
//! With `delayed_delete` the record alone: the scrubber removes the data.

use tracing::{error, info, warn};

use super::ATTEMPTS_MAX;
use crate::{
    base::secret::Secret,
    control::{Caller, Control, Error, Result, Rule, db, encryption::Leaving, import::LOCK},
    model::{Image, ImageId, Location, LocationStatus, Status, location},
    store,
};

impl Control {
    /// Deletes an image and its data. An upload in flight learns of it and publishes nothing. The key
    /// manager hears of it in whose name `token` is.
    ///
    /// # Errors
    /// [`Error::NothingToDelete`], [`Error::Denied`], [`Error::Protected`], [`Error::InUse`],
    /// [`Error::Status`]; [`Error::Store`] when a store fails in a way that deleting again may mend.
    pub async fn image_delete(
        &self,
        caller: &Caller,
        id: &ImageId,
        token: Option<&Secret>,
    ) -> Result<()> {
        caller.may_change()?;
        for _ in 0..ATTEMPTS_MAX {
            let image = self.load(caller, id, Error::NothingToDelete).await?;
            self.allow(Rule::DeleteImage, caller, &image)?;
            if image.protected {
                return Err(Error::Protected(image.id));
            }
            let waits = self.settings.delayed_delete && !image.locations.is_empty();
            let mut keys = Leaving::of(&image);
            image.status.transition(match waits {
                true => Status::PendingDelete,
                false => Status::Deleted,
            })?;
            if !caller.owns(&image) {
                return Err(Error::NothingToDelete(image.id));
            }
            let mut later = None;
            let deleted = match waits {
                true => {
                    later = self.keys_later(id, &keys, token).await;
                    self.db.image_delete_later(&image, later.as_ref()).await
                }
                false => {
                    self.remove_data(&image).await?;
                    self.db.image_delete(&image).await
                }
            };
            match deleted {
                Ok(()) => {
                    self.leases.image_deleted(id);
                    self.end_import(&image).await;
                    self.uncache(id).await;
                    if waits || !self.has_stores(&image) {
                        keys = keys.without_destroying();
                    }
                    if later.is_none() {
                        // What fails is in the log, as with Glance.
                        drop(self.leave_keys(id, &keys, token).await);
                    }
                    info!(request.id = caller.request_id, image.id = %id, "Deleted an image");
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

    /// What was to be imported is not wanted any more. What fails here, the sweep does.
    async fn end_import(&self, image: &Image) {
        let lock = image.properties.get(LOCK).cloned().flatten();
        if let Some(task) = lock.and_then(|lock| lock.parse().ok()) {
            let ended = self.ended(Err("Image has been deleted, aborting import.".to_owned()));
            if let Err(error) = self.db.task_end(task, &ended).await {
                warn!(image.id = %image.id, task.id = %task, %error, "Could not end the task of a deleted image");
            }
        }
        if matches!(image.status, Status::Uploading | Status::Importing)
            && let Err(error) = self.unstage(&image.id).await
        {
            warn!(image.id = %image.id, %error, "Could not remove staged data yet");
        }
    }

    /// Whether all data was where it could be removed.
    fn has_stores(&self, image: &Image) -> bool {
        let mut locations = image.locations.iter();
        locations.all(|location| self.store_of(location).is_some())
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
                Ok(true) => return Err(Error::InUse(id.clone())),
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }

    /// Removes the data of locations that are recorded as `pending_delete`. What cannot be removed
    /// now stays so recorded, and `fresnel scrub` tries again.
    pub(in crate::control) async fn forget(&self, id: &ImageId, locations: &[Location]) {
        if self.settings.delayed_delete {
            return;
        }
        for location in locations.iter().filter(|l| is_active(l)) {
            if let Err(error) = self.forget_one(id, location).await {
                error!(image.id = %id, url = location::shown(&location.url), %error, "The data of a removed location is left to fresnel scrub");
            }
        }
    }

    /// Removes the data of one such location, and records that it is gone.
    pub(in crate::control) async fn forget_one(
        &self,
        id: &ImageId,
        location: &Location,
    ) -> Result<()> {
        self.remove_location(id, location).await?;
        // Data in a store that this node has not is still to be removed.
        if let (Some(row), Some(_)) = (location.id, self.store_of(location)) {
            self.db.location_forget(id, row).await?;
        }
        Ok(())
    }

    /// Data that is gone already, or in a store that takes no deletes, hinders nobody.
    async fn remove_location(&self, id: &ImageId, location: &Location) -> Result<()> {
        let Some(store) = self.store_of(location) else {
            error!(image.id = %id, "No store for the data of an image: it stays where it is");
            return Ok(());
        };
        match store.delete(&location.url).await {
            Ok(()) => Ok(()),
            Err(store::Error::Busy(_)) => Err(Error::InUse(id.clone())),
            Err(
                cause @ (store::Error::NotFound(_)
                | store::Error::ReadOnly(_)
                | store::Error::BadAddress(_)),
            ) => {
                warn!(image.id = %id, store.id = %store.id(), %cause, "An image has no data to delete");
                Ok(())
            }
            Err(cause) => Err(cause.into()),
        }
    }
}

fn is_active(location: &Location) -> bool {
    location.status == LocationStatus::Active
}
