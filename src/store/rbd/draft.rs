//! Attempts of this process: their names, and the one lock under which anything is done to those.

use std::{collections::HashMap, sync::Arc};

use fresnel_ceph::{FEATURE_LAYERING, FEATURE_OBJECT_MAP, Image, NewImage, Outcome, Pool, Result};
use parking_lot::Mutex;

use super::{Config, Error, Failure, Intent, Link, MARK_KEY, growth::Growth};
use crate::model::{Attempt, ImageId};

/// The two names of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Names {
    pub(in crate::store) attempt: Attempt,
    /// Until it is published.
    pub(in crate::store) draft: String,
    /// Afterwards.
    pub(in crate::store) published: String,
}

impl Names {
    /// Fails with [`Error::BadAddress`] when the id could not be the name of an RBD image.
    pub(super) fn new(image: &ImageId, attempt: Attempt) -> super::Result<Self> {
        let id = image.as_str();
        match id.is_empty() || id.contains(['/', '@', '\0']) {
            true => Err(Error::BadAddress(id.to_owned())),
            false => Ok(Self::called(id, attempt)),
        }
    }

    /// The names of an attempt at what is to be called so.
    pub(in crate::store) fn called(published: &str, attempt: Attempt) -> Self {
        Self {
            attempt,
            draft: format!("{published}.{attempt}"),
            published: published.to_owned(),
        }
    }

    /// The names of an intent, if it is one that this store could have made.
    pub(super) fn of(intent: &Intent) -> super::Result<Self> {
        let names = Self::new(&intent.image, intent.attempt)?;
        if names.draft != intent.object {
            return Err(Error::BadAddress(intent.object.clone()));
        }
        Ok(names)
    }

    /// What a writer's failure means to its caller. One that has been shut out has been fenced: to it,
    /// what it wrote is gone.
    pub(super) fn outcome(&self, link: &Link, failure: Failure) -> Error {
        if let Failure::Failed(error) = &failure
            && error.outcome() == Some(Outcome::Blocklisted)
        {
            return Error::NotFound(self.draft.clone());
        }
        match link.outcome(&self.draft, failure) {
            Error::AlreadyExists(_) => Error::AlreadyExists(self.published.clone()),
            other => other,
        }
    }
}

/// What an image says of the attempt that wrote it: so that the attempt can be undone by whoever
/// finds it, and its writer be shut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) attempt: String,
    /// The address of the writer's connection.
    pub(super) writer: String,
}

impl Mark {
    pub(super) fn read(image: &Image) -> Result<Option<Self>> {
        let text = image.metadata(MARK_KEY)?;
        Ok(text.and_then(|text| {
            let (attempt, writer) = text.split_once(' ')?;
            Some(Self {
                attempt: attempt.to_owned(),
                writer: writer.to_owned(),
            })
        }))
    }

    pub(super) fn write(&self, image: &Image) -> Result<()> {
        image.set_metadata(MARK_KEY, &format!("{} {}", self.attempt, self.writer))
    }
}

/// The attempts of this process that are not over.
#[derive(Debug, Default)]
pub(in crate::store) struct Drafts {
    open: Mutex<HashMap<String, Arc<Draft>>>,
}

/// An attempt that is being written.
#[derive(Debug)]
pub(in crate::store) struct Draft {
    pub(in crate::store) names: Names,
    /// None before it is made, and after it was closed, by its writer or by whoever fences it.
    image: Mutex<Option<Image>>,
    /// Held by what creates, publishes or removes. Each is a task of its own: a caller that has
    /// gone away must not leave half of it to be found later.
    pub(in crate::store) gate: Arc<tokio::sync::Mutex<()>>,
}

impl Drafts {
    /// Enters an attempt, which can be done once.
    pub(in crate::store) fn enter(&self, names: Names) -> super::Result<Arc<Draft>> {
        let mut open = self.open.lock();
        if open.contains_key(&names.draft) {
            return Err(Error::AlreadyExists(names.draft));
        }
        let draft = Arc::new(Draft {
            names,
            image: Mutex::default(),
            gate: Arc::default(),
        });
        open.insert(draft.names.draft.clone(), draft.clone());
        Ok(draft)
    }

    pub(in crate::store) fn get(&self, names: &Names) -> Option<Arc<Draft>> {
        self.open.lock().get(&names.draft).cloned()
    }

    pub(in crate::store) fn leave(&self, names: &Names) {
        self.open.lock().remove(&names.draft);
    }
}

impl Draft {
    /// The open image; [`Error::NotFound`] after it was closed: the attempt is over.
    pub(super) fn image(&self) -> super::Result<Image> {
        let image = self.image.lock().clone();
        image.ok_or_else(|| Error::NotFound(self.names.draft.clone()))
    }

    pub(super) fn set_image(&self, image: Image) {
        *self.image.lock() = Some(image);
    }

    /// No operation begins any more. Returns what to wait for: the end of those that run.
    pub(super) fn close(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let image = self.image.lock().take();
        image.map(|image| image.closed())
    }
}

/// Makes an attempt's image, and marks it. Blocks.
pub(super) fn create(
    pool: &Pool,
    names: &Names,
    size_bytes: Option<u64>,
    config: &Config,
) -> Result<Image> {
    let defaults = pool.setting("rbd_default_features")?;
    let features = features(&defaults).unwrap_or_default();
    let first_bytes = || growth(features).first_bytes();
    pool.create(&NewImage {
        name: &names.draft,
        size_bytes: size_bytes.unwrap_or_else(first_bytes),
        order: config.order,
        // None asked for would be an image without clones.
        features: (features == 0).then_some(FEATURE_LAYERING),
        data_pool: config.data_pool.as_deref(),
    })?;
    let image = pool.open_image(&names.draft)?;
    let mark = Mark {
        attempt: names.attempt.to_string(),
        writer: pool.cluster().address()?,
    };
    mark.write(&image)?;
    Ok(image)
}

/// Whether images get an object map, by the value of `rbd_default_features`.
pub(super) fn has_object_map(text: &str) -> bool {
    growth(features(text).unwrap_or_default()) == Growth::Far
}

/// How an image with these features grows.
pub(super) fn growth(features: u64) -> Growth {
    if features & FEATURE_OBJECT_MAP != 0 {
        Growth::Far
    } else {
        Growth::Near
    }
}

/// The value of `rbd_default_features`: a number, or names.
fn features(text: &str) -> Option<u64> {
    const NAMES: [(&str, u64); 7] = [
        ("layering", 1 << 0),
        ("striping", 1 << 1),
        ("exclusive-lock", 1 << 2),
        ("object-map", 1 << 3),
        ("fast-diff", 1 << 4),
        ("deep-flatten", 1 << 5),
        ("journaling", 1 << 6),
    ];
    if let Ok(number) = text.trim().parse() {
        return Some(number);
    }
    let bits = text.split(',').map(|name| {
        let known = NAMES.iter().find(|(known, _)| *known == name.trim());
        known.map(|(_, bit)| bit)
    });
    bits.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_a_number_or_names() {
        assert_eq!(features("61"), Some(61));
        assert_eq!(
            features("layering,exclusive-lock, object-map,fast-diff,deep-flatten"),
            Some(61)
        );
        assert_eq!(features("layering,sorcery"), None);
        assert_eq!(growth(61), Growth::Far);
        assert_eq!(growth(5), Growth::Near);
    }

    #[test]
    fn an_id_that_is_no_name_is_refused() {
        for bad in ["", "a/b", "a@b", "a\0b"] {
            assert!(Names::new(&ImageId::new(bad), Attempt::random()).is_err());
        }
    }

    #[test]
    fn an_intent_of_another_store_is_refused() {
        let intent = Intent::new(
            ImageId::new("i"),
            Attempt::random(),
            "/images/.fresnel/i".to_owned(),
        );
        assert!(Names::of(&intent).is_err());
    }
}
