//! `PATCH` of `/locations` (reference A.4.4), one operation at a time on a loaded image.

use super::{NewLocation, Refusal, validation};
use crate::{
    control::{Control, Result, quota},
    model::{Image, Location, LocationStatus, Status},
};

impl Control {
    /// Adds a location at a place of the list, which `-` or a number names. A queued image is
    /// active then.
    pub(in crate::control) async fn edit_add(
        &self,
        image: &mut Image,
        place: &str,
        given: &NewLocation,
    ) -> Result<()> {
        self.editable("add", "add", image)?;
        let algorithm = self.settings.hashing_algorithm;
        let news = validation::news(image, algorithm, given.validation.iter())?;
        let at = match place {
            "-" => image.locations.len(),
            number => position(number).ok_or(Refusal::Position("adding"))?,
        };
        self.add(image, at, given).await?;
        self.activate(image, news)
    }

    /// Sets all locations: the first ones of a queued image, or other metadata for the same
    /// addresses.
    pub(in crate::control) async fn edit_replace(
        &self,
        image: &mut Image,
        given: &[NewLocation],
    ) -> Result<()> {
        self.editable("update", "replace", image)?;
        let algorithm = self.settings.hashing_algorithm;
        let all = given.iter().flat_map(|location| &location.validation);
        let news = validation::news(image, algorithm, all)?;
        let quota = self.settings.image_location_quota;
        if let Some((attempted, maximum)) = quota::over(quota, given.len()) {
            return Err(Refusal::TooMany { attempted, maximum }.into());
        }
        if same_addresses(&image.locations, given) {
            image.locations = with_metadata(given);
            if self.settings.multistore {
                self.name_stores(image);
            }
        } else if !image.locations.is_empty() {
            let urls: Vec<&str> = image.locations.iter().map(|l| l.url.as_str()).collect();
            return Err(Refusal::Present(urls.join(", ")).into());
        } else {
            let mut filled = image.clone();
            for location in given {
                self.add(&mut filled, usize::MAX, location).await?;
            }
            *image = filled;
        }
        self.activate(image, news)
    }

    /// Removes one location, with its bytes once the image is saved, and never the last.
    pub(in crate::control) fn edit_remove(
        &self,
        image: &mut Image,
        place: &str,
    ) -> Result<(), Refusal> {
        if !self.settings.show_multiple_locations {
            return Err(Refusal::Invisible("remove"));
        }
        if image.status != Status::Active {
            return Err(Refusal::Status {
                action: "remove",
                status: image.status,
            });
        }
        let count = image.locations.len();
        if count == 1 {
            return Err(Refusal::Last);
        }
        let at = match place {
            "-" => count.checked_sub(1),
            number => position(number).filter(|at| *at < count),
        };
        image
            .locations
            .remove(at.ok_or(Refusal::Position("removing"))?);
        Ok(())
    }

    fn editable(
        &self,
        invisible: &'static str,
        action: &'static str,
        image: &Image,
    ) -> Result<(), Refusal> {
        if !self.settings.show_multiple_locations {
            return Err(Refusal::Invisible(invisible));
        }
        match image.status {
            Status::Active | Status::Queued => Ok(()),
            status => Err(Refusal::Status { action, status }),
        }
    }

    /// A queued image that has got its bytes is active, with the digests that came along.
    fn activate(&self, image: &mut Image, news: Vec<(super::HashField, String)>) -> Result<()> {
        if image.status == Status::Queued {
            self.expect(image)?;
            for (field, value) in news {
                field.set(image, value);
            }
            image.status = image.status.transition(Status::Active)?;
        }
        Ok(())
    }

    fn name_stores(&self, image: &mut Image) {
        for location in &mut image.locations {
            if let Some(store) = self.stores.by_url(&location.url) {
                let id = store.id().as_str().into();
                location.metadata.insert("store".to_owned(), id);
            }
        }
    }
}

fn position(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(usize::MAX))
}

fn same_addresses(there: &[Location], given: &[NewLocation]) -> bool {
    let mut there: Vec<&str> = there.iter().map(|location| location.url.as_str()).collect();
    let mut given: Vec<&str> = given.iter().map(|location| location.url.as_str()).collect();
    there.sort_unstable();
    given.sort_unstable();
    there == given
}

/// The same addresses as rows of their own, because the order of the rows is that of the list.
fn with_metadata(given: &[NewLocation]) -> Vec<Location> {
    let row = |new: &NewLocation| Location {
        id: None,
        url: new.url.clone(),
        metadata: new.metadata.clone(),
        status: LocationStatus::Active,
    };
    given.iter().map(row).collect()
}
