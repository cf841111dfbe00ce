//! Where image bytes rest. The contract is `store::conformance`: one suite that every store passes.
//!
//! A store knows objects, not images: no status, no encryption, no cache.

pub mod check;
pub mod cinder;
pub mod conformance;
pub mod error;
pub mod file;
pub mod flaky;
pub mod http;
pub mod memory;
pub mod rbd;
pub mod registry;
pub mod s3;
pub mod swift;
mod window;

use std::{fmt, fs::File, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::{
    buf::{AtRest, Chunk, Claim},
    model::{Attempt, ByteRange, ImageId, ProjectId, StoreId},
};

pub use check::{Finding, Verdict};
pub use error::{Error, Result};
pub use registry::Registry;

/// What a writer is about to make, known before the first byte and recorded in the journal, so
/// that whoever finds the row can remove what the attempt left ([`Store::discard`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The image.
    pub image: ImageId,
    /// The try.
    pub attempt: Attempt,
    /// The store's own name for where the bytes go until they are published, e.g. the path
    /// `<datadir>/.fresnel/<id>.<attempt>`. It holds the attempt where the store allows it. Where the
    /// backend gives that name, it is known once a writer is open: see [`Writer::object`].
    pub object: String,
    /// The project that the image is of, for a store that notes it beside the bytes; no part of the journal.
    pub owner: Option<ProjectId>,
}

impl Intent {
    /// Of an image whose project does not matter.
    pub fn new(image: ImageId, attempt: Attempt, object: String) -> Self {
        Self {
            image,
            attempt,
            object,
            owner: None,
        }
    }

    /// Reads `<image>.<attempt>`, the name of a draft; `object` is what [`Store::intend`] called it.
    fn of_draft(name: &str, object: &str) -> Option<Self> {
        let (image, attempt) = name.rsplit_once('.')?;
        Some(Self::new(
            ImageId::new(image),
            attempt.parse().ok()?,
            object.to_owned(),
        ))
    }
}

/// What [`Writer::commit`] published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The address, as Glance's driver for this store writes it.
    pub url: String,
    /// Bytes that were written.
    pub size_bytes: u64,
}

/// Something that lies in a store's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Under a name that a location can have: its address.
    Object(String),
    /// Of an attempt that has not published it: [`Attempt::UNKNOWN`] where the backend does not say which.
    Draft(Intent),
}

/// What a store says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes, of a sparse or thin one with its holes.
    pub size_bytes: u64,
    /// When it was last written, by the store's clock; none where the store does not know.
    pub modified: Option<SystemTime>,
}

/// A place for objects.
///
/// Every method may be called at any time from any task. Methods that change something are
/// idempotent where their documentation says so.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The operator's name for it.
    fn id(&self) -> &StoreId;

    /// The kind of store: `file`, `rbd`, `s3`, ...
    fn kind(&self) -> &'static str;

    /// Decides where an attempt will write. Touches nothing that would have to be undone.
    async fn intend(
        &self,
        image: &ImageId,
        attempt: Attempt,
        size_bytes: Option<u64>,
    ) -> Result<Intent>;

    /// Opens a writer. `size_bytes` presizes and reserves where the store can: it is a hint, the
    /// caller checks the real size. Nothing is visible under the image's name before
    /// [`Writer::commit`].
    async fn writer(&self, intent: &Intent, size_bytes: Option<u64>) -> Result<Box<dyn Writer>>;

    /// Bytes that a writer of an object of that size must have gathered before it can hand any of them on;
    /// of the last it may be fewer. An upload is admitted to the memory for them and a buffer more.
    fn gathers_bytes(&self, _size_bytes: Option<u64>) -> usize {
        0
    }

    /// Opens a reader for `range` of the object at `url`. Fails with [`Error::NotFound`] when the
    /// object is gone and with [`Error::Corrupt`] when it is shorter than the range's end. Bytes
    /// that must pass through memory are read into buffers that `memory` admits to, and
    /// [`Error::NoBuffers`] is when it does not; a reader that gives files asks for none.
    async fn reader(&self, url: &str, range: ByteRange, memory: Claim) -> Result<Box<dyn Reader>>;

    /// Bytes of the object at `url`.
    async fn size(&self, url: &str) -> Result<u64>;

    /// Removes the object at `url`. [`Error::NotFound`] when there is none.
    async fn delete(&self, url: &str) -> Result<()>;

    /// Fences an attempt: when this returns, nothing of it is left, published or not, and a writer
    /// of it that still lives can publish nothing. Idempotent; finding nothing is success.
    async fn discard(&self, intent: &Intent) -> Result<()>;

    /// The object that an address names, in one spelling: equal for any two addresses of it. It
    /// ends in `/` and the object's own name. `None` where the address is not this store's.
    fn object(&self, url: &str) -> Option<String>;

    /// Whether the address is one that this store could have written.
    fn owns(&self, url: &str) -> bool {
        self.object(url).is_some()
    }

    /// Whether something depends on the object at `url` now, so that [`Store::delete`] would be
    /// [`Error::Busy`]. What does not exist is not in use.
    async fn in_use(&self, _url: &str) -> Result<bool> {
        Ok(false)
    }

    /// What only the store itself knows of what `GET /v2/info/stores/detail` tells, e.g. the id of
    /// its cluster; values that are not known now are null.
    async fn details(&self) -> Map<String, Value> {
        Map::new()
    }

    /// Tries everything that the service will need of the backend, and says in plain words what
    /// works and what does not. Leaves nothing behind.
    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// Tells everything that lies in the store's place, whoever put it there, in no order. What comes
    /// or goes meanwhile may be told or not. The channel bounds what is held in memory; when nobody
    /// listens any more the listing ends.
    ///
    /// A store that cannot list says [`Error::Unlistable`], as one without this method does.
    async fn list(&self, _found: mpsc::Sender<Entry>) -> Result<()> {
        Err(Error::Unlistable(self.id().clone()))
    }

    /// Size and age of an entry. [`Error::NotFound`] when it is gone.
    async fn stat(&self, _entry: &Entry) -> Result<Stat> {
        Err(Error::Unlistable(self.id().clone()))
    }
}

/// Writes one object, in order. Dropping it without `commit` leaves nothing but what
/// [`Store::discard`] finds.
#[async_trait]
pub trait Writer: Send {
    /// Appends. Returns when the chunk is accepted, which may be before it is on disk; an error of
    /// an earlier chunk may be reported by a later call.
    async fn write(&mut self, chunk: Chunk<AtRest>) -> Result<()>;

    /// Hands on what it holds back to write it together with what follows: memory is short, or the
    /// sender pauses. A writer that holds nothing back has nothing to do.
    async fn spill(&mut self) -> Result<()> {
        Ok(())
    }

    /// What takes the place of [`Intent::object`] in the journal, where that could not be known before
    /// the writer was open. The caller journals it before the first byte, so that whoever finds the row
    /// knows the name of all that there may be.
    fn object(&self) -> Option<&str> {
        None
    }

    /// Makes everything durable and publishes it under the image's name, which must not exist:
    /// [`Error::AlreadyExists`] otherwise, and nothing is published.
    async fn commit(self: Box<Self>) -> Result<Published>;

    /// Removes what was written.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// Reads a range of one object, in order.
#[async_trait]
pub trait Reader: Send {
    /// The next piece; `None` after the last byte of the range. The pieces add up to the range's
    /// length exactly, or the last call is an error: a reader never ends early.
    async fn next(&mut self) -> Result<Option<Piece>>;

    /// Whoever takes the pieces reads files himself: their pages need not be in the page cache.
    fn will_read(&mut self) {}
}

/// Some bytes of an object.
#[derive(Clone, Debug)]
pub enum Piece {
    /// In memory.
    Bytes(Chunk<AtRest>),
    /// In a file: the socket layer sends it without reading it (sendfile). The pages are expected
    /// to be in the page cache.
    File {
        /// The open file. Never truncated in place by us.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
}
