//! A connection's transport: plain, TLS or of this host, with `sendfile(2)`, limits on stalls and trickles, a fair
//! share of the worker, and a close that lets the last answer arrive.

use std::{
    fmt, io,
    io::IoSlice,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Instant, Sleep, sleep},
};
use tokio_rustls::server::TlsStream;

use super::{
    Config,
    segment::{self, Window, Windows},
};
use crate::base::{
    limits::{KIB, MIB},
    pace::Pace,
};

/// Bytes that a connection may send before it lets other tasks of its worker run: at most 2 ms from
/// the page cache, and only to a client that takes them as fast. Turns of 2 MiB cost a fifth of a
/// single stream's rate, because another worker steals the task at each.
const TURN_BYTES: usize = 16 * MIB;

/// A body makes hyper's read buffer grow, and it keeps what it has until the connection ends. Larger
/// than this, that memory is worth more than a connection that waits for its next request.
const READ_BUFFER_KEPT_BYTES: usize = 32 * KIB;

/// How long and how much of an unread request is thrown away after the answer. A close with
/// unread data makes the kernel send a reset, which can destroy the answer on its way: clients
/// such as python-requests send their whole body before they read.
const LINGER_TIME: Duration = Duration::from_secs(30);
const LINGER_BYTES: u64 = 4 * 1024 * MIB as u64;

/// The kinds of connection.
pub(super) enum Transport {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// A socket of this host's files, on which no images travel.
    Local(UnixStream),
}

/// What a connection's socket and its requests share.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Files that the socket is to send.
    pub(super) windows: Arc<Windows>,
    /// The client may still be sending a body that nobody will read.
    pub(super) unread: AtomicBool,
    /// hyper has made its read buffer larger than [`READ_BUFFER_KEPT_BYTES`].
    pub(super) grown: AtomicBool,
}

/// A connection's transport, as hyper uses it.
pub(super) struct Io {
    transport: Transport,
    wire: Arc<Wire>,
    send_timeout: Duration,
    /// Ends a connection whose client takes nothing; armed while a write waits.
    stall: Option<Pin<Box<Sleep>>>,
    /// Since when a write waits.
    waiting: Option<Instant>,
    /// How long we have waited since the client last took something.
    waited: Duration,
    /// Ends a connection whose client takes next to nothing: what is to be sent may hold buffers.
    pace: Pace,
    turn_bytes: usize,
    closing: Closing,
    /// `fresnel_egress_bytes_total{path="sendfile"}`.
    sent: metrics::Counter,
}

enum Closing {
    Open,
    /// Our side is shut; the rest of what the client sends is thrown away.
    Lingering {
        until: Pin<Box<Sleep>>,
        left_bytes: u64,
    },
}

impl Io {
    pub(super) fn new(
        transport: Transport,
        wire: Arc<Wire>,
        config: &Config,
        sent: metrics::Counter,
    ) -> Self {
        Self {
            transport,
            wire,
            send_timeout: config.send_timeout,
            stall: None,
            waiting: None,
            waited: Duration::ZERO,
            pace: Pace::new(config.min_rate_bytes_per_second),
            turn_bytes: 0,
            closing: Closing::Open,
            sent,
        }
    }

    /// Sends up to the first file window, or from it.
    fn poll_send(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let stream = match &mut self.transport {
            Transport::Tls(stream) => return Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Local(stream) => return Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Plain(stream) => stream,
        };
        match bufs.iter().position(segment::is_placeholder) {
            None => Pin::new(stream).poll_write_vectored(cx, bufs),
            Some(0) => {
                let sent = ready!(poll_sendfile(stream, &self.wire.windows, cx, bufs[0].len()))?;
                self.sent.increment(sent as u64);
                Poll::Ready(Ok(sent))
            }
            Some(files) => Pin::new(stream).poll_write_vectored(cx, &bufs[..files]),
        }
    }

    /// Whether the connection has used up its turn.
    fn turn_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let over = self.turn_bytes >= TURN_BYTES;
        if over {
            self.turn_bytes = 0;
            cx.waker().wake_by_ref();
        }
        over
    }

    /// Passes a write's outcome on, and counts how long the client takes nothing.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waited += self
                .waiting
                .take()
                .map_or(Duration::ZERO, |since| since.elapsed());
            return outcome;
        }
        self.turn_bytes = 0;
        let timeout = self.send_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(timeout)));
        if self.waiting.is_none() {
            let now = Instant::now();
            self.waiting = Some(now);
            stall.as_mut().reset(now + timeout);
        }
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Local(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Sends some of the oldest window. A file that ends before its window is an error, never an end.
fn poll_sendfile(
    stream: &TcpStream,
    windows: &Windows,
    cx: &mut Context<'_>,
    len: usize,
) -> Poll<io::Result<usize>> {
    let window = windows
        .front(len)
        .ok_or_else(|| io::Error::other("the file windows and the queue are out of step"))?;
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let mut offset = window.offset;
        let sent = stream.try_io(Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(
                stream,
                &*window.file,
                Some(&mut offset),
                len,
            )?)
        });
        match sent {
            Ok(0) => return Poll::Ready(Err(cut(&window, io::ErrorKind::UnexpectedEof.into()))),
            Ok(sent) => {
                windows.advance(sent);
                return Poll::Ready(Ok(sent));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                    return Poll::Ready(Err(error));
                }
                _ => return Poll::Ready(Err(cut(&window, error))),
            },
        }
    }
}

/// Tells of a file that could not be sent, which only this place knows.
fn cut(window: &Window, error: io::Error) -> io::Error {
    let Window { offset, left, .. } = window;
    tracing::warn!(%error, offset, left_bytes = left, "A file broke off and its connection was cut");
    error
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() > READ_BUFFER_KEPT_BYTES {
            self.wire.grown.store(true, Ordering::Relaxed);
        }
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Local(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.turn_is_over(cx) {
            return Poll::Pending;
        }
        let sent = this.poll_send(cx, bufs);
        let sent = ready!(this.watch(cx, sent))?;
        this.turn_bytes += sent;
        let waited = std::mem::take(&mut this.waited);
        let paced = this.pace.waited(waited, sent);
        paced.map_err(|_| io::ErrorKind::TimedOut)?;
        Poll::Ready(Ok(sent))
    }

    /// Always: hyper must queue what it is to send, not copy it together.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let flushed = match &mut this.transport {
            Transport::Plain(_) | Transport::Local(_) => Poll::Ready(Ok(())),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        this.watch(cx, flushed)
    }

    /// Shuts our side; then, if the client is still sending, throws that away until it has read the
    /// answer and closes, within bounds.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.closing, Closing::Open) {
            let closed = this.poll_close(cx);
            ready!(this.watch(cx, closed))?;
            this.closing = Closing::Lingering {
                until: Box::pin(sleep(LINGER_TIME)),
                left_bytes: LINGER_BYTES,
            };
        }
        let mut scratch = [0; 16 * KIB];
        for _ in 0..TURN_BYTES / scratch.len() {
            let mut buf = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut *this).poll_read(cx, &mut buf);
            let Closing::Lingering { until, left_bytes } = &mut this.closing else {
                return Poll::Ready(Ok(()));
            };
            match read {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    this.wire.unread.store(true, Ordering::Relaxed);
                    match left_bytes.checked_sub(buf.filled().len() as u64) {
                        Some(left) => *left_bytes = left,
                        None => return Poll::Ready(Ok(())),
                    }
                }
                Poll::Pending if this.wire.unread.load(Ordering::Relaxed) => {
                    return until.as_mut().poll(cx).map(Ok);
                }
                _ => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io")
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Whether a client that takes what there is, once a second, is cut within twenty.
    async fn is_cut(min_rate_bytes_per_second: u64) -> bool {
        let config = Config {
            min_rate_bytes_per_second,
            ..Config::default()
        };
        let (ours, client) = UnixStream::pair().unwrap();
        let (transport, sent) = (Transport::Local(ours), metrics::Counter::noop());
        let mut io = Io::new(transport, Arc::default(), &config, sent);
        let (piece, mut taken) = (vec![0; MIB], vec![0; MIB]);
        for _ in 0..20 {
            let mut cx = Context::from_waker(Waker::noop());
            while let Poll::Ready(sent) = Pin::new(&mut io).poll_write(&mut cx, &piece) {
                if let Err(error) = sent {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    return true;
                }
            }
            sleep(Duration::from_secs(1)).await;
            while client.try_read(&mut taken).is_ok() {}
            // Room is told by the reactor.
            sleep(Duration::from_millis(1)).await;
        }
        false
    }

    /// Some 200 KiB a second, as much as the socket holds.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_next_to_nothing_is_cut() {
        assert!(is_cut(MIB as u64).await);
        assert!(!is_cut(1024).await);
        assert!(!is_cut(0).await);
    }
}
