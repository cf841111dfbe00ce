//! The scrubber: an operator's command, never run by itself.
//!
//! It removes what is recorded as ours and dead: attempts of the journal whose lease is over, and
//! data that was given up (`pending_delete`). Whatever else lies in a store that no image has, it
//! tells and leaves: other clouds, clones that nobody has registered yet and a Glance beside us live
//! in the same places. Removing of that, too, takes a word of the operator's, an age, and an image of
//! ours that says of itself that it is deleted.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::Utc;
use tokio::sync::mpsc;
use tracing::warn;

use super::{
    Control, Result,
    db::{Claim, Fate},
    sweep,
};
use crate::{
    model::{ImageId, Location, Status, StoreId, location::shown},
    store::{self, Entry, Intent, Stat, Store},
};

/// Rows of one question.
const ROWS_MAX: u32 = 1000;
/// Entries between a store's listing and who looks at them.
const LISTED_MAX: usize = 256;

/// What the operator wants.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only this store.
    pub store: Option<StoreId>,
    /// Also remove what no image has, if it is older than this, and is named by an image that has
    /// been deleted for longer than this.
    pub adopt: Option<Duration>,
    /// Remove nothing, and tell what would be removed.
    pub dry_run: bool,
}

/// Something that lies in a store and that no living image has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The store.
    pub store: StoreId,
    /// Its address; of an attempt, the store's own name for it.
    pub address: String,
    /// The image whose id it bears; none when its name is no id.
    pub image: Option<ImageId>,
    /// What became of that image; none when we know of no such image.
    pub fate: Option<Fate>,
    /// Size and time; none when the store did not say.
    pub stat: Option<Stat>,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done with something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is gone.
    Removed(Why),
    /// It would be gone, without `dry_run`.
    Removable(Why),
    /// Nobody said that it may go.
    Unowned,
    /// It could not be removed; the text says why.
    Kept(String),
}

/// By what right something is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The journal says that it is of an attempt of ours whose lease is over.
    Journal,
    /// An image of ours has given it up.
    PendingDelete,
    /// It bears the id of an image that has long been deleted, and the operator wants it gone.
    Adopted,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Removed, or removable where nothing is removed.
    pub removed: u64,
    /// Left, because no image has it and nobody said that it may go.
    pub unowned: u64,
    /// Left, because it could not be removed.
    pub kept: u64,
    /// Stores that could not be listed, and why.
    pub unlisted: Vec<(StoreId, String)>,
}

/// What is told while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// Something was found.
    Found(&'a Found),
    /// So many entries of the store were looked at.
    Looked(&'a StoreId, u64),
}

/// Told of everything that is found, as it is found, and of how far it is.
pub type Tell<'a> = &'a mut (dyn FnMut(Told<'_>) + Send);

struct Scrub<'a> {
    control: &'a Control,
    options: &'a Options,
    tell: Tell<'a>,
    summary: Summary,
}

/// Scrubs once.
///
/// # Errors
/// The database's. What fails in a store is told and left.
pub async fn run(control: &Control, options: &Options, tell: Tell<'_>) -> Result<Summary> {
    let mut scrub = Scrub {
        control,
        options,
        tell,
        summary: Summary::default(),
    };
    scrub.journal().await?;
    scrub.pending().await?;
    let known = scrub.known().await?;
    for store in control.stores.iter().filter(|s| options.concerns(s.id())) {
        scrub.unowned(store, &known).await?;
    }
    Ok(scrub.summary)
}

impl Options {
    fn concerns(&self, store: &StoreId) -> bool {
        self.store.as_ref().is_none_or(|only| only == store)
    }
}

impl Scrub<'_> {
    /// Ends attempts that nobody will end, as the sweep of a running service does.
    async fn journal(&mut self) -> Result<()> {
        let control = self.control;
        let node = control.leases.node();
        let dead = control.db.writes_dead(node, ROWS_MAX).await?;
        for write in dead.iter().filter(|w| self.options.concerns(&w.store)) {
            let outcome = match self.options.dry_run {
                true => Outcome::Removable(Why::Journal),
                false => match sweep::end(control, node, write).await {
                    Ok(true) => Outcome::Removed(Why::Journal),
                    Ok(false) => continue,
                    Err(error) => kept(&error),
                },
            };
            self.say(Found {
                store: write.store.clone(),
                address: write.object.clone(),
                image: Some(write.image.clone()),
                fate: control.db.image_fate(&write.image).await?,
                stat: None,
                outcome,
            });
        }
        Ok(())
    }

    /// Removes data that images have given up at least `scrub_time` ago.
    async fn pending(&mut self) -> Result<()> {
        let control = self.control;
        let wait = control.settings.scrub_time;
        let mut after = 0;
        loop {
            let page = control.db.locations_pending(wait, after, ROWS_MAX).await?;
            for (image, location) in &page {
                after = location.id.unwrap_or(i64::MAX);
                self.give_up(image, location).await?;
            }
            if page.is_empty() {
                break;
            }
        }
        if !self.options.dry_run {
            control.db.images_scrubbed(wait).await?;
        }
        Ok(())
    }

    async fn give_up(&mut self, image: &ImageId, location: &Location) -> Result<()> {
        let control = self.control;
        let Some(store) = control.store_of(location) else {
            warn!(image.id = %image, url = shown(&location.url), "No store for data that is to be removed");
            return Ok(());
        };
        if !self.options.concerns(store.id()) {
            return Ok(());
        }
        let outcome = match self.options.dry_run {
            true => Outcome::Removable(Why::PendingDelete),
            false => match control.forget_one(image, location).await {
                Ok(()) => Outcome::Removed(Why::PendingDelete),
                Err(error) => kept(&error),
            },
        };
        self.say(Found {
            store: store.id().clone(),
            address: location.url.clone(),
            image: Some(image.clone()),
            fate: control.db.image_fate(image).await?,
            stat: None,
            outcome,
        });
        Ok(())
    }

    /// The objects that images and artifacts have, 16 bytes each.
    async fn known(&self) -> Result<HashSet<u128>> {
        let mut known = HashSet::new();
        let mut after = 0;
        loop {
            let page = self.control.db.addresses(after, ROWS_MAX).await?;
            let Some((last, _)) = page.last() else {
                break;
            };
            after = *last;
            known.extend(page.iter().flat_map(|(_, url)| self.keys(url)));
        }
        let mut after = String::new();
        loop {
            let page = self.control.db.blob_addresses(&after, ROWS_MAX).await?;
            let Some((last, _)) = page.last() else {
                return Ok(known);
            };
            after.clone_from(last);
            known.extend(page.iter().flat_map(|(_, url)| self.keys(url)));
        }
    }

    /// What an address is in the stores.
    fn keys(&self, url: &str) -> impl Iterator<Item = u128> {
        let stores = self.control.stores.iter();
        stores.filter_map(move |store| Some(key(store, &store.object(url)?)))
    }

    /// Looks at all that lies in a store.
    async fn unowned(&mut self, store: &Arc<dyn Store>, known: &HashSet<u128>) -> Result<()> {
        let (sender, mut listed) = mpsc::channel(LISTED_MAX);
        let listing = {
            let store = store.clone();
            tokio::spawn(async move { store.list(sender).await })
        };
        let mut looked = 0;
        while let Some(entry) = listed.recv().await {
            looked += 1;
            (self.tell)(Told::Looked(store.id(), looked));
            if let Some(found) = self.examine(store, entry, known).await? {
                self.say(found);
            }
        }
        if let Err(error) = listing.await.expect("listing does not panic") {
            let unlisted = (store.id().clone(), error.to_string());
            self.summary.unlisted.push(unlisted);
        }
        Ok(())
    }

    /// None when the entry is somebody's.
    async fn examine(
        &self,
        store: &Arc<dyn Store>,
        entry: Entry,
        known: &HashSet<u128>,
    ) -> Result<Option<Found>> {
        let db = &self.control.db;
        let (address, image) = match &entry {
            Entry::Object(url) => {
                let object = store.object(url).unwrap_or_else(|| url.clone());
                if known.contains(&key(store, &object)) {
                    return Ok(None);
                }
                let name = object.rsplit('/').next().unwrap_or_default();
                (url.clone(), ImageId::new(name))
            }
            Entry::Draft(Intent { image, object, .. }) => (object.clone(), image.clone()),
        };
        let image = image.is_uuid_shaped().then_some(image);
        let fate = match &image {
            Some(image) => {
                // Its upload runs, or has ended since all addresses were read.
                let own = store.object(&address);
                let is_entry = |url: &String| own.is_some() && store.object(url) == own;
                let recorded = db.addresses_of(image).await?;
                if !db.writes_of(image).await?.is_empty() || recorded.iter().any(is_entry) {
                    return Ok(None);
                }
                db.image_fate(image).await?
            }
            None => None,
        };
        let stat = match store.stat(&entry).await {
            Ok(stat) => Some(stat),
            Err(store::Error::NotFound(_)) => return Ok(None),
            Err(_) => None,
        };
        let outcome = self.judge(store, &entry, fate, stat).await?;
        Ok(Some(Found {
            store: store.id().clone(),
            address,
            image,
            fate,
            stat,
            outcome,
        }))
    }

    /// What may be done with an entry that no image has, and does it.
    async fn judge(
        &self,
        store: &Arc<dyn Store>,
        entry: &Entry,
        fate: Option<Fate>,
        stat: Option<Stat>,
    ) -> Result<Outcome> {
        let Some(least) = self.options.adopt else {
            return Ok(Outcome::Unowned);
        };
        let gone = fate.filter(|fate| fate.status == Status::Deleted);
        let gone = gone.and_then(|fate| fate.deleted_at);
        let gone = gone.and_then(|at| (Utc::now().naive_utc() - at).to_std().ok());
        let age = stat.and_then(|stat| age(&stat));
        // None is less than any time.
        if gone < Some(least) || age < Some(least) || self.is_named(store, entry).await? {
            return Ok(Outcome::Unowned);
        }
        if self.options.dry_run {
            return Ok(Outcome::Removable(Why::Adopted));
        }
        let removed = match entry {
            Entry::Object(url) => store.delete(url).await,
            Entry::Draft(intent) => store.discard(intent).await,
        };
        Ok(match removed {
            Ok(()) | Err(store::Error::NotFound(_)) => Outcome::Removed(Why::Adopted),
            Err(error) => kept(&error.into()),
        })
    }

    /// Whether any image has the object, by the database as it is now.
    async fn is_named(&self, store: &Arc<dyn Store>, entry: &Entry) -> Result<bool> {
        let Entry::Object(url) = entry else {
            return Ok(false);
        };
        let object = store.object(url).unwrap_or_else(|| url.clone());
        let claim = Claim {
            name: object.rsplit('/').next().unwrap_or(&object),
            is_same: &|other| store.object(other).as_ref() == Some(&object),
        };
        Ok(self.control.db.object_is_named(&claim).await?)
    }

    fn say(&mut self, found: Found) {
        let count = match found.outcome {
            Outcome::Removed(_) | Outcome::Removable(_) => &mut self.summary.removed,
            Outcome::Unowned => &mut self.summary.unowned,
            Outcome::Kept(_) => &mut self.summary.kept,
        };
        *count += 1;
        (self.tell)(Told::Found(&found));
    }
}

/// How long an entry has been as it is, by this machine's clock.
pub fn age(stat: &Stat) -> Option<Duration> {
    SystemTime::now().duration_since(stat.modified?).ok()
}

fn key(store: &Arc<dyn Store>, object: &str) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(store.id().as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(object.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(first)
}

fn kept(error: &super::Error) -> Outcome {
    Outcome::Kept(error.to_string())
}
