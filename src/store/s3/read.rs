//! Reading an object: several ranges ahead of the client, into pooled buffers.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{Error, Result, Shared, without_credentials};
use crate::{
    base::limits::{CHUNK_BYTES, MIB},
    buf::{Admission, AtRest, Buffer, Chunk, Claim},
    client::s3,
    model::ByteRange,
    store::{Piece, Reader},
};

/// Bytes of one request.
const REQUEST_BYTES: u64 = 8 * MIB as u64;
/// Requests that are sent before their bytes are asked for.
const AHEAD_MAX: usize = 4;
/// Before a broken request goes on; doubled while nothing comes.
const PAUSE: Duration = Duration::from_millis(100);

/// Reads a range of one object.
pub(super) struct S3Reader {
    source: Arc<Source>,
    memory: Admission,
    /// The first byte that nobody has asked for yet, and the end of the range.
    next: u64,
    end: u64,
    ahead: VecDeque<Ahead>,
}

/// What is read.
struct Source {
    shared: Arc<Shared>,
    url: String,
    key: String,
    /// The version that the first look found: the object is not replaced while it is read.
    etag: Option<String>,
}

/// A part of the range, on its way.
struct Ahead {
    pieces: mpsc::Receiver<Result<Bytes>>,
    left: u64,
    _fetching: AbortOnDropHandle<()>,
}

/// A part of the range, as it is fetched.
struct Fetch {
    source: Arc<Source>,
    at: u64,
    end: u64,
    /// In order; the last may stay partly empty.
    buffers: VecDeque<Buffer>,
    pieces: mpsc::Sender<Result<Bytes>>,
}

impl S3Reader {
    pub(super) async fn open(
        shared: Arc<Shared>,
        url: &str,
        key: String,
        range: ByteRange,
        memory: Claim,
    ) -> Result<Self> {
        let url = without_credentials(url.to_owned());
        let head = shared.head(&key).await?;
        let head = head.ok_or_else(|| Error::NotFound(url.clone()))?;
        if head.size_bytes < range.end() {
            return Err(Error::Corrupt(url));
        }
        let source = Source {
            shared,
            url,
            key,
            etag: head.etag,
        };
        Ok(Self {
            source: Arc::new(source),
            memory: memory.admit().await.map_err(|_| Error::NoBuffers)?,
            next: range.offset,
            end: range.end(),
            ahead: VecDeque::new(),
        })
    }

    /// Asks for more, as far as there are buffers that nobody else waits for. Waits for one only
    /// when nothing is on its way.
    async fn read_ahead(&mut self) {
        while self.next < self.end && self.ahead.len() < AHEAD_MAX {
            let first = match self.memory.try_buffer() {
                Some(buffer) => buffer,
                None if self.ahead.is_empty() => self.memory.buffer().await,
                None => return,
            };
            let wanted = REQUEST_BYTES.min(self.end - self.next);
            let mut buffers = VecDeque::from([first]);
            while ((buffers.len() * CHUNK_BYTES) as u64) < wanted {
                let Some(buffer) = self.memory.try_buffer() else {
                    break;
                };
                buffers.push_back(buffer);
            }
            let len = wanted.min((buffers.len() * CHUNK_BYTES) as u64);
            let (sender, pieces) = mpsc::channel(buffers.len());
            let fetch = Fetch {
                source: self.source.clone(),
                at: self.next,
                end: self.next + len,
                buffers,
                pieces: sender,
            };
            self.next += len;
            self.ahead.push_back(Ahead {
                pieces,
                left: len,
                _fetching: AbortOnDropHandle::new(tokio::spawn(fetch.run())),
            });
        }
    }
}

#[async_trait]
impl Reader for S3Reader {
    async fn next(&mut self) -> Result<Option<Piece>> {
        self.read_ahead().await;
        let Some(ahead) = self.ahead.front_mut() else {
            return Ok(None);
        };
        let damaged = || Error::Corrupt(self.source.url.clone());
        let piece = ahead.pieces.recv().await.ok_or_else(damaged)??;
        ahead.left = ahead
            .left
            .checked_sub(piece.len() as u64)
            .ok_or_else(damaged)?;
        if ahead.left == 0 {
            self.ahead.pop_front();
        }
        Ok(Some(Piece::Bytes(Chunk::<AtRest>::new(piece))))
    }
}

impl Fetch {
    /// Fetches all of it, going on where a request broke off.
    async fn run(mut self) {
        let patience = self.source.shared.config.patience;
        let (mut moved, mut pause) = (Instant::now(), PAUSE);
        while self.at < self.end {
            let before = self.at;
            let error = match self.request().await {
                Ok(()) => continue,
                Err(error) => error,
            };
            if self.at > before {
                (moved, pause) = (Instant::now(), PAUSE);
            }
            let again = matches!(error, s3::Error::Unavailable(_));
            if !again || moved.elapsed() + pause > patience {
                let Source { shared, url, .. } = &*self.source;
                let failed = Err(shared.outcome(url, error));
                drop(self.pieces.send(failed).await);
                return;
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// One request, for what is left.
    async fn request(&mut self) -> Result<(), s3::Error> {
        let source = self.source.clone();
        let Source {
            shared, key, etag, ..
        } = &*source;
        let download = shared
            .bucket
            .get(key, self.at, self.end - self.at, etag.as_deref());
        let mut download = download.await?;
        while let Some(bytes) = download.next().await? {
            self.take(bytes).await?;
        }
        match self.at == self.end {
            true => Ok(()),
            false => Err(s3::Error::Unavailable("it ended early".to_owned())),
        }
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<(), s3::Error> {
        let too_much = || s3::Error::Refused("more bytes than were asked for".to_owned());
        if bytes.len() as u64 > self.end - self.at {
            return Err(too_much());
        }
        while bytes.has_remaining() {
            let buffer = self.buffers.front_mut().ok_or_else(too_much)?;
            let len = buffer.fill(&bytes);
            bytes.advance(len);
            self.at += len as u64;
            if (buffer.is_full() || self.at == self.end)
                && let Some(full) = self.buffers.pop_front()
            {
                let piece = full.freeze::<AtRest>().into_bytes();
                // Nobody listens any more: the task is about to be aborted.
                drop(self.pieces.send(Ok(piece)).await);
            }
        }
        Ok(())
    }
}
