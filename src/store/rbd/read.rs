//! Reading an image: several objects ahead of the client, and no holes.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use fresnel_ceph::{Completion, Image, Pool};
use tokio::time::timeout;

use super::{Error, Failure, Result, connection::Link};
use crate::{
    base::limits::CHUNK_BYTES,
    buf::{Admission, AtRest, Buffer, Chunk, Claim},
    model::ByteRange,
    store::{Piece, Reader},
};

/// Objects that are read before they are asked for.
const AHEAD_MAX: usize = 6;
/// A shorter range is read without a look at the holes.
const MAPPED_BYTES_MIN: u64 = 4 * CHUNK_BYTES as u64;

/// What a hole is read as. It takes no memory: nobody ever writes these pages.
static ZEROES: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];

/// Reads a range of one image.
pub(in crate::store) struct RbdReader {
    link: Arc<Link>,
    url: String,
    image: Image,
    objects: Objects,
    memory: Admission,
    /// The first byte that nobody has asked for yet, and the end of the range.
    next: u64,
    end: u64,
    ahead: VecDeque<Ahead>,
    /// Read, and not handed out yet.
    ready: VecDeque<Bytes>,
}

/// A part of the range, in order.
enum Ahead {
    Data {
        len: usize,
        read: Completion<(Vec<Space>, usize)>,
    },
    Zeroes {
        len: u64,
    },
}

/// A buffer that is being read into.
struct Space {
    buffer: Buffer,
    len: usize,
}

impl AsMut<[u8]> for Space {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.spare_mut()[..self.len]
    }
}

/// Which objects of a range have data.
#[derive(Debug)]
struct Objects {
    object_bytes: u64,
    /// The first object of the range.
    first: u64,
    /// A bit for each object; none where it is not known.
    data: Option<Vec<u64>>,
}

impl RbdReader {
    /// Objects of `object_bytes` are read ahead; those of the image may have another size.
    pub(super) async fn open(
        link: Arc<Link>,
        url: &str,
        (image, snapshot): (String, Option<String>),
        object_bytes: u64,
        range: ByteRange,
        memory: Claim,
    ) -> Result<Self> {
        let open = move |pool: &Pool| {
            let image = pool.open_read_only(&image, snapshot.as_deref())?;
            let size = image.size_bytes()?;
            let objects = if range.end() <= size {
                Objects::find(&image, range, object_bytes)?
            } else {
                Objects::unknown(range, object_bytes)
            };
            Ok((image, size, objects))
        };
        let opened = link.call(link.patience, open).await;
        let (image, size, objects) = opened.map_err(|failure| link.outcome(url, failure))?;
        if size < range.end() {
            return Err(Error::Corrupt(url.to_owned()));
        }
        Ok(Self {
            link,
            url: url.to_owned(),
            image,
            objects,
            memory: memory.admit().await.map_err(|_| Error::NoBuffers)?,
            next: range.offset,
            end: range.end(),
            ahead: VecDeque::new(),
            ready: VecDeque::new(),
        })
    }

    /// Asks for more, as far as there are buffers that nobody else waits for. Waits for one only
    /// when nothing is on its way.
    async fn read_ahead(&mut self) {
        while self.next < self.end && self.ahead.len() < AHEAD_MAX {
            let part = self.objects.part(self.next, self.end);
            if part.is_hole {
                self.next += part.len;
                self.ahead.push_back(Ahead::Zeroes { len: part.len });
                continue;
            }
            let idle = self.ahead.is_empty() && self.ready.is_empty();
            let first = match self.memory.try_buffer() {
                Some(buffer) => buffer,
                None if idle => self.memory.buffer().await,
                None => return,
            };
            let spaces = self.spaces(first, part.len);
            let len = spaces.iter().map(|space| space.len).sum();
            let read = self.image.read_at(self.next, spaces);
            self.next += len as u64;
            self.ahead.push_back(Ahead::Data { len, read });
        }
    }

    /// Buffers for as much of `len` as there are.
    fn spaces(&self, first: Buffer, len: u64) -> Vec<Space> {
        let mut left = usize::try_from(len).unwrap_or(usize::MAX);
        let mut spaces = Vec::new();
        let mut buffer = Some(first);
        while let Some(free) = buffer.take() {
            let len = left.min(CHUNK_BYTES);
            spaces.push(Space { buffer: free, len });
            left -= len;
            if left > 0 {
                buffer = self.memory.try_buffer();
            }
        }
        spaces
    }

    /// Hands out the next part of what is ahead.
    async fn take_in(&mut self) -> Result<()> {
        let patience = self.link.patience;
        match self.ahead.front_mut() {
            None => {}
            Some(Ahead::Zeroes { len }) => {
                let piece = (*len).min(CHUNK_BYTES as u64);
                *len -= piece;
                if *len == 0 {
                    self.ahead.pop_front();
                }
                let piece = Bytes::from_static(&ZEROES).slice(..piece as usize);
                self.ready.push_back(piece);
            }
            Some(Ahead::Data { len, read }) => {
                let len = *len;
                let done = timeout(patience, read).await;
                self.ahead.pop_front();
                let failed = |failure| self.link.outcome(&self.url, failure);
                let done = done.map_err(|_| failed(Failure::TooLong))?;
                let done = match done {
                    Ok(done) => done,
                    Err(error) => {
                        self.link.heard(self.image.pool(), &error).await;
                        return Err(failed(Failure::Failed(error)));
                    }
                };
                let (spaces, read) = done;
                if read != len {
                    return Err(Error::Corrupt(self.url.clone()));
                }
                let pieces = spaces.into_iter().map(|space| {
                    let Space { mut buffer, len } = space;
                    buffer.advance(len);
                    buffer.freeze::<AtRest>().into_bytes()
                });
                self.ready.extend(pieces);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Reader for RbdReader {
    async fn next(&mut self) -> Result<Option<Piece>> {
        self.read_ahead().await;
        if self.ready.is_empty() {
            self.take_in().await?;
        }
        let piece = self.ready.pop_front();
        Ok(piece.map(|bytes| Piece::Bytes(Chunk::new(bytes))))
    }
}

/// A part of a range within which all is data or all is hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    len: u64,
    is_hole: bool,
}

impl Objects {
    /// Asks which objects there are, where that costs nothing. Blocks.
    fn find(image: &Image, range: ByteRange, object_bytes: u64) -> fresnel_ceph::Result<Self> {
        let mut objects = Self::unknown(range, object_bytes);
        if range.len < MAPPED_BYTES_MIN || !image.knows_its_objects()? {
            return Ok(objects);
        }
        let count = range.end().div_ceil(object_bytes) - objects.first;
        let mut data = vec![0_u64; (count as usize).div_ceil(64)];
        image.data_extents(range.offset, range.len, |offset, len| {
            let first = (offset / object_bytes).max(objects.first);
            let end = (offset + len).div_ceil(object_bytes);
            for object in first..end.min(objects.first + count) {
                let bit = object - objects.first;
                data[bit as usize / 64] |= 1 << (bit % 64);
            }
        })?;
        objects.data = Some(data);
        Ok(objects)
    }

    fn unknown(range: ByteRange, object_bytes: u64) -> Self {
        Self {
            object_bytes,
            first: range.offset / object_bytes,
            data: None,
        }
    }

    fn is_hole(&self, object: u64) -> bool {
        let bit = object - self.first;
        self.data
            .as_ref()
            .is_some_and(|data| data[bit as usize / 64] & (1 << (bit % 64)) == 0)
    }

    /// What lies at `offset`, at most up to `end`: the rest of an object, or all of a hole.
    fn part(&self, offset: u64, end: u64) -> Part {
        let mut object = offset / self.object_bytes;
        let is_hole = self.is_hole(object);
        object += 1;
        while is_hole && object * self.object_bytes < end && self.is_hole(object) {
            object += 1;
        }
        Part {
            len: (object * self.object_bytes).min(end) - offset,
            is_hole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(objects: &Objects, range: ByteRange) -> Vec<(u64, bool)> {
        let (mut at, mut parts) = (range.offset, Vec::new());
        while at < range.end() {
            let part = objects.part(at, range.end());
            parts.push((part.len, part.is_hole));
            at += part.len;
        }
        parts
    }

    #[test]
    fn a_range_is_cut_at_objects_and_holes_are_whole() {
        let range = ByteRange {
            offset: 15,
            len: 60,
        };
        let mut objects = Objects::unknown(range, 10);
        assert_eq!(
            parts(&objects, range),
            [
                (5, false),
                (10, false),
                (10, false),
                (10, false),
                (10, false),
                (10, false),
                (5, false)
            ]
        );
        // Objects 1 to 7; data in 1, 4 and 5.
        objects.data = Some(vec![0b001_1001]);
        assert_eq!(
            parts(&objects, range),
            [(5, false), (20, true), (10, false), (10, false), (15, true)]
        );
    }
}
