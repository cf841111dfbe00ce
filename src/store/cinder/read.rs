//! Reading a volume.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Error, Result, Shared, hold::Hold, size_bytes};
use crate::{
    buf::Claim,
    model::ByteRange,
    store::{Piece, Reader},
};

/// Reads a range of one volume, and holds it meanwhile.
pub(super) struct CinderReader {
    reader: Box<dyn Reader>,
    _hold: Hold,
}

impl CinderReader {
    pub(super) async fn open(
        shared: &Arc<Shared>,
        url: &str,
        range: ByteRange,
        memory: Claim,
    ) -> Result<Self> {
        let volume = shared.published(url).await?;
        if range.end() > size_bytes(&volume) {
            return Err(Error::Corrupt(url.to_owned()));
        }
        let (hold, place) = Hold::take(shared, &volume.id).await?;
        let reader = shared.volumes.reader(&place, url, range, memory).await?;
        Ok(Self {
            reader: Box::new(reader),
            _hold: hold,
        })
    }
}

#[async_trait]
impl Reader for CinderReader {
    async fn next(&mut self) -> Result<Option<Piece>> {
        self.reader.next().await
    }
}
