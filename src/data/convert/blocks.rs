//! Where the bytes of a disk image come from that is read by its tables.

use std::{collections::BTreeMap, fs::File, io, os::unix::fs::FileExt, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::task::spawn_blocking;

use super::qcow2::Damage;
use crate::{
    base::limits::{CHUNK_BYTES, MIB},
    data::Source,
};

/// What is kept of a stream that has passed, for tables and clusters that are a little out of order.
const KEPT_BYTES_MAX: usize = 8 * MIB;

/// Reads a piece of an image.
#[async_trait]
pub trait Blocks: Send {
    /// So many bytes from `offset`; fewer only where the image ends.
    async fn read(&mut self, offset: u64, len: usize) -> io::Result<Bytes>;

    /// Nothing more is read: what is left is looked at by whoever looks at all of it.
    async fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file: any piece at any time.
#[derive(Clone, Debug)]
pub struct FileBlocks {
    file: Arc<File>,
}

impl FileBlocks {
    /// Of that file.
    pub fn new(file: File) -> Self {
        Self {
            file: Arc::new(file),
        }
    }
}

#[async_trait]
impl Blocks for FileBlocks {
    async fn read(&mut self, offset: u64, len: usize) -> io::Result<Bytes> {
        let file = self.file.clone();
        let work = move || {
            let mut bytes = vec![0; len];
            let mut filled = 0;
            while filled < len {
                match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(more) => filled += more,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            Ok(Bytes::from(bytes))
        };
        let read = spawn_blocking(work).await;
        read.expect("reading a file does not panic, and is not cancelled")
    }
}

/// A file from its first byte to its last.
#[derive(Debug)]
pub struct FileSource {
    blocks: FileBlocks,
    at: u64,
}

impl FileSource {
    /// Of that file.
    pub fn new(file: File) -> Self {
        Self {
            blocks: FileBlocks::new(file),
            at: 0,
        }
    }
}

#[async_trait]
impl Source for FileSource {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let bytes = self.blocks.read(self.at, CHUNK_BYTES).await?;
        self.at += bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}

/// A stream: pieces in the order in which they pass, or not long after. What `qemu-img convert`
/// writes is in that order.
#[derive(Debug)]
pub struct StreamBlocks<S> {
    source: S,
    /// Taken from the source, and not passed yet.
    next: Bytes,
    /// Bytes that have passed.
    at: u64,
    limit_bytes: u64,
    kept: BTreeMap<u64, Bytes>,
    kept_bytes: usize,
}

/// A piece was asked for that has long passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the clusters of the image are not in the order of its disk")]
pub struct OutOfOrder;

impl OutOfOrder {
    /// Whether this is what an error is about: the image can be read from a file.
    pub fn is_in(error: &io::Error) -> bool {
        let inner = error.get_ref();
        inner.is_some_and(|inner| inner.is::<Self>())
    }
}

impl<S: Source> StreamBlocks<S> {
    /// From the first byte of the source, which may have so many.
    pub fn new(source: S, limit_bytes: u64) -> Self {
        Self {
            source,
            next: Bytes::new(),
            at: 0,
            limit_bytes,
            kept: BTreeMap::new(),
            kept_bytes: 0,
        }
    }

    /// What is there of the piece that has passed.
    fn passed(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let before = self.kept.range(..=offset).next_back();
        let piece = before.and_then(|(start, piece)| {
            let skip = usize::try_from(offset - start).ok()?;
            (skip < piece.len()).then(|| piece.slice(skip..piece.len().min(skip + len)))
        });
        piece.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, OutOfOrder))
    }

    /// Lets at most so many bytes pass; none at the end.
    async fn pass(&mut self, len: u64) -> io::Result<Option<Bytes>> {
        while self.next.is_empty() {
            match self.source.next().await? {
                Some(bytes) => self.next = bytes,
                None => return Ok(None),
            }
        }
        if self.at >= self.limit_bytes {
            let error = io::Error::new(io::ErrorKind::InvalidData, Damage::TooLarge);
            return Err(error);
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let piece = self.next.split_to(len.min(self.next.len()));
        self.keep(piece.clone());
        Ok(Some(piece))
    }

    fn keep(&mut self, piece: Bytes) {
        let at = self.at;
        self.at += piece.len() as u64;
        self.kept_bytes += piece.len();
        self.kept.insert(at, piece);
        while self.kept_bytes > KEPT_BYTES_MAX
            && let Some((_, oldest)) = self.kept.pop_first()
        {
            self.kept_bytes -= oldest.len();
        }
    }
}

#[async_trait]
impl<S: Source> Blocks for StreamBlocks<S> {
    async fn read(&mut self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut found = BytesMut::with_capacity(len);
        while self.at < offset {
            if self.pass(offset - self.at).await?.is_none() {
                return Ok(Bytes::new());
            }
        }
        while found.len() < len {
            let (at, missing) = (offset + found.len() as u64, len - found.len());
            let piece = match at < self.at {
                true => Some(self.passed(at, missing)?),
                false => self.pass(missing as u64).await?,
            };
            match piece {
                Some(piece) => found.extend_from_slice(&piece),
                None => break,
            }
        }
        Ok(found.freeze())
    }

    async fn finish(&mut self) -> io::Result<()> {
        while self.pass(u64::MAX).await?.is_some() {}
        Ok(())
    }
}
