//! Objects in a bucket of an S3 server, as Glance keeps them (reference E.4): the key is the image's
//! id.
//!
//! Every object is an upload in parts, however small: nothing bears the image's name before all of it
//! is there. It bears the attempt's mark from its first moment, so that [`Store::discard`] takes back
//! what is its own and nothing else (docs/adr/0017-s3.md).

mod address;
mod check;
pub mod config;
mod delete;
mod draft;
mod list;
mod parts;
mod read;
mod write;

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tracing::{debug, warn};

use super::{Entry, Error, Finding, Intent, Reader, Result, Stat, Store, Writer, window::Window};
use crate::{
    buf::Claim,
    client::s3::{self, Bucket, Head},
    model::{Attempt, ByteRange, ImageId, StoreId},
};
use address::Address;
use draft::{Drafts, Trace};
use parts::PartSizes;

pub use address::without_credentials;
pub use config::{Addressing, Config};

/// Objects that are published at the same time: two of one name never are.
const TURNS: usize = 64;

/// A store of objects in one bucket.
#[derive(Debug)]
pub struct S3Store {
    shared: Arc<Shared>,
}

/// What the store's writers and readers need of it.
struct Shared {
    id: StoreId,
    config: Config,
    bucket: Bucket,
    sizes: PartSizes,
    window: Window,
    drafts: Drafts,
    turns: [Mutex<()>; TURNS],
    /// Milliseconds that the server's clock is ahead of ours.
    clock_ahead_ms: AtomicI64,
}

impl S3Store {
    /// Asks nothing yet: the server may come later than we do. `share_bytes` is the store's share of
    /// the pool.
    ///
    /// Fails with [`Error::Backend`] when the host makes no sense, or certificates cannot be read.
    pub fn open(id: StoreId, config: Config, share_bytes: usize) -> Result<Self> {
        let failed = |text: String| Error::Backend {
            store: id.clone(),
            source: std::io::Error::other(text),
        };
        let reach = config.reach().map_err(|error| failed(error.to_string()))?;
        let bucket = Bucket::new(reach).map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            shared: Arc::new(Shared {
                // What is not on its way is being gathered.
                window: Window::new(share_bytes / 4 * 3, "fresnel_s3_in_flight_bytes"),
                sizes: PartSizes::of_share(share_bytes),
                drafts: Drafts::default(),
                turns: [const { Mutex::const_new(()) }; TURNS],
                clock_ahead_ms: AtomicI64::new(0),
                id,
                config,
                bucket,
            }),
        })
    }
}

#[async_trait]
impl Store for S3Store {
    fn id(&self) -> &StoreId {
        &self.shared.id
    }

    fn kind(&self) -> &'static str {
        "s3"
    }

    /// Fails with [`Error::TooLarge`] where the size could not be held by the parts that there may be.
    async fn intend(
        &self,
        image: &ImageId,
        attempt: Attempt,
        size_bytes: Option<u64>,
    ) -> Result<Intent> {
        let shared = &self.shared;
        let key = draft::key(image)?;
        if size_bytes.is_some_and(|size| size > shared.sizes.capacity_bytes()) {
            return Err(shared.too_large());
        }
        let now = shared.look().await?;
        Ok(Intent::new(
            image.clone(),
            attempt,
            Trace::Since(now, None).object(&shared.config.bucket, &key),
        ))
    }

    async fn writer(&self, intent: &Intent, size_bytes: Option<u64>) -> Result<Box<dyn Writer>> {
        let key = draft::key(&intent.image)?;
        let trace = Trace::parse(&intent.object, &self.shared.config.bucket, &key);
        let trace = trace.ok_or_else(|| Error::BadAddress(intent.object.clone()))?;
        let draft = self.shared.drafts.enter(intent.attempt, key, trace)?;
        let writer = write::S3Writer::open(self.shared.clone(), draft, size_bytes).await?;
        Ok(Box::new(writer))
    }

    fn gathers_bytes(&self, size_bytes: Option<u64>) -> usize {
        let needed = self.shared.sizes.needed_bytes(0, 0, size_bytes);
        usize::try_from(needed).unwrap_or(usize::MAX)
    }

    async fn reader(&self, url: &str, range: ByteRange, memory: Claim) -> Result<Box<dyn Reader>> {
        let key = self.shared.key(url)?.to_owned();
        let reader = read::S3Reader::open(self.shared.clone(), url, key, range, memory);
        Ok(Box::new(reader.await?))
    }

    async fn size(&self, url: &str) -> Result<u64> {
        let head = self.shared.head(self.shared.key(url)?).await?;
        let head = head.ok_or_else(|| Error::NotFound(without_credentials(url.to_owned())))?;
        Ok(head.size_bytes)
    }

    async fn delete(&self, url: &str) -> Result<()> {
        let key = self.shared.key(url)?;
        let head = self.shared.head(key).await?;
        head.ok_or_else(|| Error::NotFound(without_credentials(url.to_owned())))?;
        let deleted = self.shared.bucket.delete(key).await;
        deleted.map_err(|error| self.shared.outcome(key, error))
    }

    async fn discard(&self, intent: &Intent) -> Result<()> {
        delete::discard(&self.shared, intent).await
    }

    fn object(&self, url: &str) -> Option<String> {
        self.shared.key(url).ok().map(|key| self.shared.url(key))
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
    /// The key that an address names, if that is in this store.
    fn key<'a>(&self, url: &'a str) -> Result<&'a str> {
        let (_, host) = self.config.place();
        Address::parse(url)
            .filter(|address| address.host == host && address.bucket == self.config.bucket)
            .map(|address| address.key)
            .ok_or_else(|| Error::BadAddress(without_credentials(url.to_owned())))
    }

    /// The address of an object, as Glance writes it.
    fn url(&self, key: &str) -> String {
        let (scheme, host) = self.config.place();
        format!("{scheme}://{host}/{}/{key}", self.config.bucket)
    }

    async fn head(&self, key: &str) -> Result<Option<Head>> {
        let head = self.bucket.head(key).await;
        head.map_err(|error| self.outcome(key, error))
    }

    /// Whether the bucket is there, or may be made; the time by the server's clock.
    async fn look(&self) -> Result<DateTime<Utc>> {
        let looked = match self.bucket.look().await {
            Err(s3::Error::NoBucket) if self.config.create_bucket => {
                let made = self.bucket.make().await;
                made.map_err(|error| self.outcome("", error))?;
                self.bucket.look().await
            }
            looked => looked,
        };
        let time = looked.map_err(|error| self.outcome("", error))?;
        let ahead = time - Utc::now();
        self.clock_ahead_ms
            .store(ahead.num_milliseconds(), Ordering::Relaxed);
        Ok(time)
    }

    /// A time of ours by the server's clock.
    fn server_time(&self, ours: DateTime<Utc>) -> DateTime<Utc> {
        ours + TimeDelta::milliseconds(self.clock_ahead_ms.load(Ordering::Relaxed))
    }

    /// The right to publish an object of that name. Where the server itself refuses to replace, it
    /// is not needed.
    async fn turn(&self, key: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.turns[hasher.finish() as usize % TURNS].lock().await
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            store: self.id.clone(),
            limit_bytes: self.sizes.capacity_bytes(),
        }
    }

    /// A failure of a kind that the operator has to look into.
    fn backend_error(&self, text: impl Into<String>) -> Error {
        Error::Backend {
            store: self.id.clone(),
            source: std::io::Error::other(text.into()),
        }
    }

    /// What a failure means to the caller; `object` is what was worked on.
    fn outcome(&self, object: &str, error: s3::Error) -> Error {
        debug!(store.id = %self.id, object, %error, "The S3 server fails an operation");
        match error {
            s3::Error::Denied(text) => {
                warn!(store.id = %self.id, object, text, "The S3 server denies an operation");
                Error::Denied(self.id.clone())
            }
            s3::Error::Exists => Error::AlreadyExists(self.url(object)),
            s3::Error::Full(_) => Error::Full(self.id.clone()),
            s3::Error::NoBucket => self.backend_error(format!(
                "there is no bucket {}: make it, or set s3_store_create_bucket_on_put",
                self.config.bucket
            )),
            s3::Error::NoObject | s3::Error::NoUpload => Error::NotFound(object.to_owned()),
            s3::Error::Refused(text) => self.backend_error(text),
            s3::Error::Unavailable(_) => Error::Unavailable(self.id.clone()),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
