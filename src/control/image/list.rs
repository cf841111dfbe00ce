//! `GET /v2/images` (reference A.4.3).

use crate::{
    control::{
        Caller, Control, Error, Result, Rule,
        db::{self, ListQuery},
        policy::Target,
        protect::Operation,
    },
    model::{Image, ImageId},
};

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In the order asked for.
    pub images: Vec<Image>,
    /// The marker of the next page, if there may be one.
    pub next: Option<ImageId>,
}

impl Control {
    /// The images that the caller may see and the query asks for.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::MarkerNotFound`], [`Error::MarkerHidden`].
    pub async fn image_list(&self, caller: &Caller, query: &ListQuery) -> Result<Page> {
        self.policy.allow(Rule::GetImages, caller, Target::Own)?;
        // Its value would be told by who has it.
        let mut names = query.properties.iter().map(|(name, _)| name);
        if !names.all(|name| self.property_allowed(Operation::Read, name, caller)) {
            let (images, next) = (Vec::new(), None);
            return Ok(Page { images, next });
        }
        let found = match self.db.images(query, &caller.viewer()).await {
            Ok(found) => found,
            Err(error) => return Err(of_marker(error, query)),
        };
        // What the policy hides still fills its page: the next one begins after it.
        let full = query.limit == Some(found.len() as u64);
        let mut images: Vec<Image> = found.into_iter().map(|found| found.image).collect();
        images.retain(|image| {
            let target = Target::Image(image);
            self.policy.holds(Rule::GetImage, caller, target)
        });
        let readable = images.into_iter();
        let images: Vec<Image> = readable.map(|i| self.readable(caller, i)).collect();
        let last = images.last().filter(|_| full);
        let next = last.map(|image| image.id.clone());
        Ok(Page { images, next })
    }
}

fn of_marker(error: db::Error, query: &ListQuery) -> Error {
    match (error, &query.marker) {
        (db::Error::MarkerUnknown, Some(marker)) => Error::MarkerNotFound(marker.clone()),
        (db::Error::MarkerHidden, Some(marker)) => Error::MarkerHidden(marker.clone()),
        (error, _) => error.into(),
    }
}
