//! What is in a stored container: the sectors that a range touches are read and decrypted, a few chunks
//! ahead of whoever takes them.

use std::{collections::VecDeque, fs::File, io, os::unix::fs::FileExt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};
use zeroize::Zeroizing;

use super::{Direction, Header, Refusal, START_BYTES, Vault, Volume};
use crate::{
    base::{limits::CHUNK_BYTES, secret::Passphrase},
    buf::{Admission, Buffer, Chunk},
    cache::{Cache, Key},
    data::{
        Error, Plane, ReadPlan, Result,
        egress::{self, Egress},
        from_stores::of_store,
    },
    model::{ByteRange, RangeRequest, StoreId},
    store::{self, Piece, Reader},
};

/// Chunks that are being decrypted or wait to be taken.
const AHEAD_CHUNKS: usize = 3;

/// A stored container, wherever its bytes are had.
#[async_trait]
pub(super) trait Sealed: Sync {
    /// Opens a range of its bytes.
    ///
    /// # Errors
    /// Those of [`egress::open`]; [`Error::Locked`] where it is shorter and that is known.
    async fn open(&self, range: ByteRange) -> Result<Egress>;
}

/// A container that is an image's data, and how its bytes are had.
#[derive(Clone, Copy)]
pub struct Container<'a> {
    /// What moves them.
    pub plane: &'a Arc<Plane>,
    /// Where they are; its range does not matter.
    pub plan: &'a ReadPlan,
    /// Through what they are read.
    pub cache: Option<(&'a Cache, &'a Key)>,
    /// All of them.
    pub size_bytes: u64,
}

/// An open download of plain bytes.
pub struct Opened {
    /// The bytes.
    pub egress: Egress,
    /// Which of them.
    pub range: ByteRange,
    /// All that are in the container.
    pub size_bytes: u64,
}

impl Container<'_> {
    /// Unlocks the container and opens a range of what is in it. `plain_bytes` says how many of the last
    /// sector's bytes count; a number that cannot be true is none.
    ///
    /// # Errors
    /// [`Error::Locked`] when it cannot be unlocked, [`Error::Range`], and those of [`egress::open`].
    pub async fn open(
        self,
        passphrase: &Passphrase,
        plain_bytes: Option<u64>,
        asked: RangeRequest,
    ) -> Result<Opened> {
        let volume = unlock(&self, &self.plane.vault, passphrase).await?;
        let payload = &volume.payload;
        let sector_bytes = payload.sector_bytes as u64;
        let held = payload.bytes_in(self.size_bytes).map_err(Error::Locked)?;
        let could_be = |bytes: &u64| *bytes <= held && held - *bytes < sector_bytes;
        let size_bytes = plain_bytes.filter(could_be).unwrap_or(held);
        let range = asked.resolve(size_bytes).map_err(Error::Range)?;
        // Before those of the reader below: nobody waits for these with others in hand.
        let wait = self.plane.settings.admission_wait;
        let memory = self.plane.pool.admit_decryption(wait).await;
        let memory = memory.map_err(|_| Error::Busy)?;
        let reader = Decrypting::open(&self, volume, memory, range).await?;
        let store = reader.store.clone();
        Ok(Opened {
            egress: Egress::new(Box::new(reader), store, range.len),
            range,
            size_bytes,
        })
    }

    /// Opens the plan's range of the container itself.
    ///
    /// # Errors
    /// Those of [`egress::open`].
    pub async fn sealed(self) -> Result<Egress> {
        self.bytes(self.plan.range).await
    }

    async fn bytes(self, range: ByteRange) -> Result<Egress> {
        let plan = ReadPlan {
            range,
            ..self.plan.clone()
        };
        match self.cache {
            Some((cache, key)) => {
                egress::open_through(self.plane, cache, &plan, key, self.size_bytes).await
            }
            None => egress::open(self.plane, &plan).await,
        }
    }
}

#[async_trait]
impl Sealed for Container<'_> {
    async fn open(&self, range: ByteRange) -> Result<Egress> {
        if range.end() > self.size_bytes {
            return Err(Error::Locked(Refusal::NoContainer));
        }
        self.bytes(range).await
    }
}

/// The volume of a stored container, by its passphrase.
///
/// # Errors
/// [`Error::Locked`] when it cannot be unlocked, [`Error::Busy`] where too many derive keys, and those of its bytes.
pub(super) async fn unlock(
    stored: &dyn Sealed,
    vault: &Vault,
    passphrase: &Passphrase,
) -> Result<Arc<Volume>> {
    let mut bytes = read(stored, 0, START_BYTES).await?;
    let len = Header::len(&bytes).map_err(Error::Locked)?;
    if len > bytes.len() {
        bytes = read(stored, 0, len).await?;
    }
    let lock = vault.lock(&[&bytes], passphrase);
    if let Some(Some(volume)) = vault.known(lock) {
        return Ok(volume);
    }
    let header = Header::parse(&bytes).map_err(Error::Locked)?;
    let header = Arc::new(header);
    let mut refusal = Refusal::WrongKey;
    for (number, slot) in header.slots.iter().enumerate() {
        let turn = match vault.turn(&header, number).await {
            Ok(turn) => turn,
            Err(Error::Locked(untried)) => {
                refusal = untried;
                continue;
            }
            Err(busy) => return Err(busy),
        };
        // Somebody else may have unlocked it while we waited.
        if let Some(Some(volume)) = vault.known(lock) {
            return Ok(volume);
        }
        // Only now: nobody holds an area while he waits.
        let area = read(stored, slot.area.offset, slot.area.len as usize).await?;
        let area = Zeroizing::new(area);
        let of_slot = vault.lock(&[&bytes, &number.to_le_bytes(), &area], passphrase);
        if vault.known(of_slot).is_some() {
            continue;
        }
        match vault.open(turn, &header, number, passphrase, area).await {
            Ok(Some(volume)) => {
                let volume = Arc::new(volume);
                vault.keep(lock, Some(volume.clone()));
                return Ok(volume);
            }
            Ok(None) => vault.keep(of_slot, None),
            Err(untried) => refusal = untried,
        }
    }
    Err(Error::Locked(refusal))
}

/// A few bytes: part of a header.
async fn read(stored: &dyn Sealed, offset: u64, len: usize) -> Result<Vec<u8>> {
    let range = ByteRange {
        offset,
        len: len as u64,
    };
    let mut egress = stored.open(range).await?;
    let mut parts = Vec::new();
    while let Some(piece) = egress.next().await? {
        parts.push(piece.into());
    }
    let mut bytes = vec![0; len];
    let read = spawn_blocking(move || {
        gather(&parts, &mut bytes)?;
        Ok(bytes)
    });
    let read = read.await.expect("reading does not panic");
    read.map_err(|source| of_disk(egress.store(), source).into())
}

fn of_disk(store: &StoreId, source: io::Error) -> store::Error {
    store::Error::Backend {
        store: store.clone(),
        source,
    }
}

/// Some bytes of the container.
enum Part {
    Bytes(Bytes),
    File(Arc<File>, ByteRange),
}

impl From<Piece> for Part {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Bytes(chunk) => Self::Bytes(chunk.into_bytes()),
            Piece::File { file, offset, len } => Self::File(file, ByteRange { offset, len }),
        }
    }
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, range) => range.len,
        }
    }

    /// The first `len` of them, which are not all.
    fn split_to(&mut self, len: u64) -> Self {
        match self {
            Self::Bytes(bytes) => {
                let len = usize::try_from(len).expect("less than is in memory");
                Self::Bytes(bytes.split_to(len))
            }
            Self::File(file, range) => {
                let first = ByteRange {
                    offset: range.offset,
                    len,
                };
                range.offset += len;
                range.len -= len;
                Self::File(file.clone(), first)
            }
        }
    }
}

/// Puts parts together, which are as long as `to`.
fn gather(parts: &[Part], to: &mut [u8]) -> io::Result<()> {
    let mut to = to;
    for part in parts {
        let len = usize::try_from(part.len()).map_err(io::Error::other)?;
        let (here, rest) = to.split_at_mut(len);
        match part {
            Part::Bytes(bytes) => here.copy_from_slice(bytes),
            Part::File(file, range) => file.read_exact_at(here, range.offset)?,
        }
        to = rest;
    }
    Ok(())
}

/// Reads whole sectors, gives the bytes of a range.
pub(super) struct Decrypting {
    inner: Egress,
    store: StoreId,
    memory: Admission,
    /// What did not fit into the chunk before.
    part: Option<Part>,
    volume: Arc<Volume>,
    /// Of the next sector, in the payload.
    place: u64,
    left_sealed_bytes: u64,
    /// Of the first sector, before the range.
    skip_bytes: u64,
    left_bytes: u64,
    ahead: VecDeque<JoinHandle<io::Result<Buffer>>>,
}

#[async_trait]
impl Reader for Decrypting {
    async fn next(&mut self) -> store::Result<Option<Piece>> {
        let mut begun_now = false;
        // What is finished waits for nothing but one chunk whose bytes are at hand already.
        while self.left_sealed_bytes > 0
            && self.ahead.len() < AHEAD_CHUNKS
            && (self.ahead.front().is_none_or(|first| !first.is_finished())
                || (self.part.is_some() && !begun_now))
        {
            let buffer = match self.memory.try_buffer() {
                Some(buffer) => buffer,
                // What was given before comes back; nothing here is kept from it.
                None if self.ahead.is_empty() => self.memory.buffer().await,
                None => break,
            };
            let begun = self.begin(buffer).await?;
            self.ahead.push_back(begun);
            begun_now = true;
        }
        let Some(first) = self.ahead.pop_front() else {
            return Ok(None);
        };
        let buffer = first.await.expect("decrypting does not panic");
        let buffer = buffer.map_err(|source| of_disk(&self.store, source))?;
        let mut bytes = buffer.freeze::<()>().into_bytes();
        let skip = std::mem::take(&mut self.skip_bytes).min(bytes.len() as u64);
        drop(bytes.split_to(skip as usize));
        let len = self.left_bytes.min(bytes.len() as u64);
        bytes.truncate(len as usize);
        self.left_bytes -= len;
        Ok(Some(Piece::Bytes(Chunk::new(bytes))))
    }
}

impl Decrypting {
    /// Opens a range of what is in a container, to be decrypted in buffers of `memory`.
    ///
    /// # Errors
    /// Those of its bytes.
    pub(super) async fn open(
        stored: &dyn Sealed,
        volume: Arc<Volume>,
        memory: Admission,
        range: ByteRange,
    ) -> Result<Self> {
        let payload = volume.payload;
        let sector_bytes = payload.sector_bytes as u64;
        let first = range.offset - range.offset % sector_bytes;
        let sealed = ByteRange {
            offset: payload.offset_bytes + first,
            len: range.end().next_multiple_of(sector_bytes) - first,
        };
        let inner = stored.open(sealed).await?.for_reading();
        Ok(Self {
            store: inner.store().clone(),
            inner,
            memory,
            part: None,
            volume,
            place: first,
            left_sealed_bytes: sealed.len,
            skip_bytes: range.offset - first,
            left_bytes: range.len,
            ahead: VecDeque::new(),
        })
    }

    /// Begins to fill and decrypt a buffer.
    async fn begin(&mut self, mut buffer: Buffer) -> store::Result<JoinHandle<io::Result<Buffer>>> {
        let wanted = self.left_sealed_bytes.min(CHUNK_BYTES as u64);
        let parts = self.parts(wanted).await?;
        let (volume, place) = (self.volume.clone(), self.place);
        self.place += wanted;
        self.left_sealed_bytes -= wanted;
        let sector_bytes = volume.payload.sector_bytes;
        Ok(spawn_blocking(move || {
            let len = wanted as usize;
            gather(&parts, &mut buffer.spare_mut()[..len])?;
            buffer.advance(len);
            let sectors = volume.sectors(Direction::Decrypt);
            let mut sectors = sectors.map_err(io::Error::other)?;
            sectors.turn(&mut buffer, sector_bytes, volume.tweak(place));
            Ok(buffer)
        }))
    }

    /// So many bytes of the container.
    async fn parts(&mut self, wanted: u64) -> store::Result<Vec<Part>> {
        let (mut parts, mut lacking) = (Vec::new(), wanted);
        while lacking > 0 {
            let mut part = match self.part.take() {
                Some(part) => part,
                None => match self.inner.next().await.map_err(of_store)? {
                    Some(piece) => piece.into(),
                    None => return Err(store::Error::Corrupt("a container ended early".into())),
                },
            };
            if part.len() > lacking {
                let first = part.split_to(lacking);
                self.part = Some(part);
                part = first;
            }
            lacking -= part.len();
            parts.push(part);
        }
        Ok(parts)
    }
}
