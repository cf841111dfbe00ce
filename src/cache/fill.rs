//! Fetched bytes on their way into an entry.

use std::{collections::VecDeque, io, ops::Range, sync::Arc};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    chunk_of, chunk_range,
    entry::{Begin, Entry},
    pace::Pace,
};
use crate::model::ByteRange;

/// The right and the duty to fetch chunks that nobody has. Whoever drops it gives back what is not
/// filled, and others take over.
#[derive(Debug)]
pub struct Fill {
    entry: Arc<Entry>,
    id: u64,
    chunks: Range<u32>,
    /// The next byte that is expected.
    at: u64,
    /// Passes over chunks that are there: its bytes cannot begin elsewhere.
    skips: bool,
    /// The chunk at hand, if it is ours to write.
    writing: Option<(u32, Box<blake3::Hasher>)>,
    _permit: OwnedSemaphorePermit,
}

/// How a fill goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// With more bytes.
    More,
    /// Nothing is missing any more, or nobody reads the image.
    Done,
}

impl Fill {
    pub(super) fn new(
        entry: Arc<Entry>,
        id: u64,
        chunks: Range<u32>,
        skips: bool,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let at = chunk_range(chunks.start, entry.size_bytes).offset;
        Self {
            entry,
            id,
            chunks,
            at,
            skips,
            writing: None,
            _permit: permit,
        }
    }

    /// What is to be fetched: whole chunks.
    pub fn range(&self) -> ByteRange {
        let end = chunk_range(self.chunks.end - 1, self.entry.size_bytes).end();
        ByteRange {
            offset: self.at,
            len: end - self.at,
        }
    }

    /// How fast it may be fetched.
    pub fn pace(&self) -> Pace {
        Pace::new(self.entry.clone())
    }

    /// Writes the next bytes; readers have them when this returns. Blocks.
    ///
    /// # Errors
    /// When the disk does not take them: the fill is over, and so is every other of the image for a
    /// while.
    pub fn write(&mut self, bytes: &[Bytes]) -> io::Result<Flow> {
        let pieces = bytes.iter().map(|bytes| &bytes[..]);
        let mut rest: VecDeque<&[u8]> = pieces.filter(|piece| !piece.is_empty()).collect();
        let mut written = Ok(Flow::More);
        while !rest.is_empty() && matches!(written, Ok(Flow::More)) {
            written = self.write_some(&mut rest);
        }
        if let Some((chunk, _)) = self.writing {
            self.entry.wrote(chunk, self.at);
        }
        if written.is_err() {
            self.entry.refuse();
        }
        self.entry.changed.notify_waiters();
        written
    }

    /// Writes what is of the chunk at hand.
    fn write_some(&mut self, rest: &mut VecDeque<&[u8]>) -> io::Result<Flow> {
        if self.range().len == 0 {
            return Err(io::Error::other("the origin gave more than was asked"));
        }
        let chunk = chunk_of(self.at);
        let range = chunk_range(chunk, self.entry.size_bytes);
        if self.at == range.offset && self.begin(chunk)? == Flow::Done {
            return Ok(Flow::Done);
        }
        let now = take(rest, range.end() - self.at);
        if let Some((_, hasher)) = &mut self.writing {
            // First: what is hashed is near the processor when it is copied to the page cache.
            for bytes in &now {
                hasher.update(bytes);
            }
            self.entry.files.write(&now, self.at)?;
        }
        self.at += now.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        if self.at == range.end()
            && let Some((chunk, hasher)) = self.writing.take()
        {
            let digest = *hasher.finalize().as_bytes();
            self.entry.filled(self.id, chunk, digest);
        }
        Ok(match self.range().len {
            0 if rest.is_empty() => Flow::Done,
            _ => Flow::More,
        })
    }

    /// At the beginning of a chunk: whether it is ours, and whether anybody wants it.
    fn begin(&mut self, chunk: u32) -> io::Result<Flow> {
        if self.is_unwanted(chunk) {
            return Ok(Flow::Done);
        }
        match self.entry.begin(self.id, chunk)? {
            Begin::Begun => self.writing = Some((chunk, Box::default())),
            Begin::Taken if self.skips => {}
            Begin::Taken | Begin::Closed => return Ok(Flow::Done),
        }
        Ok(Flow::More)
    }

    /// Nobody reads the image, and most of the fill is still to come.
    fn is_unwanted(&self, chunk: u32) -> bool {
        let done = chunk - self.chunks.start;
        let is_read = self
            .entry
            .readers
            .load(std::sync::atomic::Ordering::Relaxed)
            > 0;
        !is_read && 2 * done < self.chunks.end - self.chunks.start
    }
}

/// The first bytes, at most so many.
fn take<'a>(rest: &mut VecDeque<&'a [u8]>, mut len: u64) -> Vec<&'a [u8]> {
    let mut taken = Vec::new();
    while len > 0
        && let Some(first) = rest.pop_front()
    {
        let most = usize::try_from(len).unwrap_or(usize::MAX);
        let (now, later) = first.split_at(first.len().min(most));
        if !later.is_empty() {
            rest.push_front(later);
        }
        len -= now.len() as u64;
        taken.push(now);
    }
    taken
}

impl Drop for Fill {
    fn drop(&mut self) {
        let writing = self.writing.take().map(|(chunk, _)| chunk);
        self.entry.give_up(self.id, writing);
        if let Some(shared) = self.entry.shared.upgrade() {
            shared.traffic.end(&self.entry);
        }
    }
}
