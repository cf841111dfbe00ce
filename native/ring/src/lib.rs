//! File I/O that Linux offers and the standard library has no safe form of: writes through a ring
//! that the kernel works off ([`Ring`]), and a look into the page cache ([`is_cached`]).

mod cache;
mod worker;

use std::{
    fs::File,
    future::Future,
    io::{self, Write as _},
    os::fd::{FromRawFd, OwnedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

pub use cache::is_cached;

/// Writes that the ring has accepted and the kernel not begun: enough to keep the worker busy
/// between two turns.
const QUEUE_WRITES_MAX: usize = 64;

/// An `io_uring` with a thread of its own, for writes past the page cache. Cheap to clone; the
/// thread ends after the last clone and the last write.
///
/// A write owns its file and its bytes until the kernel is done with them, whatever becomes of the
/// [`Completion`]. Buffers are not registered: that would pin them.
#[derive(Clone, Debug)]
pub struct Ring {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    /// There until drop.
    queue: Option<mpsc::Sender<Write>>,
    wake: Arc<File>,
}

/// A write on its way to the kernel.
#[derive(Debug)]
struct Write {
    file: Arc<File>,
    bytes: Bytes,
    offset: u64,
    done: oneshot::Sender<io::Result<()>>,
}

impl Ring {
    /// Starts the thread. Fails where the kernel has no `io_uring`, or a sandbox refuses it.
    pub fn start() -> io::Result<Self> {
        let wake = Arc::new(eventfd()?);
        let (queue, writes) = mpsc::channel(QUEUE_WRITES_MAX);
        worker::start(writes, wake.clone())?;
        let handle = Handle {
            queue: Some(queue),
            wake,
        };
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// Hands over a write of all of `bytes` at `offset`; waits while the queue is full. A future
    /// that is dropped before it is ready has handed over nothing.
    pub async fn write_at(&self, file: Arc<File>, bytes: Bytes, offset: u64) -> Completion {
        let (done, completion) = oneshot::channel();
        let write = Write {
            file,
            bytes,
            offset,
            done,
        };
        let queue = self.handle.queue.as_ref().expect("there until drop");
        // A queue that is closed drops the write, and so completes it.
        if queue.send(write).await.is_ok() {
            self.handle.wake();
        }
        Completion(completion)
    }
}

impl Handle {
    fn wake(&self) {
        // Fails only when the counter is full, and then the worker is being woken anyway.
        let _ = (&*self.wake).write(&1u64.to_ne_bytes());
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue = None;
        self.wake();
    }
}

/// The result of a write, when there is one. The write does not depend on it.
#[derive(Debug)]
pub struct Completion(oneshot::Receiver<io::Result<()>>);

impl Future for Completion {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(done.unwrap_or_else(|_| Err(io::Error::other("the ring has stopped"))))
    }
}

/// Something to poll that the other side can make ready. Never blocks.
fn eventfd() -> io::Result<File> {
    // SAFETY: takes no pointers; the result is checked.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

#[cfg(test)]
mod tests;
