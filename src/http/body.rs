//! Response bodies.

use std::{fmt, fs::File, io, os::unix::fs::FileExt, pin::Pin, sync::Arc, task::Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http_body::SizeHint;

use super::{
    access::Access,
    segment::{Segment, Window, Windows},
};
use crate::base::limits::KIB;

/// Bytes read at a time where a file must pass through memory. Two of them are in flight for a
/// TLS download, outside the pool: small, so that a thousand such downloads stay bounded.
const COPY_BYTES: usize = 128 * KIB;

/// A response's body.
pub struct Body {
    content: Content,
    access: Option<Box<Access>>,
}

enum Content {
    Full(Bytes),
    Frames {
        /// None where nobody knows before the end.
        len: Option<u64>,
        source: Box<dyn FrameSource>,
    },
}

/// Some bytes of a body.
#[derive(Debug)]
pub enum Frame {
    /// In memory.
    Bytes(Bytes),
    /// In a file, expected to be in the page cache. Sent without passing through this process
    /// where the connection allows it.
    File {
        /// The file, never truncated in place.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
}

/// Where a body's bytes come from.
#[async_trait]
pub trait FrameSource: Send + 'static {
    /// The next frame. An error, which the source has logged, an early end (`None`) and an excess
    /// all cut the connection, so that the client never takes a part for the whole. Not called
    /// again once the body's length is reached.
    async fn next(&mut self) -> io::Result<Option<Frame>>;
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Bytes at hand.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::of(Content::Full(bytes.into()))
    }

    /// `len` bytes that are made while they are sent. The source is dropped when they all are, or
    /// when the client is gone.
    pub fn frames(len: u64, source: impl FrameSource) -> Self {
        Self::of(Content::Frames {
            len: Some(len),
            source: Box::new(source),
        })
    }

    /// Bytes of a number that nobody knows before their end, which the source says with `None`.
    pub fn stream(source: impl FrameSource) -> Self {
        Self::of(Content::Frames {
            len: None,
            source: Box::new(source),
        })
    }

    fn of(content: Content) -> Self {
        let access = None;
        Self { content, access }
    }

    /// `access` hears of its bytes, and is dropped with the last of them.
    pub(super) fn follow(&mut self, access: Access) {
        self.access = Some(Box::new(access));
    }

    /// Bytes; of a stream, as many as there can be.
    pub fn len(&self) -> u64 {
        match &self.content {
            Content::Full(bytes) => bytes.len() as u64,
            Content::Frames { len, .. } => len.unwrap_or(u64::MAX),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, where they are at hand.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Full(bytes) => Some(bytes),
            Content::Frames { .. } => None,
        }
    }

    /// The body as hyper sends it.
    pub(super) fn on_wire(self, delivery: Delivery) -> WireBody {
        let left = self.len();
        let is_stream = matches!(&self.content, Content::Frames { len: None, .. });
        let state = match self.content {
            Content::Full(bytes) => State::Full(bytes),
            Content::Frames { source, .. } => State::Idle(Producer {
                source,
                file: None,
                delivery,
            }),
        };
        let mut body = WireBody {
            left,
            is_stream,
            state,
            access: self.access,
        };
        body.sent(0);
        body
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// How a connection takes a body's bytes.
#[derive(Clone)]
pub(super) struct Delivery {
    /// Where file windows go, on a socket that `sendfile` can write to.
    pub(super) windows: Option<Arc<Windows>>,
    /// `fresnel_egress_bytes_total{path="copy"}`.
    pub(super) copied: metrics::Counter,
}

/// A body with its way to the socket.
pub(super) struct WireBody {
    /// Of a stream, more than there can be.
    left: u64,
    is_stream: bool,
    state: State,
    access: Option<Box<Access>>,
}

impl WireBody {
    /// So many more bytes are on their way.
    fn sent(&mut self, bytes: u64) {
        self.left -= bytes;
        if let Some(access) = &mut self.access {
            access.sent(bytes);
            if self.left == 0 {
                access.end();
            }
        }
    }

    /// A stream has ended well.
    fn ended(&mut self) {
        if let Some(access) = &mut self.access {
            access.end();
        }
    }
}

enum State {
    Full(Bytes),
    Idle(Producer),
    Busy(BoxFuture<'static, (Producer, io::Result<Option<Segment>>)>),
    Done,
}

impl http_body::Body for WireBody {
    type Data = Segment;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Segment>>>> {
        let this = &mut *self;
        loop {
            match std::mem::replace(&mut this.state, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Full(bytes) => {
                    this.sent(bytes.len() as u64);
                    return Poll::Ready(Some(Ok(http_body::Frame::data(Segment::Bytes(bytes)))));
                }
                State::Idle(producer) => {
                    this.state = State::Busy(producer.next(this.left).boxed());
                }
                State::Busy(mut next) => {
                    let Poll::Ready((producer, segment)) = next.poll_unpin(cx) else {
                        this.state = State::Busy(next);
                        return Poll::Pending;
                    };
                    let segment = match segment {
                        Ok(Some(segment)) => segment,
                        Ok(None) if this.is_stream => {
                            this.ended();
                            return Poll::Ready(None);
                        }
                        Ok(None) => return Poll::Ready(Some(Err(early_end(this.left)))),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                    this.sent(bytes::Buf::remaining(&segment) as u64);
                    if this.left > 0 {
                        this.state = State::Idle(producer);
                    }
                    return Poll::Ready(Some(Ok(http_body::Frame::data(segment))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        match self.is_stream {
            true => SizeHint::default(),
            false => SizeHint::with_exact(self.left),
        }
    }
}

/// Turns frames into segments.
struct Producer {
    source: Box<dyn FrameSource>,
    /// The rest of a file frame that is being read, where files pass through memory.
    file: Option<Window>,
    delivery: Delivery,
}

impl Producer {
    async fn next(mut self, left: u64) -> (Self, io::Result<Option<Segment>>) {
        let segment = self.segment(left).await;
        (self, segment)
    }

    async fn segment(&mut self, left: u64) -> io::Result<Option<Segment>> {
        loop {
            if self.file.is_some() {
                return self.copy().await.map(Some).map_err(cut);
            }
            match self.source.next().await? {
                None => return Ok(None),
                Some(Frame::Bytes(bytes)) => {
                    within(bytes.len() as u64, left)?;
                    if !bytes.is_empty() {
                        self.delivery.copied.increment(bytes.len() as u64);
                        return Ok(Some(Segment::Bytes(bytes)));
                    }
                }
                Some(Frame::File { file, offset, len }) => {
                    let window = Window {
                        file,
                        offset,
                        left: within(len, left)?,
                    };
                    match &self.delivery.windows {
                        _ if len == 0 => {}
                        Some(windows) => return Ok(Some(windows.push(window))),
                        None => self.file = Some(window),
                    }
                }
            }
        }
    }

    /// Reads the next piece of the file on a blocking thread: its pages may be cold.
    async fn copy(&mut self) -> io::Result<Segment> {
        let window = self.file.as_mut().expect("called with a file");
        let (file, offset) = (window.file.clone(), window.offset);
        let len = window.left.min(COPY_BYTES);
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, offset)?;
            Ok::<_, io::Error>(bytes)
        });
        let bytes = read.await.map_err(io::Error::other)??;
        window.offset += len as u64;
        window.left -= len;
        if window.left == 0 {
            self.file = None;
        }
        self.delivery.copied.increment(len as u64);
        Ok(Segment::Bytes(bytes.into()))
    }
}

fn within(len: u64, left: u64) -> io::Result<usize> {
    if len > left {
        return Err(cut(io::Error::other(format!(
            "a frame of {len} bytes where the body has {left} left"
        ))));
    }
    usize::try_from(len).map_err(io::Error::other)
}

fn early_end(left: u64) -> io::Error {
    cut(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the body ended {left} bytes early"),
    ))
}

/// Tells of a fault that only this place knows.
fn cut(error: io::Error) -> io::Error {
    tracing::warn!(%error, "a response broke off and its connection was cut");
    error
}
