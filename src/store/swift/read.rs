//! Reading an object, as its bytes come; taken up again where they break off.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use tracing::warn;

use super::{Address, Error, Result, Shared};
use crate::{
    buf::{Admission, AtRest, Claim},
    client::swift::{self, Body},
    model::ByteRange,
    store::{Piece, Reader},
};

/// Reads a range of one object.
pub(super) struct SwiftReader {
    shared: Arc<Shared>,
    address: Address,
    /// None for no bytes.
    body: Option<Body>,
    end: u64,
    retries: u32,
    memory: Admission,
    /// Has come, and was not handed out yet.
    rest: Bytes,
}

impl SwiftReader {
    pub(super) async fn open(
        shared: Arc<Shared>,
        address: Address,
        range: ByteRange,
        memory: Claim,
    ) -> Result<Self> {
        let body = match range.len {
            0 => {
                let size_bytes = shared.size(&address).await?;
                if size_bytes < range.end() {
                    return Err(Error::Corrupt(address.object));
                }
                None
            }
            _ => Some(get(&shared, &address, range).await?),
        };
        Ok(Self {
            retries: shared.config.get_retries,
            shared,
            address,
            body,
            end: range.end(),
            memory: memory.admit().await.map_err(|_| Error::NoBuffers)?,
            rest: Bytes::new(),
        })
    }

    /// The next bytes; a body that breaks off is asked for again, as often as the operator says.
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        loop {
            let error = match body.next().await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            let object = &self.address.object;
            if self.retries == 0 {
                return Err(self.shared.outcome(object, error));
            }
            self.retries -= 1;
            let range = ByteRange {
                offset: self.end - body.left_bytes(),
                len: body.left_bytes(),
            };
            warn!(object, %error, "Takes a download from Swift up again");
            *body = get(&self.shared, &self.address, range).await?;
        }
    }
}

async fn get(shared: &Shared, address: &Address, range: ByteRange) -> Result<Body> {
    let account = shared.account_of(address);
    let body = account.get(&address.container, &address.object, range);
    body.await.map_err(|error| match error {
        swift::Error::Range => Error::Corrupt(address.object.clone()),
        other => shared.outcome(&address.object, other),
    })
}

#[async_trait]
impl Reader for SwiftReader {
    async fn next(&mut self) -> Result<Option<Piece>> {
        if self.rest.is_empty() {
            match self.receive().await? {
                Some(bytes) => self.rest = bytes,
                None => return Ok(None),
            }
        }
        let mut buffer = self.memory.buffer().await;
        let len = buffer.fill(&self.rest);
        self.rest.advance(len);
        Ok(Some(Piece::Bytes(buffer.freeze::<AtRest>())))
    }
}
