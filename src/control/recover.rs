//! Mends images that somebody left under way: a Glance that died in an upload or an import leaves
//! them in `saving`, `uploading` or `importing` for ever. An operator's command, never run by itself.
//!
//! An image on which somebody of us works, or has worked, is not touched: its journal row or its job
//! is there, and the sweep sees to it. Of others the age decides: that of the image, of its task, and
//! of whatever bytes of it there are, as an upload that goes on changes those.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::Utc;
use tokio::sync::mpsc;

use super::{
    Control, Error, Result,
    db::{self, Viewer},
    image::now,
    scrub::age,
};
use crate::{
    model::{Image, ImageId, LocationStatus, Status, StoreId},
    store::{self, Entry, Stat},
};

/// Images of one question.
const ROWS_MAX: u32 = 1000;
/// Entries between a store's listing and who looks at them.
const LISTED_MAX: usize = 256;

const LOCK: &str = "os_glance_import_task";
const IMPORTING: &str = "os_glance_importing_to_stores";
const FAILED: &str = "os_glance_failed_import";
/// What says where an image is being worked on.
const PLACES: [&str; 2] = ["os_glance_stage_host", "os_glance_hash_op_host"];

/// What the operator wants.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nothing has moved for this long.
    pub older_than: Duration,
    /// Change nothing, and tell what would be changed.
    pub dry_run: bool,
    /// Directory of staged data.
    pub staging: PathBuf,
}

/// An image that was under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Mended {
    /// The image.
    pub image: ImageId,
    /// Its status before.
    pub was: Status,
    /// The bytes of it that were found: where, and how many if that is known.
    pub bytes: Vec<(String, Option<u64>)>,
    /// Stores that could not be looked into.
    pub unlisted: Vec<StoreId>,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done with an image that was under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is queued again, and its bytes are gone.
    Queued,
    /// It would be, without `dry_run`.
    Mendable,
    /// It is left, because something of it has moved not long ago.
    Moves(&'static str),
    /// It is left as it is by now; the text says what failed.
    Failed(String),
}

/// Told of every image that was under way.
pub type Tell<'a> = &'a mut (dyn FnMut(&Mended) + Send);

/// What lies in the stores under the names of images.
struct Remains {
    entries: HashMap<ImageId, Vec<(StoreId, Entry)>>,
    unlisted: Vec<StoreId>,
}

/// Mends once.
///
/// # Errors
/// The database's. What fails with one image is told.
pub async fn run(control: &Control, options: &Options, tell: Tell<'_>) -> Result<()> {
    let mut after = String::new();
    loop {
        let stuck = control
            .db
            .images_stuck(options.older_than, &after, ROWS_MAX);
        let stuck = stuck.await?;
        let Some(last) = stuck.last() else {
            return Ok(());
        };
        after = last.as_str().to_owned();
        let mut remains = remains(control, &stuck).await;
        for id in &stuck {
            let entries = remains.entries.remove(id).unwrap_or_default();
            if let Some(mut mended) = mend(control, options, id, entries).await? {
                mended.unlisted.clone_from(&remains.unlisted);
                tell(&mended);
            }
        }
    }
}

/// None when the image is not under way any more.
async fn mend(
    control: &Control,
    options: &Options,
    id: &ImageId,
    entries: Vec<(StoreId, Entry)>,
) -> Result<Option<Mended>> {
    let everything = Viewer {
        project: None,
        is_admin: true,
    };
    let image = match control.db.image(id, &everything).await {
        Ok(found) => found.image,
        Err(db::Error::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let staged = options.staging.join(id.as_str());
    let (bytes, youngest) = weigh(control, &entries, &staged).await;
    let lock = image.properties.get(LOCK).cloned().flatten();
    let outcome = if youngest.is_some_and(|age| age < options.older_than) {
        Outcome::Moves("its bytes")
    } else if moves(control, lock.as_deref(), options.older_than).await? {
        Outcome::Moves("its task")
    } else if options.dry_run {
        Outcome::Mendable
    } else {
        match give_back(control, &image, lock.as_deref(), &entries, &staged).await {
            Ok(true) => Outcome::Queued,
            Ok(false) => return Ok(None),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    };
    Ok(Some(Mended {
        image: image.id,
        was: image.status,
        bytes,
        unlisted: Vec::new(),
        outcome,
    }))
}

/// Takes the image from whoever left it, removes its bytes, and queues it; that order, so that who
/// comes back late finds that the image is not theirs, and nobody uploads before all is gone.
async fn give_back(
    control: &Control,
    image: &Image,
    lock: Option<&str>,
    entries: &[(StoreId, Entry)],
    staged: &Path,
) -> Result<bool> {
    if !control.db.image_seize(image, lock).await? {
        return Ok(false);
    }
    for (store, entry) in entries {
        let store = control.stores.get(store).expect("it was listed");
        let removed = match entry {
            Entry::Object(url) => store.delete(url).await,
            Entry::Draft(intent) => store.discard(intent).await,
        };
        match removed {
            Ok(()) | Err(store::Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // What is recorded as staged may be in a store that cannot be listed.
    control.unstage(&image.id).await?;
    match fs::remove_file(staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::Staged(error));
        }
        _ => {}
    }
    let mut seized = image.clone();
    seized.status = Status::Importing;
    seized.properties.remove(LOCK);
    control.db.image_save(&seized, &queued(&seized)).await?;
    control.forget(&image.id, &image.locations).await;
    Ok(true)
}

/// The image as it was before its data began to come.
fn queued(image: &Image) -> Image {
    let mut queued = image.clone();
    queued.status = Status::Queued;
    queued.updated_at = now();
    queued.size_bytes = None;
    queued.virtual_size_bytes = None;
    queued.checksum = None;
    queued.os_hash_algo = None;
    queued.os_hash_value = None;
    for location in &mut queued.locations {
        location.status = match location.status {
            LocationStatus::Active => LocationStatus::PendingDelete,
            LocationStatus::PendingDelete
            | LocationStatus::Pending
            | LocationStatus::Uploading
            | LocationStatus::Deleted => LocationStatus::Deleted,
        };
    }
    let names = |name: &str| image.properties.get(name).cloned().flatten();
    let stores = [names(FAILED), names(IMPORTING)].into_iter().flatten();
    let mut failed: Vec<String> = Vec::new();
    for store in stores.flat_map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>()) {
        if !store.is_empty() && !failed.contains(&store) {
            failed.push(store);
        }
    }
    if names(IMPORTING).is_some() {
        queued
            .properties
            .insert(FAILED.to_owned(), Some(failed.join(",")));
        queued
            .properties
            .insert(IMPORTING.to_owned(), Some(String::new()));
    }
    for name in PLACES {
        queued.properties.remove(name);
    }
    queued
}

/// Whether the task that holds the image has moved lately.
async fn moves(control: &Control, lock: Option<&str>, older_than: Duration) -> Result<bool> {
    let Some(task) = lock else {
        return Ok(false);
    };
    let moved_at = control.db.task_moved_at(task).await?;
    let age = moved_at.map(|at| (Utc::now().naive_utc() - at).to_std().unwrap_or_default());
    Ok(age.is_some_and(|age| age < older_than))
}

/// The bytes of an image that there are, and the age of the youngest.
async fn weigh(
    control: &Control,
    entries: &[(StoreId, Entry)],
    staged: &Path,
) -> (Vec<(String, Option<u64>)>, Option<Duration>) {
    let mut bytes = Vec::new();
    let mut youngest: Option<Duration> = None;
    let mut add = |place: String, stat: Option<Stat>| {
        let age = stat.and_then(|stat| age(&stat));
        youngest = [youngest, age].into_iter().flatten().min();
        bytes.push((place, stat.map(|stat| stat.size_bytes)));
    };
    for (store, entry) in entries {
        let store = control.stores.get(store).expect("it was listed");
        let place = match entry {
            Entry::Object(url) => url.clone(),
            Entry::Draft(intent) => intent.object.clone(),
        };
        add(place, store.stat(entry).await.ok());
    }
    if let Ok(metadata) = fs::metadata(staged) {
        let stat = Stat {
            size_bytes: metadata.len(),
            modified: metadata.modified().ok(),
        };
        add(staged.display().to_string(), Some(stat));
    }
    (bytes, youngest)
}

/// Looks through all stores for the names of these images.
async fn remains(control: &Control, images: &[ImageId]) -> Remains {
    let images: HashSet<&ImageId> = images.iter().collect();
    let mut remains = Remains {
        entries: HashMap::new(),
        unlisted: Vec::new(),
    };
    for store in control.stores.iter() {
        let (sender, mut listed) = mpsc::channel(LISTED_MAX);
        let collect = async {
            while let Some(entry) = listed.recv().await {
                let image = match &entry {
                    Entry::Object(url) => {
                        let object = store.object(url).unwrap_or_default();
                        ImageId::new(object.rsplit('/').next().unwrap_or_default())
                    }
                    Entry::Draft(intent) => intent.image.clone(),
                };
                if images.contains(&image) {
                    let found = remains.entries.entry(image).or_default();
                    found.push((store.id().clone(), entry));
                }
            }
        };
        let (listing, ()) = tokio::join!(store.list(sender), collect);
        if listing.is_err() {
            remains.unlisted.push(store.id().clone());
        }
    }
    remains
}
