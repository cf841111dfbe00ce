//! `POST /v2/images` (reference A.4.1).

use std::{collections::BTreeMap, convert::identity};

use super::{now, text};
use crate::{
    control::{
        Caller, Control, Error, Result, Rule, db, policy::Target, protect::Operation, quota,
    },
    model::{Image, ImageId, ProjectId, Visibility},
};

/// An image as a client asks for it.
#[derive(Clone, Debug, Default)]
pub struct NewImage {
    /// Chosen by the client, else by us.
    pub id: Option<ImageId>,
    /// At most 255 characters.
    pub name: Option<String>,
    /// `shared` unless given.
    pub visibility: Option<Visibility>,
    /// See [`Image::protected`].
    pub protected: bool,
    /// See [`Image::os_hidden`].
    pub os_hidden: bool,
    /// The caller's project unless given; may be given as nobody.
    pub owner: Option<Option<ProjectId>>,
    /// See [`Image::container_format`].
    pub container_format: Option<String>,
    /// See [`Image::disk_format`].
    pub disk_format: Option<String>,
    /// GiB.
    pub min_disk_gib: i64,
    /// MiB.
    pub min_ram_mib: i64,
    /// As given.
    pub tags: Vec<String>,
    /// Custom properties.
    pub properties: BTreeMap<String, Option<String>>,
}

impl Control {
    /// Records an image without data.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::ForeignOwner`], [`Error::PropertyReserved`], [`Error::TooManyTags`], [`Error::TooManyProperties`],
    /// [`Error::NegativeNumber`], [`Error::NumberTooLarge`], [`Error::WideText`] and its like,
    /// [`Error::DuplicateImage`], [`Error::LimitExceeded`].
    pub async fn image_create(&self, caller: &Caller, new: NewImage) -> Result<Image> {
        caller.may_change()?;
        let image = self.creatable(caller, new)?;
        let mut bounds = self.bounds(caller).await?;
        loop {
            let created = match &bounds {
                Some(bounds) => self.db.image_create_within(&image, bounds).await,
                None => self.db.image_create(&image).await,
            };
            match created {
                Ok(()) => return Ok(self.readable(caller, image)),
                Err(db::Error::Duplicate(_)) => return Err(Error::DuplicateImage(image.id)),
                Err(db::Error::Alike) => return Err(Error::PropertyAlike),
                Err(error) => self.try_again(&mut bounds, identity, error).await?,
            }
        }
    }

    /// An image that the caller may create.
    ///
    /// # Errors
    /// As [`Control::image_create`], but those of the database.
    pub(in crate::control) fn creatable(&self, caller: &Caller, new: NewImage) -> Result<Image> {
        self.allow_creation(caller, &new)?;
        for (name, value) in &new.properties {
            self.allow_property(Operation::Create, name, caller)?;
            text::check_value(name, value.as_deref())?;
        }
        let mut image = proposed(caller, new)?;
        image.tags = quota::tags(&self.settings, &image.tags)?;
        quota::properties(&self.settings, &image)?;
        text::check(&image)?;
        Ok(image)
    }

    fn allow_creation(&self, caller: &Caller, new: &NewImage) -> Result<()> {
        let owner = match &new.owner {
            Some(owner) => owner.as_ref(),
            None => caller.project.as_ref(),
        };
        let target = Target::Proposed {
            owner,
            visibility: new.visibility,
        };
        let foreign = owner != caller.project.as_ref();
        let shown = || owner.map_or("None".to_owned(), |owner| owner.as_str().to_owned());
        match self.policy.allow(Rule::AddImage, caller, target) {
            Err(Error::Denied(_)) if foreign => return Err(Error::ForeignOwner(shown())),
            answer => answer?,
        }
        if let Some(visibility) = new.visibility {
            self.allow_visibility(caller, visibility, target)?;
        }
        if self.policy.checks_ownership() && foreign && !caller.is_admin {
            return Err(Error::ForeignOwner(shown()));
        }
        Ok(())
    }

    /// Showing an image to everybody has rules of its own.
    pub(super) fn allow_visibility(
        &self,
        caller: &Caller,
        visibility: Visibility,
        target: Target<'_>,
    ) -> Result<()> {
        let rule = match visibility {
            Visibility::Public => Rule::PublicizeImage,
            Visibility::Community => Rule::CommunitizeImage,
            Visibility::Shared | Visibility::Private => return Ok(()),
        };
        self.policy.allow(rule, caller, target)
    }
}

fn proposed(caller: &Caller, new: NewImage) -> Result<Image> {
    Ok(Image {
        name: new.name,
        visibility: new.visibility.unwrap_or(Visibility::Shared),
        protected: new.protected,
        os_hidden: new.os_hidden,
        container_format: new.container_format,
        disk_format: new.disk_format,
        min_disk_gib: quota::number("min_disk", new.min_disk_gib)?,
        min_ram_mib: quota::number("min_ram", new.min_ram_mib)?,
        owner: new.owner.unwrap_or_else(|| caller.project.clone()),
        properties: new.properties,
        tags: new.tags,
        ..Image::queued(new.id.unwrap_or_else(ImageId::random), now())
    })
}
