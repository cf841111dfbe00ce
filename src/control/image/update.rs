//! `PATCH /v2/images/{id}` (reference A.4.4): all changes on one loaded image, saved once.

use super::{ATTEMPTS_MAX, now, text};
use crate::{
    base::secret::Secret,
    control::{
        Caller, Control, Error, Result, Rule, db,
        location::{NewLocation, Refusal},
        policy::Target,
        protect::Operation,
        quota,
    },
    model::{Image, ImageId, Location, LocationStatus, ProjectId, Status, Visibility},
};

/// One operation of a patch, parsed and checked against the schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// `add` or `replace` of what every image has.
    Set(Attribute),
    /// Version 2.0's `add` of what every image has: always too late.
    SetNew(&'static str),
    /// Something with a custom property.
    Property {
        /// Its name.
        name: String,
        /// What.
        edit: Edit,
    },
    /// `remove` of what every image has: never.
    RemoveBase(&'static str),
    /// `add` of a location.
    AddLocation {
        /// A place of the list: a number or `-`.
        place: String,
        /// What.
        location: NewLocation,
    },
    /// `replace` of all locations; with none it is refused.
    ReplaceLocations(Vec<NewLocation>),
    /// `remove` of a location, by its place.
    RemoveLocation(String),
}

/// What a patch does with a custom property. A value is null only where the schema says so.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Sets it.
    Add(Option<String>),
    /// Version 2.0's `add`: sets it if it is not there.
    AddNew(Option<String>),
    /// Sets it if it is there.
    Replace(Option<String>),
    /// Removes it; it must be there.
    Remove,
}

/// What every image has and a client may set.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are the image's")]
pub enum Attribute {
    ContainerFormat(Option<String>),
    DiskFormat(Option<String>),
    MinDisk(i64),
    MinRam(i64),
    Name(Option<String>),
    OsHidden(bool),
    Owner(Option<ProjectId>),
    Protected(bool),
    Tags(Vec<String>),
    Visibility(Visibility),
}

impl Control {
    /// Applies the changes in order; the first that fails undoes all. The key manager hears of another key in
    /// whose name `token` is.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], [`Error::Denied`], and what the changes can run into.
    pub async fn image_update(
        &self,
        caller: &Caller,
        id: &ImageId,
        changes: &[Change],
        token: Option<&Secret>,
    ) -> Result<Image> {
        caller.may_change()?;
        for _ in 0..ATTEMPTS_MAX {
            let before = self.load(caller, id, Error::ImageNotFound).await?;
            if changes.is_empty() {
                return Ok(self.readable(caller, before));
            }
            let mut after = before.clone();
            for change in changes {
                self.apply(caller, &mut after, change).await?;
            }
            if after
                .properties
                .keys()
                .any(|name| !before.properties.contains_key(name))
            {
                quota::properties(&self.settings, &after)?;
            }
            text::check(&after)?;
            if !caller.owns(&before) {
                return Err(Error::NotOwner);
            }
            after.updated_at = now();
            let kept = |old: &&Location| after.locations.iter().any(|new| new.url == old.url);
            let removed = before.locations.iter().filter(|old| !kept(old));
            let removed: Vec<Location> = removed.cloned().collect();
            self.refuse_in_use(id, &removed).await?;
            let mut recorded = after.clone();
            recorded.locations.extend(removed.iter().map(pending));
            match self.save_located(&before, &recorded, None).await {
                Ok(()) => {
                    self.forget(id, &removed).await;
                    self.change_key(&before, &after, token).await;
                    return Ok(self.readable(caller, after));
                }
                Err(db::Error::Taken) => return Err(Refusal::Unusable.into()),
                Err(db::Error::Alike) => return Err(Error::PropertyAlike),
                // Another request changed the status meanwhile: judge again by what it is now.
                Err(db::Error::Conflict) => {}
                Err(db::Error::NotFound) => return Err(Error::ImageNotFound(id.clone())),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict)
    }

    /// Policies see the image as the changes before this one have made it.
    async fn apply(&self, caller: &Caller, image: &mut Image, change: &Change) -> Result<()> {
        match change {
            Change::Set(attribute) => self.set(caller, image, attribute),
            Change::SetNew(name) => {
                self.allow(Rule::ModifyImage, caller, image)?;
                Err(Error::PropertyPresent((*name).to_owned()))
            }
            Change::Property { name, edit } => {
                self.allow(Rule::ModifyImage, caller, image)?;
                self.edit_property(caller, image, name, edit)
            }
            Change::RemoveBase(name) => {
                self.allow(Rule::ModifyImage, caller, image)?;
                Err(Error::PropertyFixed((*name).to_owned()))
            }
            Change::ReplaceLocations(none) if none.is_empty() => Err(Refusal::Cleared.into()),
            Change::ReplaceLocations(locations) => {
                self.allow(Rule::SetImageLocation, caller, image)?;
                self.edit_replace(image, locations).await
            }
            Change::AddLocation { place, location } => {
                self.allow(Rule::SetImageLocation, caller, image)?;
                self.edit_add(image, place, location).await
            }
            Change::RemoveLocation(place) => {
                self.allow(Rule::DeleteImageLocation, caller, image)?;
                Ok(self.edit_remove(image, place)?)
            }
        }
    }

    /// A property that the caller may not read is not there for it, and stays where it is not
    /// overwritten.
    fn edit_property(
        &self,
        caller: &Caller,
        image: &mut Image,
        name: &str,
        edit: &Edit,
    ) -> Result<()> {
        let there = image.properties.contains_key(name)
            && self.property_allowed(Operation::Read, name, caller);
        match edit {
            Edit::AddNew(_) if there => return Err(Error::PropertyPresent(name.to_owned())),
            Edit::Replace(_) | Edit::Remove if !there => {
                return Err(Error::NoSuchProperty(name.to_owned()));
            }
            Edit::Add(value) | Edit::AddNew(value) | Edit::Replace(value) => {
                let operation = match there {
                    true => Operation::Update,
                    false => Operation::Create,
                };
                self.allow_property(operation, name, caller)?;
                text::check_value(name, value.as_deref())?;
                image.properties.insert(name.to_owned(), value.clone());
            }
            Edit::Remove => {
                self.allow_property(Operation::Delete, name, caller)?;
                image.properties.remove(name);
            }
        }
        Ok(())
    }

    fn set(&self, caller: &Caller, image: &mut Image, attribute: &Attribute) -> Result<()> {
        match attribute {
            Attribute::Owner(_) if !caller.is_admin => return Err(Error::OwnerFixed),
            Attribute::Visibility(visibility) => {
                self.allow_visibility(caller, *visibility, Target::Image(image))?;
            }
            _ => {}
        }
        self.allow(Rule::ModifyImage, caller, image)?;
        match attribute {
            Attribute::ContainerFormat(format) => {
                format_may_change("container_format", image.status)?;
                image.container_format.clone_from(format);
            }
            Attribute::DiskFormat(format) => {
                format_may_change("disk_format", image.status)?;
                image.disk_format.clone_from(format);
            }
            Attribute::MinDisk(gib) => image.min_disk_gib = quota::number("min_disk", *gib)?,
            Attribute::MinRam(mib) => image.min_ram_mib = quota::number("min_ram", *mib)?,
            Attribute::Name(name) => image.name.clone_from(name),
            Attribute::OsHidden(hidden) => image.os_hidden = *hidden,
            Attribute::Owner(owner) => image.owner.clone_from(owner),
            Attribute::Protected(protected) => image.protected = *protected,
            Attribute::Tags(tags) => {
                image.tags = quota::tags(&self.settings, tags)?;
            }
            Attribute::Visibility(visibility) => image.visibility = *visibility,
        }
        Ok(())
    }
}

/// A location that is the image's no more, and whose data is still to go.
fn pending(removed: &Location) -> Location {
    Location {
        status: LocationStatus::PendingDelete,
        ..removed.clone()
    }
}

/// A format cannot change once there is data.
fn format_may_change(attribute: &'static str, status: Status) -> Result<()> {
    match status {
        Status::Queued | Status::Importing => Ok(()),
        _ => Err(Error::FormatFixed(attribute)),
    }
}
