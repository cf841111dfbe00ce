//! The ring's thread: takes writes from the queue, gives them to the kernel, and tells how they
//! ended.

use std::{
    fs::File,
    io, mem,
    os::fd::AsRawFd,
    sync::{Arc, mpsc::sync_channel},
    thread,
};

use bytes::Bytes;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use tokio::sync::mpsc::{Receiver, error::TryRecvError};

use crate::Write;

/// Entries of the submission queue.
const ENTRIES: u32 = 64;
/// Writes that the kernel works on at once. One entry is left for the wake-up.
const FLIGHTS_MAX: usize = ENTRIES as usize - 1;
/// The token of the wake-up; the others are indices of flights.
const WAKE: u64 = u64::MAX;
/// The kernel writes no more at once.
const WRITE_BYTES_MAX: usize = 1 << 30;

/// Starts the thread, and waits until it has its ring or the reason why not.
pub(crate) fn start(writes: Receiver<Write>, wake: Arc<File>) -> io::Result<()> {
    let (report, started) = sync_channel(1);
    // The ring is made on the thread that uses it: it takes submissions from no other.
    let work = move || match new_ring() {
        Ok(ring) => {
            let _ = report.send(Ok(()));
            Worker::new(ring, writes, wake).run();
        }
        Err(error) => {
            let _ = report.send(Err(error));
        }
    };
    thread::Builder::new()
        .name("file-ring".to_owned())
        .spawn(work)?;
    started
        .recv()
        .unwrap_or_else(|gone| Err(io::Error::other(gone)))
}

fn new_ring() -> io::Result<IoUring> {
    // Completions are handled when the thread asks for them, and interrupt nothing (Linux 6.1).
    let quiet = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(ENTRIES);
    quiet.or_else(|_| IoUring::new(ENTRIES))
}

struct Worker {
    ring: IoUring,
    writes: Receiver<Write>,
    wake: Arc<File>,
    flights: Vec<Option<Flight>>,
    /// Indices of `flights` that are none.
    free: Vec<usize>,
    /// No more writes will come.
    closed: bool,
}

/// A write that the kernel works on.
struct Flight {
    write: Write,
    written: usize,
}

impl Worker {
    fn new(ring: IoUring, writes: Receiver<Write>, wake: Arc<File>) -> Self {
        Self {
            ring,
            writes,
            wake,
            flights: (0..FLIGHTS_MAX).map(|_| None).collect(),
            free: (0..FLIGHTS_MAX).collect(),
            closed: false,
        }
    }

    fn run(&mut self) {
        self.push_wake();
        loop {
            self.take_writes();
            if self.closed && self.free.len() == FLIGHTS_MAX {
                return;
            }
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                // What is in flight is told so by drop.
                Err(_) => return,
            }
            self.take_completions();
        }
    }

    fn take_writes(&mut self) {
        while let Some(index) = self.free.pop() {
            match self.writes.try_recv() {
                Ok(write) => {
                    self.flights[index] = Some(Flight { write, written: 0 });
                    self.advance(index, Ok(0));
                    continue;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => self.closed = true,
            }
            self.free.push(index);
            return;
        }
    }

    fn take_completions(&mut self) {
        let completions: Vec<cqueue::Entry> = self.ring.completion().collect();
        for completion in completions {
            match completion.user_data() {
                WAKE if cqueue::more(completion.flags()) => {}
                WAKE => self.push_wake(),
                index => {
                    let result = match completion.result() {
                        errno if errno < 0 => Err(io::Error::from_raw_os_error(-errno)),
                        written => Ok(written as usize),
                    };
                    self.advance(index as usize, result);
                }
            }
        }
    }

    /// Counts what a flight has written, and submits its rest or ends it.
    fn advance(&mut self, index: usize, result: io::Result<usize>) {
        let flight = self.flights[index]
            .as_mut()
            .expect("a flight stays until its completion");
        let begun = flight.written > 0 || !matches!(result, Ok(0));
        let ended = match result {
            Err(error) if is_passing(&error) => None,
            Err(error) => Some(Err(error)),
            Ok(0) if begun && !flight.is_complete() => Some(Err(io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                flight.written += written;
                flight.is_complete().then_some(Ok(()))
            }
        };
        match ended {
            None => self.push_write(index),
            Some(result) => {
                let flight = self.flights[index].take().expect("looked at above");
                self.free.push(index);
                // Nobody may be waiting any more.
                let _ = flight.write.done.send(result);
            }
        }
    }

    fn push_write(&mut self, index: usize) {
        let flight = self.flights[index]
            .as_ref()
            .expect("only a flight is pushed");
        let rest = &flight.write.bytes[flight.written..];
        let entry = opcode::Write::new(
            types::Fd(flight.write.file.as_raw_fd()),
            rest.as_ptr(),
            rest.len().min(WRITE_BYTES_MAX) as u32,
        )
        .offset(flight.write.offset + flight.written as u64)
        .build()
        .user_data(index as u64);
        self.push(&entry);
    }

    /// One request for many wake-ups.
    fn push_wake(&mut self) {
        let entry = opcode::PollAdd::new(types::Fd(self.wake.as_raw_fd()), libc::POLLIN as u32)
            .multi(true)
            .build()
            .user_data(WAKE);
        self.push(&entry);
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: a write's bytes are immutable, do not move and live, with its file, in
        // `flights` until the completion with its index is seen; `drop` keeps them for ever if
        // it is not. A wake-up points to no memory.
        unsafe { self.ring.submission().push(entry) }
            .expect("there are fewer flights than entries");
    }
}

impl Flight {
    fn is_complete(&self) -> bool {
        self.written == self.write.bytes.len()
    }
}

impl Drop for Worker {
    /// After a failure of the ring itself, the kernel may still work on what was submitted: its
    /// memory is given up, and who waits for it hears that the ring has stopped.
    fn drop(&mut self) {
        for flight in self.flights.drain(..).flatten() {
            let kept: (Arc<File>, Bytes) = (flight.write.file, flight.write.bytes);
            mem::forget(kept);
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
    )
}
