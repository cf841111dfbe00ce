//! Attempts of this process: their names, and the gate through which anything is done to those.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::{
    model::{Attempt, ImageId},
    store::{Error, Intent, Result},
};

/// Segments of an object: their numbers have five digits.
pub(super) const SEGMENTS_MAX: u32 = 99_999;
/// What Swift takes for the name of an object; ours are much shorter.
const NAME_BYTES_MAX: usize = 256;

/// The names of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) container: String,
    /// The image's object: a manifest.
    pub(super) object: String,
    /// What the names of its segments begin with. Not `<id>-`: with that begin those of a Glance,
    /// whose manifest would take ours in.
    pub(super) prefix: String,
}

impl Names {
    pub(super) fn new(container: String, image: &ImageId, attempt: Attempt) -> Result<Self> {
        let object = image.as_str();
        if !is_name(object) {
            return Err(Error::BadAddress(object.to_owned()));
        }
        Ok(Self {
            container,
            object: object.to_owned(),
            prefix: format!("{object}.{attempt}-"),
        })
    }

    /// The names of an intent, if it is one that this store could have made.
    pub(super) fn of(intent: &Intent) -> Result<Self> {
        let bad = || Error::BadAddress(intent.object.clone());
        let (container, prefix) = intent.object.split_once('/').ok_or_else(bad)?;
        let names = Self::new(container.to_owned(), &intent.image, intent.attempt)?;
        match names.prefix == prefix && is_name(container) {
            true => Ok(names),
            false => Err(bad()),
        }
    }

    /// Container and prefix: what the journal has, and the manifest.
    pub(super) fn segments(&self) -> String {
        format!("{}/{}", self.container, self.prefix)
    }

    pub(super) fn segment(&self, number: u32) -> String {
        format!("{}{number:05}", self.prefix)
    }
}

/// Whether it can be the name of a container or of an image's object.
pub(super) fn is_name(text: &str) -> bool {
    let odd = |c: char| c == '/' || c == '?' || c == '#' || c.is_control();
    !matches!(text, "" | "." | "..") && text.len() <= NAME_BYTES_MAX && !text.contains(odd)
}

/// The attempts of this process that are not over.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    open: Mutex<HashMap<String, Arc<Draft>>>,
}

/// An attempt that is being written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    over: AtomicBool,
    /// Shared by what writes; whoever ends the attempt has it alone.
    gate: RwLock<()>,
}

impl Drafts {
    /// Enters an attempt, which can be done once.
    pub(super) fn enter(&self, names: &Names) -> Result<Arc<Draft>> {
        let mut open = self.open.lock();
        if open.contains_key(&names.prefix) {
            return Err(Error::AlreadyExists(names.prefix.clone()));
        }
        let draft = Arc::<Draft>::default();
        open.insert(names.prefix.clone(), draft.clone());
        Ok(draft)
    }

    /// Ends an attempt: when this returns, nothing of it writes any more.
    pub(super) async fn end(&self, names: &Names) {
        let draft = self.open.lock().get(&names.prefix).cloned();
        if let Some(draft) = draft {
            draft.over.store(true, Ordering::Relaxed);
            drop(draft.gate.write().await);
            self.leave(names);
        }
    }

    pub(super) fn leave(&self, names: &Names) {
        self.open.lock().remove(&names.prefix);
    }
}

impl Draft {
    /// The right to write something of the attempt, for as long as the guard lives.
    pub(super) async fn enter(&self, names: &Names) -> Result<RwLockReadGuard<'_, ()>> {
        let guard = self.gate.read().await;
        match self.over.load(Ordering::Relaxed) {
            true => Err(Error::NotFound(names.segments())),
            false => Ok(guard),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_of_another_store_is_refused() {
        let (image, attempt) = (ImageId::new("i"), Attempt::random());
        let names = Names::new("glance".to_owned(), &image, attempt).unwrap();
        let intent = |object: String| Intent::new(image.clone(), attempt, object);
        assert_eq!(Names::of(&intent(names.segments())).unwrap(), names);
        for object in ["", "i", "glance/i", "/images/.fresnel/i"] {
            assert!(Names::of(&intent(object.to_owned())).is_err(), "{object}");
        }
    }

    #[tokio::test]
    async fn what_is_over_writes_nothing() {
        let drafts = Drafts::default();
        let names = Names::new("c".into(), &ImageId::new("i"), Attempt::random()).unwrap();
        let draft = drafts.enter(&names).unwrap();
        assert!(drafts.enter(&names).is_err());
        assert!(draft.enter(&names).await.is_ok());
        drafts.end(&names).await;
        assert!(draft.enter(&names).await.is_err());
        assert!(drafts.enter(&names).is_ok());
    }
}
