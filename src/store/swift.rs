//! Objects in Swift, as Glance keeps large ones (reference E.5): a manifest named by the image's id,
//! and segments.
//!
//! Every image is written so, small ones too: segments bear the attempt in their names, and only the
//! manifest, which is refused where there is one, gives the image its name. So an attempt can be
//! taken back at any time, by anybody (docs/adr/0016-swift.md).

mod address;
mod check;
pub mod config;
mod delete;
mod draft;
mod list;
mod read;
mod write;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tracing::debug;

use super::{Entry, Error, Finding, Intent, Reader, Result, Stat, Store, Writer};
use crate::{
    buf::Claim,
    client::{
        swift::{self, Account},
        transport,
    },
    model::{Attempt, ByteRange, ImageId, StoreId, location},
};
use address::Address;
use draft::{Drafts, Names};

pub use config::{Config, Reference};

/// A store of objects in one account, which reads those of others that are configured.
#[derive(Debug)]
pub struct SwiftStore {
    shared: Arc<Shared>,
}

/// What the store's writers and readers need of it.
struct Shared {
    id: StoreId,
    config: Config,
    /// One for each of the references, in their order.
    accounts: Vec<Account>,
    default: usize,
    drafts: Drafts,
}

impl SwiftStore {
    /// Asks nothing yet: Swift may come later than we do.
    ///
    /// # Errors
    /// [`Error::Backend`] when certificates cannot be read, or the default account is not among
    /// the references.
    pub fn open(id: StoreId, config: Config) -> Result<Self> {
        let backend = |source: std::io::Error| Error::Backend {
            store: id.clone(),
            source,
        };
        let accounts = config.references.iter();
        let accounts: Result<Vec<_>, transport::Error> = accounts
            .map(|reference| Account::new(reference.account.clone()))
            .collect();
        let accounts = accounts.map_err(|error| backend(std::io::Error::other(error)))?;
        let named = |reference: &Reference| reference.name == config.default.name;
        let default = config.references.iter().position(named);
        let default = default.ok_or_else(|| {
            backend(std::io::Error::other(
                "default_swift_reference names no account",
            ))
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                id,
                config,
                accounts,
                default,
                drafts: Drafts::default(),
            }),
        })
    }
}

#[async_trait]
impl Store for SwiftStore {
    fn id(&self) -> &StoreId {
        &self.shared.id
    }

    fn kind(&self) -> &'static str {
        "swift"
    }

    async fn intend(
        &self,
        image: &ImageId,
        attempt: Attempt,
        _size_bytes: Option<u64>,
    ) -> Result<Intent> {
        let container = self.shared.config.container_of(image);
        let names = Names::new(container, image, attempt)?;
        Ok(Intent::new(image.clone(), attempt, names.segments()))
    }

    async fn writer(&self, intent: &Intent, size_bytes: Option<u64>) -> Result<Box<dyn Writer>> {
        let names = Names::of(intent)?;
        let least_bytes = self.gathers_bytes(size_bytes);
        let writer = write::SwiftWriter::open(self.shared.clone(), names, least_bytes).await?;
        Ok(Box::new(writer))
    }

    /// Only as much as makes a large object few enough segments.
    fn gathers_bytes(&self, size_bytes: Option<u64>) -> usize {
        write::least_bytes(size_bytes.unwrap_or(0), self.shared.config.segment_bytes)
    }

    async fn reader(&self, url: &str, range: ByteRange, memory: Claim) -> Result<Box<dyn Reader>> {
        let address = self.shared.address(url)?;
        let reader = read::SwiftReader::open(self.shared.clone(), address, range, memory);
        Ok(Box::new(reader.await?))
    }

    async fn size(&self, url: &str) -> Result<u64> {
        self.shared.size(&self.shared.address(url)?).await
    }

    async fn delete(&self, url: &str) -> Result<()> {
        delete::delete(&self.shared, &self.shared.address(url)?).await
    }

    async fn discard(&self, intent: &Intent) -> Result<()> {
        delete::discard(&self.shared, &Names::of(intent)?).await
    }

    fn object(&self, url: &str) -> Option<String> {
        let address = self.shared.address(url).ok()?;
        let reference = &self.shared.config.references[address.reference];
        // Two references may be of one account.
        let account = reference.user.as_ref().unwrap_or(&reference.name);
        let place = format!("{account}@{}", reference.auth_address);
        Some(format!(
            "swift://{place}/{}/{}",
            address.container, address.object
        ))
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
    /// The account that uploads go to.
    fn account(&self) -> &Account {
        &self.accounts[self.default]
    }

    fn account_of(&self, address: &Address) -> &Account {
        &self.accounts[address.reference]
    }

    fn address(&self, url: &str) -> Result<Address> {
        let address = Address::parse(url, &self.config.references);
        address.ok_or_else(|| Error::BadAddress(location::shown(url)))
    }

    async fn size(&self, address: &Address) -> Result<u64> {
        let head = self
            .account_of(address)
            .head(&address.container, &address.object);
        let head = head
            .await
            .map_err(|error| self.outcome(&address.object, error))?;
        head.size_bytes
            .ok_or_else(|| self.backend_error("an object has no length"))
    }

    fn backend_error(&self, text: impl Into<String>) -> Error {
        Error::Backend {
            store: self.id.clone(),
            source: std::io::Error::other(text.into()),
        }
    }

    /// What a failure means to the caller; `object` is what was worked on.
    fn outcome(&self, object: &str, error: swift::Error) -> Error {
        debug!(store.id = %self.id, object, %error, "Swift failed an operation");
        match error {
            swift::Error::NotFound => Error::NotFound(object.to_owned()),
            swift::Error::Exists => Error::AlreadyExists(object.to_owned()),
            swift::Error::Denied(_) => Error::Denied(self.id.clone()),
            swift::Error::Full(_) => Error::Full(self.id.clone()),
            swift::Error::Range => Error::Corrupt(object.to_owned()),
            swift::Error::Unavailable(_) => Error::Unavailable(self.id.clone()),
            swift::Error::Unexpected(text) => self.backend_error(text),
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
