//! The image cache (reference A.10, F): what may be read through it, its API, and what goes on behind
//! that: images that wait to be cached, and Glance's records of what this node has.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use super::{
    Caller, Control, Error, Result, Rule,
    db::{self, CachedImage, NodeRow, Viewer},
    policy::Target,
};
use crate::{
    cache::{Cache, Key, Queue, Removed},
    data::{
        Plane, ReadPlan,
        cached::{self, Through},
        from_stores::FromStores,
    },
    model::{ByteRange, Image, ImageId, Status, StoreId},
};

pub use crate::cache::Shown;

/// How often the records are brought up to date.
const RECORD_EVERY: Duration = Duration::from_secs(5);
/// How long a failed prefetch rests, so that a store that is away is not asked all the time. An image is given up after
/// some eight minutes.
const REST: Duration = Duration::from_secs(5);

/// What the operator decides about the cache.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Downloads go through it: the flavor has a cache filter.
    pub serves_downloads: bool,
    /// The API has the paths of before 2.14 too: the flavor has the filter that manages the cache.
    pub has_old_paths: bool,
    /// `image_cache_stall_time`: an image that is only there in part may stand still so long before
    /// `clean` removes it.
    pub stall: Duration,
    /// `worker_self_reference_url`: under which Glance's records know this node; none records nothing.
    pub node_url: Option<String>,
    /// `image_cache_driver` is `centralized_db`: nodes tell each other what they have.
    pub is_central: bool,
}

/// Why the cache does not do what it is asked, in Glance's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy says no.
    #[error("Access was denied to this resource.")]
    Denied,
    /// `image_cache_dir` is not set.
    #[error("Caching via API is not supported at this site.")]
    Unavailable,
    /// Only images that can be downloaded are cached.
    #[error("Only images with status active can be targeted for queueing")]
    Inactive,
    /// More images wait than are remembered.
    #[error("Too many images wait to be cached.")]
    QueueFull,
    /// Nodes do not tell each other what they have.
    #[error("Centralized caching is not enabled")]
    NotCentral,
}

/// The cache of this node.
#[derive(Debug)]
pub struct ImageCache {
    /// The bytes.
    pub cache: Cache,
    settings: Settings,
    queue: Queue,
}

/// What `GET /v2/cache` tells.
#[derive(Clone, Debug)]
pub struct CacheState {
    /// Images that are there as a whole.
    pub cached: Vec<Shown>,
    /// Images that are to be.
    pub queued: Vec<ImageId>,
}

/// What a `DELETE` of everything is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// All that is cached and all that waits.
    Everything,
    /// What is cached.
    Cache,
    /// What waits.
    Queue,
}

impl ImageCache {
    /// The cache in front of the stores.
    pub fn new(cache: Cache, settings: Settings) -> Self {
        Self {
            cache,
            settings,
            queue: Queue::default(),
        }
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(Cache) -> T + Send + 'static,
    ) -> Result<T> {
        let cache = self.cache.clone();
        let done = spawn_blocking(move || work(cache)).await;
        done.map_err(|_| Error::Crashed)
    }
}

impl Control {
    /// Through which cache a download goes, where it goes through one.
    pub(super) fn cache_of_downloads(&self) -> Option<Cache> {
        let images = self.cache.as_ref()?;
        images
            .settings
            .serves_downloads
            .then(|| images.cache.clone())
    }

    /// What is cached here, and what waits.
    ///
    /// # Errors
    /// [`Refusal::Denied`], [`Refusal::Unavailable`].
    pub fn cache_list(&self, caller: &Caller) -> Result<CacheState> {
        let images = self.cache_for(caller, Rule::CacheList, Target::Service)?;
        Ok(images.state())
    }

    /// Has an image cached, soon.
    ///
    /// # Errors
    /// [`Error::ParentNotFound`], [`Refusal::Denied`], [`Refusal::Unavailable`], [`Refusal::Inactive`],
    /// [`Refusal::QueueFull`].
    pub async fn cache_image(&self, caller: &Caller, id: &ImageId) -> Result<()> {
        let image = self.load(caller, id, Error::ParentNotFound).await?;
        let images = self.cache_for(caller, Rule::CacheImage, Target::Image(&image))?;
        if image.status != Status::Active {
            return Err(Refusal::Inactive.into());
        }
        images.queue(id)
    }

    /// Forgets what is cached of an image, and that it should be.
    ///
    /// # Errors
    /// [`Error::ParentNotFound`] when there is neither such an image nor anything of it here,
    /// [`Refusal::Denied`], [`Refusal::Unavailable`].
    pub async fn cache_forget(&self, caller: &Caller, id: &ImageId) -> Result<()> {
        let image = match self.load(caller, id, Error::ParentNotFound).await {
            Ok(image) => Some(image),
            Err(Error::ParentNotFound(_)) if self.is_in_cache(id) => None,
            Err(error) => return Err(error),
        };
        let target = image.as_ref().map_or(Target::Service, Target::Image);
        let images = self.cache_for(caller, Rule::CacheDelete, target)?;
        images.unqueue(id);
        images.forget(id).await
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// [`Refusal::Denied`], [`Refusal::Unavailable`].
    pub fn cache_may_clear(&self, caller: &Caller) -> Result<&ImageCache> {
        self.cache_for(caller, Rule::CacheDelete, Target::Service)
    }

    /// Removes what stands still.
    ///
    /// # Errors
    /// [`Refusal::Denied`], [`Refusal::Unavailable`].
    pub async fn cache_clean(&self, caller: &Caller) -> Result<()> {
        let images = self.cache_for(caller, Rule::CacheClean, Target::Service)?;
        let stall = images.settings.stall;
        images.on_disk(move |cache| cache.clean(stall)).await?;
        Ok(())
    }

    /// Removes what is beyond the limit.
    ///
    /// # Errors
    /// [`Refusal::Denied`], [`Refusal::Unavailable`].
    pub async fn cache_prune(&self, caller: &Caller) -> Result<Removed> {
        let images = self.cache_for(caller, Rule::CachePrune, Target::Service)?;
        images.on_disk(|cache| cache.prune()).await
    }

    /// The cache, for whoever may use the paths of before 2.14; none where there are none.
    ///
    /// # Errors
    /// [`Refusal::Denied`], [`Refusal::Unavailable`].
    pub fn cache_by_old_paths(&self, caller: &Caller) -> Result<Option<&ImageCache>> {
        match &self.cache {
            Some(images) if images.settings.has_old_paths => {
                let rule = Rule::ManageImageCache;
                self.cache_for(caller, rule, Target::Service).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The nodes that have an image: others by their records.
    ///
    /// # Errors
    /// [`Refusal::Denied`], [`Refusal::Unavailable`], [`Refusal::NotCentral`],
    /// [`Error::ParentNotFound`].
    pub async fn cache_nodes(&self, caller: &Caller, id: &ImageId) -> Result<Vec<String>> {
        let images = self.cache_for(caller, Rule::ListCachedNodes, Target::Service)?;
        if !images.settings.is_central {
            return Err(Refusal::NotCentral.into());
        }
        self.load(caller, id, Error::ParentNotFound).await?;
        let mut nodes = self.db.cached_nodes(id).await?;
        // What is here is known here: its record follows in seconds.
        if let Some(here) = &images.settings.node_url {
            nodes.retain(|node| node != here);
            nodes.extend(images.cache.has(id).then(|| here.clone()));
        }
        Ok(nodes)
    }

    /// An image, or a blob, is deleted: nothing of it stays here.
    pub(super) async fn uncache(&self, id: &ImageId) {
        let Some(images) = &self.cache else {
            return;
        };
        images.unqueue(id);
        // What its panic leaves behind, nobody can ask for.
        drop(images.forget(id).await);
    }

    fn cache_for(&self, caller: &Caller, rule: Rule, target: Target<'_>) -> Result<&ImageCache> {
        match self.policy.allow(rule, caller, target) {
            Err(Error::Denied(_)) => return Err(Refusal::Denied.into()),
            answer => answer?,
        }
        Ok(self.cache.as_ref().ok_or(Refusal::Unavailable)?)
    }

    fn is_in_cache(&self, id: &ImageId) -> bool {
        let Some(images) = &self.cache else {
            return false;
        };
        images.queue.has(id) || images.cache.has(id)
    }
}

impl ImageCache {
    /// Forgets everything, for whoever [may](Control::cache_may_clear). Tells how many images that were.
    ///
    /// # Errors
    /// [`Error::Crashed`].
    pub async fn clear(&self, what: Clear) -> Result<u64> {
        let mut cleared = 0;
        if what != Clear::Cache {
            cleared += self.queue.clear() as u64;
        }
        if what != Clear::Queue {
            cleared += self.on_disk(|cache| cache.clear()).await?.entries;
        }
        Ok(cleared)
    }

    /// What is cached and what waits, for whoever [may](Control::cache_by_old_paths).
    pub fn state(&self) -> CacheState {
        let entries = self.cache.images().into_iter();
        CacheState {
            cached: entries.filter(Shown::is_whole).collect(),
            queued: self.queue.images(),
        }
    }

    /// Has an image cached, if there is one.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`].
    pub fn queue(&self, id: &ImageId) -> Result<()> {
        match self.cache.has(id) || self.queue.add(id) {
            true => Ok(()),
            false => Err(Refusal::QueueFull.into()),
        }
    }

    /// An image waits no more.
    pub fn unqueue(&self, id: &ImageId) {
        self.queue.remove(id);
    }

    /// What is cached of an image goes.
    ///
    /// # Errors
    /// [`Error::Crashed`].
    pub async fn forget(&self, id: &ImageId) -> Result<()> {
        let id = id.clone();
        self.on_disk(move |cache| cache.remove(&id)).await?;
        Ok(())
    }
}

/// What an image is in a cache. A deactivated one is in none, nor is one without a digest.
pub(super) fn key(image: &Image) -> Option<Key> {
    if image.status != Status::Active {
        return None;
    }
    let own = || {
        let algorithm = image.os_hash_algo.as_deref()?.parse().ok()?;
        Some((algorithm, image.os_hash_value.as_deref()?))
    };
    let old = || Some((crate::model::HashAlgorithm::Md5, image.checksum.as_deref()?));
    let (algorithm, digest) = own().or_else(old)?;
    Key::new(image.id.clone(), algorithm, digest)
}

/// Caches what waits, one image after the other, for ever.
pub async fn prefetch(control: Arc<Control>, plane: Arc<Plane>) {
    let Some(images) = &control.cache else {
        return;
    };
    loop {
        let id = images.queue.first().await;
        match fetch(&control, images, &plane, &id).await {
            Ok(true) => info!(image.id = %id, "Cached an image that was asked for"),
            Ok(false) => warn!(image.id = %id, "An image that was asked for finds no room"),
            Err(error) => {
                // Other errors may pass.
                let is_final = matches!(error, Error::ImageNotFound(_) | Error::Cache(_));
                let is_tried_again = !is_final && images.queue.postpone(&id);
                warn!(image.id = %id, %error, is_tried_again, "Could not cache an image");
                sleep(REST).await;
                if is_tried_again {
                    continue;
                }
            }
        }
        images.unqueue(&id);
    }
}

/// Has a whole image in the cache; false where it finds no room.
async fn fetch(
    control: &Control,
    images: &ImageCache,
    plane: &Arc<Plane>,
    id: &ImageId,
) -> Result<bool> {
    let image = match control.db.image(id, &Viewer::everything()).await {
        Ok(found) => found.image,
        Err(db::Error::NotFound) => return Err(Error::ImageNotFound(id.clone())),
        Err(error) => return Err(error.into()),
    };
    let locations = control.sources(&image);
    // What rests encrypted has no other rest.
    let is_kept = |(store, _): &(StoreId, String)| !control.settings.encrypts(store);
    let is_kept = locations.first().is_some_and(is_kept);
    let (Some(key), Some(size_bytes), true) = (key(&image), image.size_bytes, is_kept) else {
        return Err(Refusal::Inactive.into());
    };
    let plan = ReadPlan {
        image: id.clone(),
        locations,
        range: ByteRange::whole(size_bytes),
    };
    let through = Through {
        cache: images.cache.clone(),
        engine: plane.engine.clone(),
        origin: Arc::new(FromStores::new(plane.clone(), plan)),
        key,
        size_bytes,
    };
    Ok(cached::prefetch(&through).await?)
}

/// Keeps Glance's records of this node, for ever.
pub async fn record(control: Arc<Control>) {
    let Some(images) = &control.cache else {
        return;
    };
    let Some(url) = &images.settings.node_url else {
        return;
    };
    let mut records = None;
    loop {
        match update(&control, images, url, records.take()).await {
            Ok(updated) => records = Some(updated),
            Err(error) => warn!(%error, "Could not record what is cached"),
        }
        sleep(RECORD_EVERY).await;
    }
}

/// What the database knows.
struct Records {
    node: NodeRow,
    /// With the hits that it has been told of.
    images: HashMap<ImageId, u64>,
}

async fn update(
    control: &Control,
    images: &ImageCache,
    url: &str,
    known: Option<Records>,
) -> db::Result<Records> {
    let mut records = match known {
        Some(records) => records,
        None => {
            let node = control.db.cache_node(url).await?;
            let cached = control.db.cached_images(node).await?;
            Records {
                node,
                images: cached.into_iter().map(|image| (image, 0)).collect(),
            }
        }
    };
    let mut proven = images.cache.images();
    proven.retain(|shown| shown.is_proven);
    for shown in &proven {
        tell(control, &mut records, shown).await?;
    }
    let is_gone = |image: &&ImageId| proven.iter().all(|shown| shown.key.image() != *image);
    let gone: Vec<ImageId> = records.images.keys().filter(is_gone).cloned().collect();
    for image in gone {
        control.db.cached_image_remove(records.node, &image).await?;
        records.images.remove(&image);
    }
    Ok(records)
}

async fn tell(control: &Control, records: &mut Records, shown: &Shown) -> db::Result<()> {
    let image = shown.key.image();
    match records.images.get(image) {
        Some(hits) if *hits == shown.hits => return Ok(()),
        Some(hits) => {
            let more = shown.hits.saturating_sub(*hits);
            let (node, accessed) = (records.node, shown.accessed);
            control
                .db
                .cached_image_hit(node, image, more, accessed)
                .await?;
        }
        None => {
            let cached = CachedImage {
                image: image.clone(),
                size_bytes: shown.size_bytes,
                hits: shown.hits,
                accessed: shown.accessed,
                modified: shown.modified,
            };
            control.db.cached_image_add(records.node, &cached).await?;
        }
    }
    records.images.insert(image.clone(), shown.hits);
    Ok(())
}
