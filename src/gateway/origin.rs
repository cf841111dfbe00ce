//! The upstream as an origin of the cache.

use std::{collections::HashSet, io, sync::Arc};

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tracing::warn;

use super::{SEQUENTIAL_MAX, permit};
use crate::{
    client::upstream::{Answer, Upstream},
    data::{Source, StoreError, cached::Origin},
    model::{ByteRange, ImageId, StoreId},
};

/// An image of the upstream, as one caller may have it.
pub(super) struct FromUpstream {
    pub(super) upstream: Upstream,
    pub(super) headers: HeaderMap,
    pub(super) image: ImageId,
    pub(super) size_bytes: u64,
    /// An answer that begins with the image's first byte, for the first who wants all of it.
    pub(super) begun: Mutex<Option<Answer>>,
    pub(super) sequential: Arc<Mutex<HashSet<ImageId>>>,
}

#[async_trait]
impl Origin for FromUpstream {
    async fn open(&self, range: ByteRange) -> Result<Option<Box<dyn Source>>, StoreError> {
        let is_whole = range == ByteRange::whole(self.size_bytes);
        if is_whole && let Some(begun) = self.begun.lock().take() {
            return self.body(begun, range.len).map(Some);
        }
        let mut ask = permit::get(&self.headers, &format!("/v2/images/{}/file", self.image));
        if !is_whole {
            let value = format!("bytes={}-{}", range.offset, range.end() - 1);
            let value = HeaderValue::from_str(&value).expect("numbers are a header's letters");
            ask.headers.insert(header::RANGE, value);
        }
        let answer = self.upstream.ask(ask).await.map_err(|error| {
            warn!(%error, "The upstream cannot be asked");
            unavailable()
        })?;
        match answer.head.status {
            StatusCode::OK if is_whole => self.body(answer, range.len).map(Some),
            StatusCode::PARTIAL_CONTENT if !is_whole => {
                is_of(&answer, range)?;
                self.body(answer, range.len).map(Some)
            }
            // Glance on stores that cannot seek, and services that ignore ranges.
            StatusCode::OK | StatusCode::BAD_REQUEST if !is_whole => {
                self.is_sequential();
                Ok(None)
            }
            StatusCode::NOT_FOUND => Err(StoreError::NotFound(self.image.to_string())),
            status => {
                warn!(image.id = %self.image, %status, "The upstream does not give an image");
                Err(unavailable())
            }
        }
    }

    fn seeks(&self) -> bool {
        !self.sequential.lock().contains(&self.image)
    }
}

impl FromUpstream {
    fn is_sequential(&self) {
        let mut sequential = self.sequential.lock();
        if sequential.len() >= SEQUENTIAL_MAX {
            sequential.clear();
        }
        sequential.insert(self.image.clone());
    }

    /// The bytes, if they are the image's own and as many as they should be.
    fn body(&self, answer: Answer, len: u64) -> Result<Box<dyn Source>, StoreError> {
        let encoding = answer.head.headers.get(header::CONTENT_ENCODING);
        if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
            return Err(StoreError::Corrupt(format!(
                "the upstream encodes image {} as {encoding:?}",
                self.image
            )));
        }
        match answer.content_length() {
            Some(given) if given != len => Err(StoreError::Corrupt(format!(
                "the upstream gives {given} bytes of image {} instead of {len}",
                self.image
            ))),
            _ => Ok(Box::new(Bits {
                answer,
                left_bytes: len,
            })),
        }
    }
}

/// An answer's bytes, which must be as many as were asked for.
struct Bits {
    answer: Answer,
    left_bytes: u64,
}

#[async_trait]
impl Source for Bits {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(bytes) = self.answer.next().await? else {
            return match self.left_bytes {
                0 => Ok(None),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        };
        let left = self.left_bytes.checked_sub(bytes.len() as u64);
        self.left_bytes = left.ok_or_else(|| io::Error::other("more than was asked"))?;
        Ok(Some(bytes))
    }
}

/// Whether a 206 begins where it should.
fn is_of(answer: &Answer, range: ByteRange) -> Result<(), StoreError> {
    let given = answer.head.headers.get(header::CONTENT_RANGE);
    let given = given
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let expected = format!("bytes {}-{}/", range.offset, range.end() - 1);
    match given.starts_with(&expected) {
        true => Ok(()),
        false => Err(StoreError::Corrupt(format!(
            "the upstream gives {given:?} instead of {expected:?}"
        ))),
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable(StoreId::new("upstream"))
}
