//! Locations that clients name (reference A.4.4, A.5.6, E.1): whose bytes they may be, and what
//! they are.
//!
//! Whoever may name an address could name the object of somebody else, read it as an image of
//! their own and delete it with that (OSSN-0065). So no address of a file is taken, and none whose
//! object another image has, or whose object bears another image's name: an upload is published
//! under its image's id before it is recorded.

mod edit;
mod refusal;
mod register;
mod validation;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Control, Result,
    db::{self, Claim, Work},
    quota,
};
use crate::{
    model::{Image, Location, LocationStatus},
    store::{self, Store},
};

pub use refusal::Refusal;
pub use register::Registration;
pub(super) use register::is_of_web;
pub use validation::HashField;

/// Schemes of which clients may name no address: the files of this host, and configuration.
const SCHEMES_REFUSED: [&str; 3] = ["file", "filesystem", "swift+config"];

/// A location as a client gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewLocation {
    /// The address.
    pub url: String,
    /// What is kept beside it. In multi-store mode we set `store`.
    pub metadata: Map<String, Value>,
    /// What the client says of the bytes, in its order.
    pub validation: Vec<(HashField, String)>,
}

impl Control {
    /// Says where a location is and how many bytes are there, or why it cannot be the image's.
    async fn place(&self, image: &Image, given: &NewLocation) -> Result<(Location, u64)> {
        let store = self.nameable(&given.url).ok_or(Refusal::Unusable)?;
        let size_bytes = match store.size(&given.url).await {
            Ok(bytes) if bytes > 0 => bytes,
            Ok(_) | Err(store::Error::NotFound(_) | store::Error::BadAddress(_)) => {
                return Err(Refusal::Unusable.into());
            }
            Err(error) => return Err(error.into()),
        };
        let mut metadata = given.metadata.clone();
        if self.settings.multistore {
            metadata.insert("store".to_owned(), store.id().as_str().into());
        }
        check_metadata("", &Value::Object(metadata.clone()))?;
        let object = store.object(&given.url);
        let there = |other: &Location| {
            let same = object.is_some() && store.object(&other.url) == object;
            same || other.url == given.url
        };
        if image.locations.iter().any(there) {
            return Err(Refusal::Duplicate(given.url.clone()).into());
        }
        let location = Location {
            id: None,
            url: given.url.clone(),
            metadata,
            status: LocationStatus::Active,
        };
        Ok((location, size_bytes))
    }

    /// Adds a location to an image that is to be saved.
    async fn add(&self, image: &mut Image, at: usize, given: &NewLocation) -> Result<()> {
        let count = image.locations.len() + 1;
        if let Some((attempted, maximum)) = quota::over(self.settings.image_location_quota, count) {
            return Err(Refusal::TooMany { attempted, maximum }.into());
        }
        let (location, size_bytes) = self.place(image, given).await?;
        image.locations.insert(at.min(count - 1), location);
        if image.size_bytes.unwrap_or(0) == 0 {
            image.size_bytes = Some(size_bytes);
        }
        Ok(())
    }

    /// The store of an address that a client may name. Into one that encrypts nobody else puts anything.
    pub(in crate::control) fn nameable(&self, url: &str) -> Option<&Arc<dyn Store>> {
        let (scheme, _) = url.split_once(':')?;
        if SCHEMES_REFUSED.contains(&scheme.to_ascii_lowercase().as_str()) {
            return None;
        }
        let store = self.stores.by_url(url);
        store.filter(|store| !self.settings.encrypts(store.id()))
    }

    /// Saves an image and what goes on with it; new locations only if no other image has their
    /// objects.
    pub(in crate::control) async fn save_located(
        &self,
        before: &Image,
        after: &Image,
        work: Option<&Work<'_>>,
    ) -> db::Result<()> {
        let there = |new: &&Location| before.locations.iter().any(|old| old.url == new.url);
        let new = after.locations.iter().filter(|new| !there(new));
        let objects: Vec<Object<'_>> = new.filter_map(|new| self.object(&new.url)).collect();
        if objects.is_empty() && work.is_none() {
            return self.db.image_save(before, after).await;
        }
        let claims: Vec<Claim<'_>> = objects.iter().map(Object::claim).collect();
        self.db.location_save(before, after, &claims, work).await
    }

    /// What an address names; none where that may be many's, as on the web.
    pub(in crate::control) fn object(&self, url: &str) -> Option<Object<'_>> {
        let store = self.stores.by_url(url)?;
        let address = store.object(url)?;
        let is_same = {
            let address = address.clone();
            move |url: &str| store.object(url).as_ref() == Some(&address)
        };
        Some(Object {
            address,
            is_same: Box::new(is_same),
        })
    }
}

/// An object that an address names.
pub(in crate::control) struct Object<'a> {
    address: String,
    is_same: Box<dyn Fn(&str) -> bool + Send + Sync + 'a>,
}

impl Object<'_> {
    pub(in crate::control) fn claim(&self) -> Claim<'_> {
        let name = self.address.rsplit('/').next();
        Claim {
            name: name.unwrap_or(&self.address),
            is_same: &self.is_same,
        }
    }
}

/// Metadata is text, in lists and objects.
fn check_metadata(key: &str, value: &Value) -> Result<(), Refusal> {
    let found = match value {
        Value::String(_) => return Ok(()),
        Value::Object(members) => {
            let mut members = members.iter();
            return members.try_for_each(|(name, member)| check_metadata(name, member));
        }
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            return items
                .try_for_each(|(index, item)| check_metadata(&format!("{key}[{index}]"), item));
        }
        Value::Null => "<class 'NoneType'>",
        Value::Bool(_) => "<class 'bool'>",
        Value::Number(number) if number.is_f64() => "<class 'float'>",
        Value::Number(_) => "<class 'int'>",
    };
    Err(Refusal::Metadata {
        key: key.to_owned(),
        found,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_is_text_at_any_depth() {
        let fine = json!({"a": "x", "b": ["y", {"c": "z"}]});
        assert!(check_metadata("", &fine).is_ok());
        let wrong = check_metadata("", &json!({"b": ["y", 1]})).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "The image metadata key b[1] has an invalid type of <class 'int'>. Only dict, list, \
             and unicode are supported."
        );
    }
}
