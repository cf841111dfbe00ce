//! The download: pieces of a stored image, in order.

use std::sync::Arc;

use tracing::warn;

use super::{
    Error, Plane, ReadPlan, Result,
    cached::{CachedReader, Through},
    from_stores::FromStores,
};
use crate::{
    cache::{Cache, Key},
    model::{ByteRange, StoreId},
    store::{self, Piece, Reader},
};

/// An open download. Every piece that it gives is followed by the rest of the range, or by an
/// error: then the connection is cut, and the client's copy is visibly incomplete.
pub struct Egress {
    reader: Box<dyn Reader>,
    store: StoreId,
    left_bytes: u64,
}

/// Opens the first location that can be read, so that what is wrong with all of them is known
/// before the headers go out.
///
/// # Errors
/// [`Error::Busy`] without buffers in time, [`Error::Lost`] when the last location has nothing or
/// there is none, else its [`Error::Store`].
pub async fn open(plane: &Plane, plan: &ReadPlan) -> Result<Egress> {
    let mut failed = store::Error::NotFound(plan.image.to_string());
    for (id, url) in &plan.locations {
        match reader(plane, plan, id, url).await {
            Ok(reader) => {
                return Ok(Egress {
                    reader,
                    store: id.clone(),
                    left_bytes: plan.range.len,
                });
            }
            Err(error @ store::Error::NoBuffers) => return Err(of_store(error, plan)),
            Err(error) => {
                warn!(image.id = %plan.image, store.id = %id, %error, "Cannot read a location");
                failed = error;
            }
        }
    }
    Err(of_store(failed, plan))
}

/// What a store says at the beginning of a download, as the download says it.
fn of_store(error: store::Error, plan: &ReadPlan) -> Error {
    match error {
        store::Error::NoBuffers => Error::Busy,
        store::Error::NotFound(_) => Error::Lost(plan.image.clone()),
        error => error.into(),
    }
}

/// Opens a download through the cache, where the image may be kept there.
///
/// # Errors
/// As [`open`].
pub async fn open_through(
    plane: &Arc<Plane>,
    cache: &Cache,
    plan: &ReadPlan,
    key: &Key,
    size_bytes: u64,
) -> Result<Egress> {
    let through = Through {
        cache: cache.clone(),
        engine: plane.engine.clone(),
        origin: Arc::new(FromStores::new(plane.clone(), plan.clone())),
        key: key.clone(),
        size_bytes,
    };
    let store = plan.locations[0].0.clone();
    let opened = from_cache(through, plan.range, store).await;
    match opened.map_err(|error| of_store(error, plan))? {
        None => open(plane, plan).await,
        Some(egress) => Ok(egress),
    }
}

/// Opens a download through the cache; `None` where such an image is not kept there. `store` is whose
/// bytes they are, for the log.
///
/// # Errors
/// The origin's, of what is missing at the beginning.
pub async fn from_cache(
    through: Through,
    range: ByteRange,
    store: StoreId,
) -> Result<Option<Egress>, store::Error> {
    let opened = CachedReader::open(through, range).await?;
    Ok(opened.map(|reader| Egress {
        reader: Box::new(reader),
        store,
        left_bytes: range.len,
    }))
}

impl Egress {
    /// A download of `len` bytes that a reader gives.
    pub(super) fn new(reader: Box<dyn Reader>, store: StoreId, len: u64) -> Self {
        Self {
            reader,
            store,
            left_bytes: len,
        }
    }

    /// The next piece; `None` after the last byte of the range. Pieces add up to the range exactly.
    ///
    /// # Errors
    /// [`Error::Store`] when the object is shorter than its record says, or cannot be read.
    pub async fn next(&mut self) -> Result<Option<Piece>> {
        let piece = self.reader.next().await?;
        let len = match &piece {
            Some(Piece::Bytes(chunk)) => chunk.len() as u64,
            Some(Piece::File { len, .. }) => *len,
            None if self.left_bytes == 0 => 0,
            None => return Err(self.damaged("ended early")),
        };
        self.left_bytes = self
            .left_bytes
            .checked_sub(len)
            .ok_or_else(|| self.damaged("gave more than was asked"))?;
        Ok(piece)
    }

    /// For whoever reads the pieces himself: see [`Reader::will_read`].
    pub(super) fn for_reading(mut self) -> Self {
        self.reader.will_read();
        self
    }

    /// The store that the bytes come from.
    pub fn store(&self) -> &StoreId {
        &self.store
    }

    fn damaged(&self, how: &str) -> Error {
        store::Error::Corrupt(format!("an object in store {} {how}", self.store)).into()
    }
}

async fn reader(
    plane: &Plane,
    plan: &ReadPlan,
    id: &StoreId,
    url: &str,
) -> Result<Box<dyn Reader>, store::Error> {
    let store = plane.stores.get(id);
    let store = store.ok_or_else(|| store::Error::Unavailable(id.clone()))?;
    let memory = plane.pool.claim(id, plane.settings.admission_wait);
    store.reader(url, plan.range, memory).await
}
