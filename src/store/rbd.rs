//! Objects as RBD images, as Glance keeps them (reference E.2): an image named by the Glance image's
//! id, of 8 MiB objects, with a protected snapshot `snap` that Nova and Cinder clone.
//!
//! An attempt writes to an image `<id>.<attempt>` that is large enough from the start; when all is
//! written it is trimmed if it must be, gets its snapshot, and last its name, by a rename that
//! refuses to replace. It bears the attempt's mark from its first moment, so that
//! [`Store::discard`] takes back what is its own and nothing else (docs/adr/0012-rbd.md).
//!
//! What is removed goes to RBD's trash first, which is quick; its data goes in the background.

mod address;
mod check;
pub mod config;
mod connection;
mod delete;
mod draft;
mod flow;
mod growth;
mod list;
mod read;
mod trash;
mod volume;
mod write;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use fresnel_ceph::{Cluster, Pool};
use serde_json::{Map, Value};
use tokio::{sync::mpsc, time::timeout};

use super::{Entry, Error, Finding, Intent, Reader, Result, Stat, Store, Writer};
use crate::{
    buf::Claim,
    model::{Attempt, ByteRange, ImageId, StoreId},
};
use address::Address;
use connection::{Failure, Link, Purpose};

pub use config::{Config, Timeouts};
pub use connection::Connections;
pub(super) use delete::CLEAN_UP_PATIENCE;
pub(super) use draft::{Draft, Drafts, Names};
pub(super) use volume::{Volume, VolumeWriter, Volumes};
pub(super) use write::close;

/// The snapshot that clones are made of.
const SNAPSHOT: &str = "snap";
/// Under this key an image bears the mark of the attempt that wrote it.
const MARK_KEY: &str = "fresnel.attempt";
/// Removals that wait for their turn; more are found by the next look into the trash.
const REMOVALS_MAX: usize = 256;
/// What [`Store::details`] waits for an answer.
const DETAILS_PATIENCE: Duration = Duration::from_secs(5);

/// A store of RBD images in one pool.
#[derive(Debug)]
pub struct RbdStore {
    shared: Arc<Shared>,
}

/// What the store's writers, readers and its background work need of it.
struct Shared {
    id: StoreId,
    config: Config,
    connections: Arc<Connections>,
    /// For attempts.
    write: Arc<Link>,
    /// For everything else.
    read: Arc<Link>,
    drafts: Drafts,
    /// Known from the first connection on.
    fsid: OnceLock<String>,
    /// Ids of images in the trash.
    removals: mpsc::Sender<String>,
}

impl RbdStore {
    /// Needs the libraries, but not yet the cluster: that may come later. Begins to look after the
    /// trash, on the runtime that it is called on.
    ///
    /// Fails with [`Error::Backend`] where the libraries are missing.
    pub fn open(id: StoreId, config: Config, connections: Arc<Connections>) -> Result<Self> {
        needs_libraries(&id, "rbd")?;
        let (removals, to_remove) = mpsc::channel(REMOVALS_MAX);
        let shared = Arc::new(Shared {
            write: connections.link(&id, &config, Purpose::Write),
            read: connections.link(&id, &config, Purpose::Read),
            id,
            drafts: Drafts::default(),
            fsid: OnceLock::new(),
            removals,
            config,
            connections,
        });
        tokio::spawn(trash::look_after(Arc::downgrade(&shared), to_remove));
        Ok(Self { shared })
    }
}

#[async_trait]
impl Store for RbdStore {
    fn id(&self) -> &StoreId {
        &self.shared.id
    }

    fn kind(&self) -> &'static str {
        "rbd"
    }

    async fn intend(
        &self,
        image: &ImageId,
        attempt: Attempt,
        _size_bytes: Option<u64>,
    ) -> Result<Intent> {
        let names = Names::new(image, attempt)?;
        Ok(Intent::new(image.clone(), attempt, names.draft))
    }

    async fn writer(&self, intent: &Intent, size_bytes: Option<u64>) -> Result<Box<dyn Writer>> {
        let names = Names::of(intent)?;
        let writer = write::RbdWriter::open(self.shared.clone(), names, size_bytes).await?;
        Ok(Box::new(writer))
    }

    async fn reader(&self, url: &str, range: ByteRange, memory: Claim) -> Result<Box<dyn Reader>> {
        let address = self.shared.address(url).await?;
        let place = (address.image, address.snapshot);
        let (link, object_bytes) = (self.shared.read.clone(), self.shared.config.object_bytes());
        let reader = read::RbdReader::open(link, url, place, object_bytes, range, memory);
        Ok(Box::new(reader.await?))
    }

    async fn size(&self, url: &str) -> Result<u64> {
        let Address {
            image, snapshot, ..
        } = self.shared.address(url).await?;
        let size = move |pool: &Pool| {
            let image = pool.open_read_only(&image, snapshot.as_deref())?;
            image.size_bytes()
        };
        let link = &self.shared.read;
        let size = link.call(link.patience, size).await;
        size.map_err(|failure| self.shared.outcome(url, failure))
    }

    async fn delete(&self, url: &str) -> Result<()> {
        let address = self.shared.address(url).await?;
        delete::delete(&self.shared, url, address).await
    }

    async fn discard(&self, intent: &Intent) -> Result<()> {
        delete::discard(&self.shared, Names::of(intent)?).await
    }

    fn object(&self, url: &str) -> Option<String> {
        let Address { image, .. } = Address::parse(url).filter(|a| self.shared.is_here(a))?;
        Some(format!("rbd://{}/{image}", self.shared.config.pool))
    }

    async fn in_use(&self, url: &str) -> Result<bool> {
        let address = self.shared.address(url).await?;
        delete::in_use(&self.shared, url, address).await
    }

    async fn details(&self) -> Map<String, Value> {
        let fsid = timeout(DETAILS_PATIENCE, self.shared.fsid()).await;
        let fsid = fsid.ok().and_then(Result::ok);
        Map::from_iter([("fsid".to_owned(), fsid.into())])
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
    /// The cluster's id, from the first connection that there is.
    async fn fsid(&self) -> Result<String> {
        if let Some(fsid) = self.fsid.get() {
            return Ok(fsid.clone());
        }
        let fsid = async {
            let pool = self.read.pool().await?;
            pool.cluster().fsid().map_err(Failure::Failed)
        };
        let fsid = fsid.await.map_err(|failure| self.outcome("", failure))?;
        Ok(self.fsid.get_or_init(|| fsid).clone())
    }

    /// What an address names, if that is in this store.
    async fn address(&self, url: &str) -> Result<Address> {
        let bad = || Error::BadAddress(url.to_owned());
        let address = Address::parse(url).ok_or_else(bad)?;
        if address.place.is_some() {
            self.fsid().await?;
        }
        Some(address).filter(|a| self.is_here(a)).ok_or_else(bad)
    }

    /// Before the first connection the cluster's id is not known, and its pool must do.
    fn is_here(&self, address: &Address) -> bool {
        address.place.as_ref().is_none_or(|place| {
            let fsid = self.fsid.get();
            place.pool == self.config.pool && fsid.is_none_or(|fsid| *fsid == place.fsid)
        })
    }

    /// A failure of a kind that the operator has to look into.
    fn backend_error(&self, text: impl Into<String>) -> Error {
        Error::Backend {
            store: self.id.clone(),
            source: std::io::Error::other(text.into()),
        }
    }

    /// What a failure means to the caller; `object` is what was worked on.
    fn outcome(&self, object: &str, failure: Failure) -> Error {
        self.read.outcome(object, failure)
    }
}

/// Fails where librados and librbd are missing, which a store of that kind needs.
fn needs_libraries(store: &StoreId, kind: &str) -> Result<()> {
    Cluster::available().map_err(|error| Error::Backend {
        store: store.clone(),
        source: std::io::Error::other(format!(
            "a store of type {kind} needs librados2 and librbd1 of Ceph 16 or later: {error}"
        )),
    })
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
