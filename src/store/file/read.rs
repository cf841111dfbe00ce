//! Reading an object: pieces of an open file, brought into the page cache first.
//!
//! The socket layer sends a piece without reading it, and a page that has to come from a disk
//! would stop it, and with it every connection of its thread. So a piece is handed out when its
//! pages are there, and while it is sent, the next is fetched on a thread that may wait. Who reads the pieces himself
//! is spared that: it would read them twice.

use std::{fs::File, io, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use rustix::{fs::Advice, io::Errno};
use tokio::task::JoinHandle;

use super::{Error, Result, Shared};
use crate::{
    base::limits::MIB,
    model::ByteRange,
    store::{Piece, Reader},
};

/// The bytes of one piece: what a reader may fetch ahead of what is sent.
const WINDOW_BYTES: u64 = 4 * MIB as u64;

/// Reads a range of one file.
#[derive(Debug)]
pub(super) struct FileReader {
    shared: Arc<Shared>,
    path: PathBuf,
    file: Arc<File>,
    /// What has not been handed out.
    rest: ByteRange,
    /// Fetches the next piece.
    ahead: Option<JoinHandle<io::Result<()>>>,
    /// By whoever takes it.
    is_read: bool,
}

impl FileReader {
    /// Opens the file. Blocks.
    pub(super) fn open(shared: Arc<Shared>, path: PathBuf, range: ByteRange) -> Result<Self> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| shared.outcome(&path, error))?;
        if !metadata.is_file() || metadata.len() < range.end() {
            return Err(Error::Corrupt(super::text(&path)));
        }
        // The kernel reads ahead of a sequential reader in large folios. Told "will need" instead it
        // takes single pages, and every sendfile of them then costs twice the CPU time.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
        Ok(Self {
            shared,
            path,
            file: Arc::new(file),
            rest: range,
            ahead: None,
            is_read: false,
        })
    }

    /// The first window of what is left; windows end at multiples of their size.
    fn window(&self) -> ByteRange {
        let offset = self.rest.offset;
        let to_boundary = WINDOW_BYTES - offset % WINDOW_BYTES;
        ByteRange {
            offset,
            len: self.rest.len.min(to_boundary),
        }
    }

    fn is_to_fetch(&self, window: ByteRange) -> bool {
        !self.is_read && !is_cached(&self.file, window)
    }

    fn fetch(&self, window: ByteRange) -> JoinHandle<io::Result<()>> {
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || fetch(&file, window))
    }
}

#[async_trait]
impl Reader for FileReader {
    async fn next(&mut self) -> Result<Option<Piece>> {
        let window = self.window();
        if window.len == 0 {
            return Ok(None);
        }
        if self.ahead.is_none() && self.is_to_fetch(window) {
            self.ahead = Some(self.fetch(window));
        }
        if let Some(task) = &mut self.ahead {
            let fetched = task.await.expect("fetching does not panic");
            self.ahead = None;
            fetched.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::Corrupt(super::text(&self.path)),
                _ => self.shared.outcome(&self.path, error),
            })?;
        }
        self.rest.offset += window.len;
        self.rest.len -= window.len;
        let next = self.window();
        if next.len > 0 && self.is_to_fetch(next) {
            self.ahead = Some(self.fetch(next));
        }
        Ok(Some(Piece::File {
            file: self.file.clone(),
            offset: window.offset,
            len: window.len,
        }))
    }

    fn will_read(&mut self) {
        self.is_read = true;
    }
}

/// Whether a piece is in the page cache. Does not wait.
fn is_cached(file: &File, window: ByteRange) -> bool {
    fresnel_ring::is_cached(file, window.offset, window.len)
}

/// Brings a piece into the page cache. Blocks.
fn fetch(file: &File, window: ByteRange) -> io::Result<()> {
    // Sent to nowhere: that waits for each page and copies none. Reading them costs twice as much
    // CPU time (0.52 against 0.27 seconds for a GiB).
    let nowhere = File::options().write(true).open("/dev/null")?;
    let mut offset = window.offset;
    while offset < window.end() {
        let rest = (window.end() - offset) as usize;
        match rustix::fs::sendfile(&nowhere, file, Some(&mut offset), rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            // Such a filesystem has no page cache to send from: whoever needs bytes will read.
            Err(Errno::INVAL) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
