//! How bytes get from memory to a file: a ring that the kernel works off, or threads.

use std::{
    fs::File,
    future::Future,
    io,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use fresnel_ring::{Completion, Ring};
use tokio::task::JoinHandle;
use tracing::info;

/// What does the file I/O of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub enum FileIo {
    /// One thread, whose ring the kernel works off.
    Ring(Ring),
    /// Positional writes on the runtime's blocking threads, as many at once as there are buffers
    /// to write.
    Threads,
}

/// `[fresnel] file_io`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileIoChoice {
    /// The ring where the kernel and its sandbox allow it.
    #[default]
    Auto,
    /// The ring, or an error.
    Ring,
    /// Threads.
    Threads,
}

impl FileIo {
    /// Starts what was chosen. Fails only where a ring was demanded and is refused.
    pub fn start(choice: FileIoChoice) -> io::Result<Self> {
        match choice {
            FileIoChoice::Threads => Ok(Self::Threads),
            FileIoChoice::Ring => Ring::start().map(Self::Ring),
            FileIoChoice::Auto => Ok(Ring::start().map_or_else(
                |error| {
                    info!(%error, "Writing files on threads: the kernel or its sandbox refuses io_uring");
                    Self::Threads
                },
                Self::Ring,
            )),
        }
    }

    /// Begins to write all of `bytes` at `offset`, past the page cache: `file` is open for that,
    /// and address, length and offset are multiples of a page.
    pub(super) async fn write_direct(&self, file: Arc<File>, bytes: Bytes, offset: u64) -> Pending {
        match self {
            Self::Ring(ring) => Pending::Ring(ring.write_at(file, bytes, offset).await),
            Self::Threads => write_on_thread(file, bytes, offset),
        }
    }

    /// Begins to write all of `bytes` at `offset` into the page cache. That is a copy, which a
    /// ring would hand to a thread as well, at a higher price.
    pub(super) fn write_buffered(&self, file: Arc<File>, bytes: Bytes, offset: u64) -> Pending {
        write_on_thread(file, bytes, offset)
    }
}

/// A write that has begun. It ends by itself: dropping this only means not to hear of it.
#[derive(Debug)]
pub(super) enum Pending {
    Ring(Completion),
    Thread(JoinHandle<io::Result<()>>),
}

impl Future for Pending {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Ring(completion) => Pin::new(completion).poll(cx),
            Self::Thread(task) => Pin::new(task)
                .poll(cx)
                .map(|done| done.unwrap_or_else(|gone| Err(io::Error::other(gone)))),
        }
    }
}

fn write_on_thread(file: Arc<File>, bytes: Bytes, offset: u64) -> Pending {
    Pending::Thread(tokio::task::spawn_blocking(move || {
        file.write_all_at(&bytes, offset)
    }))
}
