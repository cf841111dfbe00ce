//! Reading from an address, as the bytes come.

use async_trait::async_trait;
use bytes::{Buf, Bytes};

use crate::{
    buf::{Admission, AtRest},
    client::web::Body,
    model::location,
    store::{Error, Piece, Reader, Result},
};

/// Reads a range of one address.
#[derive(Debug)]
pub(super) struct HttpReader {
    body: Body,
    /// Without secrets.
    shown: String,
    memory: Admission,
    /// Has come, and was not handed out yet.
    rest: Bytes,
}

impl HttpReader {
    pub(super) fn new(body: Body, url: &str, memory: Admission) -> Self {
        Self {
            body,
            shown: location::shown(url),
            memory,
            rest: Bytes::new(),
        }
    }
}

#[async_trait]
impl Reader for HttpReader {
    async fn next(&mut self) -> Result<Option<Piece>> {
        if self.rest.is_empty() {
            match self.body.next().await {
                Ok(Some(bytes)) => self.rest = bytes,
                Ok(None) => return Ok(None),
                Err(error) => {
                    tracing::warn!(object = self.shown, %error, "An address broke off");
                    return Err(Error::Corrupt(self.shown.clone()));
                }
            }
        }
        let mut buffer = self.memory.buffer().await;
        let len = buffer.fill(&self.rest);
        self.rest.advance(len);
        Ok(Some(Piece::Bytes(buffer.freeze::<AtRest>())))
    }
}
