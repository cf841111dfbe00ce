//! How file windows travel through hyper unread.
//!
//! hyper asks a body for frames of any [`Buf`] type, queues them, and offers the queue as
//! [`IoSlice`]s to the connection's vectored write. A file window offers a slice of
//! [`PLACEHOLDER`], memory that is never touched; the connection's [`Io`](super::io::Io) knows the
//! address and calls `sendfile(2)` with the file of the [`Window`] whose turn it is. What hyper does
//! besides (lengths, partial writes, back-pressure, HEAD, pipelining, keep-alive) stays hyper's.
//!
//! Nothing can read a window by mistake: [`Buf::chunk`], which every copying path calls, refuses.

use std::{collections::VecDeque, fs::File, io::IoSlice, sync::Arc, sync::LazyLock};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;

use crate::base::limits::MIB;

/// The most that one `sendfile` call is asked for, as nginx's `sendfile_max_chunk`. From the page
/// cache 2 MiB take the calling thread about 0.2 ms; cold ones take as long as the disk does.
pub(super) const SENDFILE_BYTES: usize = 2 * MIB;

/// Stands in for the bytes of a file. Zeroed by the kernel on first touch, so it costs nothing.
static PLACEHOLDER: LazyLock<Box<[u8]>> =
    LazyLock::new(|| vec![0; SENDFILE_BYTES].into_boxed_slice());

/// Bytes on their way to a socket.
#[derive(Debug)]
pub(super) enum Segment {
    /// In memory.
    Bytes(Bytes),
    /// The unsent rest of the window that is in the connection's [`Windows`] at the same place
    /// in order.
    File {
        /// Bytes.
        left: usize,
    },
}

/// Whether a slice of hyper's stands for file bytes.
pub(super) fn is_placeholder(slice: &IoSlice<'_>) -> bool {
    std::ptr::eq(slice.as_ptr(), PLACEHOLDER.as_ptr())
}

impl Buf for Segment {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File { left } => *left,
        }
    }

    /// # Panics
    /// For a file window with bytes left: they are not in memory. hyper calls this only where it
    /// flattens its queue, which it does not over a vectored transport.
    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::File { left: 0 } => &[],
            Self::File { .. } => unreachable!("a file window is sent, never read"),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let bytes = match self {
            Self::Bytes(bytes) => &bytes[..],
            Self::File { left } => &PLACEHOLDER[..(*left).min(SENDFILE_BYTES)],
        };
        match slices.first_mut() {
            Some(first) if !bytes.is_empty() => {
                *first = IoSlice::new(bytes);
                1
            }
            _ => 0,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::File { left } => {
                *left = left
                    .checked_sub(count)
                    .expect("hyper advances over what was sent, which is at most what it offered");
            }
        }
    }
}

/// Part of a file that is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// The file.
    pub(super) file: Arc<File>,
    /// Its next unsent byte.
    pub(super) offset: u64,
    /// Unsent bytes.
    pub(super) left: usize,
}

/// The file windows that a connection owes, oldest first. Bodies push, the socket pops; hyper keeps
/// the order between them.
#[derive(Debug, Default)]
pub(super) struct Windows(Mutex<VecDeque<Window>>);

impl Windows {
    /// Promises a window, and gives its stand-in for hyper's queue.
    pub(super) fn push(&self, window: Window) -> Segment {
        let left = window.left;
        self.0.lock().push_back(window);
        Segment::File { left }
    }

    /// The window that a placeholder of `len` stands for; `None` if they are out of step, which
    /// would be a fault in this module.
    pub(super) fn front(&self, len: usize) -> Option<Window> {
        let front = self.0.lock().front().cloned()?;
        (front.left.min(SENDFILE_BYTES) == len).then_some(front)
    }

    /// Counts `sent` bytes off the oldest window.
    pub(super) fn advance(&self, sent: usize) {
        let mut windows = self.0.lock();
        let front = windows.front_mut().expect("its bytes were just sent");
        front.offset += sent as u64;
        front.left -= sent;
        if front.left == 0 {
            windows.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(windows: &Windows, left: usize) -> Segment {
        let file = Arc::new(File::open("/dev/null").unwrap());
        windows.push(Window {
            file,
            offset: 100,
            left,
        })
    }

    fn offered(segment: &Segment) -> usize {
        let mut slices = [IoSlice::new(&[])];
        assert_eq!(segment.chunks_vectored(&mut slices), 1);
        assert!(is_placeholder(&slices[0]));
        slices[0].len()
    }

    #[test]
    #[should_panic(expected = "never read")]
    fn a_file_window_cannot_be_read() {
        promise(&Windows::default(), 10).copy_to_bytes(10);
    }

    #[test]
    fn the_queue_and_the_windows_keep_step() {
        let windows = Windows::default();
        let mut first = promise(&windows, SENDFILE_BYTES + 5);
        let second = promise(&windows, 7);
        assert_eq!(offered(&first), SENDFILE_BYTES);
        for sent in [SENDFILE_BYTES - 1, 6] {
            assert!(windows.front(offered(&first)).is_some());
            windows.advance(sent);
            first.advance(sent);
        }
        assert!(!first.has_remaining());
        assert_eq!(windows.front(offered(&second)).unwrap().offset, 100);
        assert!(windows.front(8).is_none());
    }

    #[test]
    fn memory_is_offered_as_it_is() {
        let segment = Segment::Bytes("hello".into());
        let mut slices = [IoSlice::new(&[])];
        assert_eq!(segment.chunks_vectored(&mut slices), 1);
        assert_eq!(
            (&*slices[0], is_placeholder(&slices[0])),
            (&b"hello"[..], false)
        );
    }
}
