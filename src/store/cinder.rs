//! Images as volumes of Cinder, as Glance keeps them (reference E.6): a volume `image-<id>`, as many GiB as it takes,
//! with the image's real size noted on it. Only volumes on RBD are served: they are read and written by librbd,
//! without a kernel device, as os-brick does it (docs/adr/0024-cinder.md).
//!
//! An attempt writes to a volume `image-<id>.<attempt>`, which last gets its name. Many volumes may have one name and
//! an address names a volume by its id, so nothing is ever replaced; the attempt is noted on the volume, so that
//! [`Store::discard`] takes back what is its own and nothing else.

mod address;
mod attach;
mod check;
pub mod config;
mod delete;
mod hold;
mod list;
mod process;
mod read;
mod write;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, mpsc},
    time::sleep,
};
use tracing::debug;

use super::{
    Entry, Error, Finding, Intent, Reader, Result, Stat, Store, Writer,
    rbd::{Connections, Drafts, Names, Volumes},
};
use crate::{
    buf::Claim,
    client::cinder::{self, Cinder, Volume},
    model::{Attempt, ByteRange, ImageId, StoreId},
};
use hold::Holds;
use process::Process;

pub use config::Config;

const GIB: u64 = 1 << 30;
/// What the names of images' volumes begin with.
const NAME_PREFIX: &str = "image-";
/// Under this key a volume bears the attempt that wrote it.
const ATTEMPT_KEY: &str = "fresnel_attempt";
/// Under this key a volume has the bytes of its image.
const SIZE_KEY: &str = "image_size";
/// Between two looks at a volume, at first; doubled up to the second.
const LOOK_AFTER: Duration = Duration::from_millis(100);
const LOOK_AFTER_MAX: Duration = Duration::from_secs(2);

/// A store of volumes in one project.
#[derive(Debug)]
pub struct CinderStore {
    shared: Arc<Shared>,
}

/// What the store's writers and readers need of it.
struct Shared {
    id: StoreId,
    config: Config,
    cinder: Cinder,
    volumes: Volumes,
    process: Process,
    drafts: Drafts,
    holds: Holds,
    /// Held by whoever looks whether an image is published, and publishes it.
    publishing: Mutex<()>,
}

/// Ever longer waits between looks, up to a limit.
struct Patience {
    began: Instant,
    limit: Duration,
    pause: Duration,
}

impl CinderStore {
    /// Needs Ceph's libraries, but neither Cinder nor the cluster yet: those may come later.
    ///
    /// # Errors
    /// [`Error::Backend`] where the libraries are missing, or certificates cannot be read.
    pub fn open(id: StoreId, config: Config, connections: Arc<Connections>) -> Result<Self> {
        let backend = |source| Error::Backend {
            store: id.clone(),
            source,
        };
        let cinder = Cinder::new(config.cinder.clone());
        Ok(Self {
            shared: Arc::new(Shared {
                volumes: Volumes::new(id.clone(), connections)?,
                cinder: cinder.map_err(|error| backend(std::io::Error::other(error)))?,
                process: Process::own().map_err(backend)?,
                id,
                config,
                drafts: Drafts::default(),
                holds: Holds::default(),
                publishing: Mutex::default(),
            }),
        })
    }
}

#[async_trait]
impl Store for CinderStore {
    fn id(&self) -> &StoreId {
        &self.shared.id
    }

    fn kind(&self) -> &'static str {
        "cinder"
    }

    async fn intend(
        &self,
        image: &ImageId,
        attempt: Attempt,
        _size_bytes: Option<u64>,
    ) -> Result<Intent> {
        let names = names(image, attempt)?;
        Ok(Intent::new(image.clone(), attempt, names.draft))
    }

    async fn writer(&self, intent: &Intent, size_bytes: Option<u64>) -> Result<Box<dyn Writer>> {
        let names = names_of(intent)?;
        let writer = write::CinderWriter::open(self.shared.clone(), intent, names, size_bytes);
        Ok(Box::new(writer.await?))
    }

    async fn reader(&self, url: &str, range: ByteRange, memory: Claim) -> Result<Box<dyn Reader>> {
        let reader = read::CinderReader::open(&self.shared, url, range, memory);
        Ok(Box::new(reader.await?))
    }

    async fn size(&self, url: &str) -> Result<u64> {
        Ok(size_bytes(&self.shared.published(url).await?))
    }

    async fn delete(&self, url: &str) -> Result<()> {
        delete::delete(&self.shared, url).await
    }

    async fn discard(&self, intent: &Intent) -> Result<()> {
        delete::discard(&self.shared, names_of(intent)?).await
    }

    fn object(&self, url: &str) -> Option<String> {
        let volume = self.shared.volume_id(url).ok()?;
        Some(format!("cinder://{volume}"))
    }

    async fn in_use(&self, url: &str) -> Result<bool> {
        delete::in_use(&self.shared, url).await
    }

    async fn list(&self, found: mpsc::Sender<Entry>) -> Result<()> {
        list::list(&self.shared, &found).await
    }

    async fn stat(&self, entry: &Entry) -> Result<Stat> {
        list::stat(&self.shared, entry).await
    }

    async fn check(&self) -> Vec<Finding> {
        check::check(&self.shared).await
    }
}

impl Shared {
    /// The id of the volume that an address names, if that is this store's.
    fn volume_id(&self, url: &str) -> Result<String> {
        let id = address::parse(url, self.id.as_str());
        id.ok_or_else(|| Error::BadAddress(url.to_owned()))
    }

    /// The volume that an address names; what an attempt still writes to is none.
    async fn published(&self, url: &str) -> Result<Volume> {
        let volume = self.cinder.volume(&self.volume_id(url)?).await;
        let volume = volume.map_err(|error| self.outcome(url, error))?;
        match draft_of(&volume.name) {
            None => Ok(volume),
            Some(_) => Err(Error::NotFound(url.to_owned())),
        }
    }

    /// A volume, once it is not in a `passing` state any more.
    async fn settled(&self, id: &str, passing: &str) -> Result<Volume> {
        let mut patience = Patience::new(self.config.patience);
        loop {
            let volume = self.cinder.volume(id).await;
            let volume = volume.map_err(|error| self.outcome(id, error))?;
            if volume.status != passing {
                return Ok(volume);
            }
            if !patience.wait().await {
                let seconds = self.config.patience.as_secs();
                return Err(self.backend_error(format!(
                    "volume {id} is still {passing} after {seconds} s (cinder_state_transition_timeout)"
                )));
            }
        }
    }

    fn backend_error(&self, text: impl Into<String>) -> Error {
        Error::Backend {
            store: self.id.clone(),
            source: std::io::Error::other(text.into()),
        }
    }

    /// What a failure means to the caller; `object` is what was worked on.
    fn outcome(&self, object: &str, error: cinder::Error) -> Error {
        debug!(store.id = %self.id, object, %error, "Cinder failed an operation");
        match error {
            cinder::Error::NotFound => Error::NotFound(object.to_owned()),
            cinder::Error::Denied(_) => Error::Denied(self.id.clone()),
            cinder::Error::Full(_) => Error::Full(self.id.clone()),
            cinder::Error::Unavailable(_) => Error::Unavailable(self.id.clone()),
            cinder::Error::Refused(_) | cinder::Error::Unexpected(_) => {
                self.backend_error(error.to_string())
            }
        }
    }
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self {
            began: Instant::now(),
            limit,
            pause: LOOK_AFTER,
        }
    }

    /// Waits a little; false when there is no more patience.
    async fn wait(&mut self) -> bool {
        if self.began.elapsed() > self.limit {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LOOK_AFTER_MAX);
        true
    }
}

fn names(image: &ImageId, attempt: Attempt) -> Result<Names> {
    match image.as_str() {
        "" => Err(Error::BadAddress(String::new())),
        id => Ok(Names::called(&format!("{NAME_PREFIX}{id}"), attempt)),
    }
}

/// The names of an intent, if it is one that this store could have made.
fn names_of(intent: &Intent) -> Result<Names> {
    let names = names(&intent.image, intent.attempt)?;
    match names.draft == intent.object {
        true => Ok(names),
        false => Err(Error::BadAddress(intent.object.clone())),
    }
}

/// The attempt whose volume is called so.
fn draft_of(name: &str) -> Option<Intent> {
    Intent::of_draft(name.strip_prefix(NAME_PREFIX)?, name)
}

/// Bytes of the image in a volume: as it is noted, or else all.
fn size_bytes(volume: &Volume) -> u64 {
    let noted = volume.metadata.get(SIZE_KEY);
    let noted = noted.and_then(|text| text.parse().ok());
    noted.unwrap_or(volume.size_gib.saturating_mul(GIB))
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_told_from_an_image() {
        let (image, attempt) = (ImageId::random(), Attempt::random());
        let names = names(&image, attempt).unwrap();
        assert_eq!(names.published, format!("image-{image}"));
        let draft = draft_of(&names.draft).unwrap();
        assert_eq!((&draft.image, draft.attempt), (&image, attempt));
        assert_eq!(names_of(&draft).unwrap(), names);
        for name in [names.published.as_str(), "", "image-", "volume.1"] {
            assert_eq!(draft_of(name), None, "{name}");
        }
    }

    #[test]
    fn an_intent_of_another_store_is_refused() {
        let intent = Intent::new(
            ImageId::new("i"),
            Attempt::random(),
            "/images/.fresnel/i".to_owned(),
        );
        assert!(names_of(&intent).is_err());
    }
}
