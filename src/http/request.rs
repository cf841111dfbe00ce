//! Requests and their bodies.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{sync::oneshot, time::timeout};

/// A request whose headers are read.
#[derive(Debug)]
pub struct Request {
    /// Method, target, headers.
    pub head: ::http::request::Parts,
    /// The body, still on the wire.
    pub body: RequestBody,
    /// Who sent it, or the nearest proxy.
    pub peer: SocketAddr,
    /// `http` or `https`, by the connection.
    pub scheme: ::http::uri::Scheme,
}

/// Why a body could not be had whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// More than the limit.
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// It broke off, took too long or was malformed: the client is gone or at fault.
    #[error("the body could not be read: {0}")]
    Broken(#[source] io::Error),
}

/// A request's body, pulled frame by frame. `100 Continue` is sent when it is first pulled.
/// Trailers are ignored.
///
/// It may be dropped unread: the connection then takes care that the client gets the answer.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Option<Incoming>,
    timeout: Duration,
    progress: Progress,
    /// Hears of the end: dropped when the last byte was pulled, given the rest when this is
    /// dropped before.
    rest: Option<oneshot::Sender<Unread>>,
}

/// A body that was dropped before its end, for the connection to dispose of.
#[derive(Debug)]
pub(super) struct Unread {
    incoming: Incoming,
    progress: Progress,
}

/// What became of a body, whoever holds it.
pub(super) struct Remains(oneshot::Receiver<Unread>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The client waits for `100 Continue`.
    Awaited,
    /// The client sends, or will.
    Sending,
    /// The last byte was pulled.
    Ended,
    /// It broke off.
    Broken,
}

impl RequestBody {
    pub(super) fn new(
        incoming: Incoming,
        expects_continue: bool,
        timeout: Duration,
    ) -> (Self, Remains) {
        let progress = match (incoming.is_end_stream(), expects_continue) {
            (true, _) => Progress::Ended,
            (false, true) => Progress::Awaited,
            (false, false) => Progress::Sending,
        };
        let (sender, receiver) = oneshot::channel();
        let body = Self {
            incoming: Some(incoming),
            timeout,
            progress,
            rest: (progress != Progress::Ended).then_some(sender),
        };
        (body, Remains(receiver))
    }

    /// Bytes still to come, where the client said so (`Content-Length`); a chunked body's are
    /// unknown.
    pub fn content_length(&self) -> Option<u64> {
        self.incoming.as_ref()?.size_hint().exact()
    }

    /// Whether the request has no body, or it was all pulled.
    pub fn is_ended(&self) -> bool {
        self.progress == Progress::Ended
    }

    /// The next bytes; `None` after the last. A body that breaks off (also a chunked one without
    /// its final chunk), a malformed chunk and a silence longer than the configured one are errors.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(incoming) = &mut self.incoming else {
            return Ok(None);
        };
        let pulled = timeout(self.timeout, pull(incoming, &mut self.progress)).await;
        if self.is_ended() {
            self.rest = None;
        }
        pulled.unwrap_or_else(|_| {
            self.progress = Progress::Broken;
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client sent nothing for too long",
            ))
        })
    }

    /// The whole body, which must be small and come soon.
    pub async fn read_to_limit(&mut self, limit_bytes: usize) -> Result<Bytes, ReadError> {
        let too_large = ReadError::TooLarge { limit_bytes };
        if self
            .content_length()
            .is_some_and(|length| length > limit_bytes as u64)
        {
            return Err(too_large);
        }
        let limit = self.timeout;
        let whole = async {
            let mut whole = BytesMut::new();
            while let Some(bytes) = self.next().await.map_err(ReadError::Broken)? {
                if bytes.len() > limit_bytes - whole.len() {
                    return Err(too_large);
                }
                whole.extend_from_slice(&bytes);
            }
            Ok(whole.freeze())
        };
        timeout(limit, whole).await.unwrap_or_else(|_| {
            Err(ReadError::Broken(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client took too long",
            )))
        })
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let (Some(incoming), Some(rest)) = (self.incoming.take(), self.rest.take()) {
            // Fails when the connection is gone, and the body with it.
            let _ = rest.send(Unread {
                incoming,
                progress: self.progress,
            });
        }
    }
}

impl Remains {
    /// Whether the body was pulled to its end, or what is left of it is little, comes at once and
    /// was thrown away here: only then can another request follow. Waits up to `wait` for whoever
    /// still holds the body, and as long again for the rest.
    pub(super) async fn are_gone(self, limit_bytes: u64, wait: Duration) -> bool {
        match timeout(wait, self.0).await {
            Ok(Ok(unread)) => unread.discard(limit_bytes, wait).await,
            Ok(Err(_)) => true,
            Err(_) => false,
        }
    }
}

impl Unread {
    /// A client that waits for `100 Continue` is not made to send.
    async fn discard(mut self, limit_bytes: u64, wait: Duration) -> bool {
        let sizeable = self.incoming.size_hint().lower() > limit_bytes;
        if sizeable || self.progress != Progress::Sending {
            return false;
        }
        let discarded = async {
            let mut left = limit_bytes;
            while let Some(bytes) = pull(&mut self.incoming, &mut self.progress).await.ok()? {
                left = left.checked_sub(bytes.len() as u64)?;
            }
            Some(())
        };
        matches!(timeout(wait, discarded).await, Ok(Some(())))
    }
}

async fn pull(incoming: &mut Incoming, progress: &mut Progress) -> io::Result<Option<Bytes>> {
    match progress {
        Progress::Ended => return Ok(None),
        Progress::Broken => return Err(io::ErrorKind::UnexpectedEof.into()),
        Progress::Awaited | Progress::Sending => *progress = Progress::Sending,
    }
    loop {
        let Some(frame) = incoming.frame().await else {
            *progress = Progress::Ended;
            return Ok(None);
        };
        let frame = frame.map_err(|error| {
            *progress = Progress::Broken;
            io::Error::new(io::ErrorKind::UnexpectedEof, error)
        })?;
        if let Ok(bytes) = frame.into_data() {
            if incoming.is_end_stream() {
                *progress = Progress::Ended;
            }
            return Ok(Some(bytes));
        }
    }
}
