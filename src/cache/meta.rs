//! What is known of an entry's bytes, on disk: a header, and records that are only ever appended.
//!
//! ```text
//! header  "fresnelc", of a blob "fresnelb" | version u32 | bytes of a chunk u32 | bytes of the image u64
//!         | image, algorithm, digest: each a length u16 and that many bytes
//!         | BLAKE3 of all before
//! record  kind u8 | 0 0 0 | chunk u32 | BLAKE3 of the chunk | seal
//! ```
//!
//! Numbers are little-endian. A record's seal is the beginning of the BLAKE3 of the header's digest,
//! the record's place and the record: a record that was torn, or that belongs to another file or
//! another place, is none, and ends the file. Whoever appends one of a chunk has synced the chunk
//! before.

use std::collections::BTreeMap;

use super::{CHUNK_BYTES, Key, Owner};
use crate::model::ImageId;

/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = 48;
/// Bytes of a record before its seal.
const SEALED_BYTES: usize = RECORD_BYTES - 8;
/// More than any header has.
const HEADER_BYTES_MAX: u64 = 1024;
/// The most bytes of an image that is cached: 16 TiB.
pub(super) const SIZE_BYTES_MAX: u64 = 1 << 44;

/// By what has the bytes.
const MAGICS: [(Owner, [u8; 8]); 2] = [
    (Owner::Image, *b"fresnelc"),
    (Owner::Artifact, *b"fresnelb"),
];
const VERSION: u32 = 1;

const READY: u8 = 1;
const ABSENT: u8 = 2;
const PROVEN: u8 = 3;

/// A BLAKE3.
pub(super) type Digest = [u8; 32];

/// What an entry learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// A chunk is on disk.
    Ready { chunk: u32, digest: Digest },
    /// It is not what it should be, and does not count.
    Absent { chunk: u32 },
    /// All of it has the image's own digest.
    Proven,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What the entry has the bytes of.
    pub key: Key,
    /// All of the image's bytes.
    pub size_bytes: u64,
    /// The chunks that were synced, with their BLAKE3.
    pub ready: BTreeMap<u32, [u8; 32]>,
    /// Whether all of them together had the image's own digest.
    pub proven: bool,
    /// Bytes of the file that count; what follows was torn.
    pub valid_bytes: usize,
    pub(super) seal: Seal,
}

/// Why a file is not looked at further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It ends in its header.
    #[error("it ends too early")]
    Cut,
    /// The header was torn or changed.
    #[error("its header is damaged")]
    Damaged,
    /// It is no file of ours.
    #[error("it is no cache entry")]
    Foreign,
    /// Of a version or a size of chunks that this program does not write.
    #[error("it is of another version")]
    Version,
}

/// Makes the seals of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal(Digest);

/// Chunks of an image.
pub(super) fn chunks(size_bytes: u64) -> u32 {
    u32::try_from(size_bytes.div_ceil(CHUNK_BYTES)).unwrap_or(u32::MAX)
}

/// The most bytes that the file of such an image may have: a chunk may be lost and filled again a few
/// times before the entry had better begin anew.
pub(super) fn bytes_max(size_bytes: u64) -> u64 {
    let records = 4 * u64::from(chunks(size_bytes)) + 64;
    HEADER_BYTES_MAX + records * RECORD_BYTES as u64
}

/// The header of a new file.
pub(super) fn header(key: &Key, size_bytes: u64) -> (Vec<u8>, Seal) {
    let magic = MAGICS.iter().find(|(owner, _)| *owner == key.owner());
    let mut bytes = magic.expect("every owner has one").1.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((CHUNK_BYTES as u32).to_le_bytes());
    bytes.extend(size_bytes.to_le_bytes());
    let texts = [key.image().as_str(), key.algorithm().as_str(), key.digest()];
    for text in texts {
        let len = u16::try_from(text.len()).expect("a key's texts are short");
        bytes.extend(len.to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    let digest = *blake3::hash(&bytes).as_bytes();
    bytes.extend(digest);
    (bytes, Seal(digest))
}

/// Reads a file of unknown origin. Takes memory for the records that are there, whatever the header
/// says.
///
/// # Errors
/// [`Unusable`].
pub fn parse(bytes: &[u8]) -> Result<Meta, Unusable> {
    let mut rest = bytes;
    let magic = take::<8>(&mut rest)?;
    let found = MAGICS.iter().find(|(_, known)| *known == magic);
    let (owner, _) = found.ok_or(Unusable::Foreign)?;
    let version = u32::from_le_bytes(take(&mut rest)?);
    let chunk_bytes = u32::from_le_bytes(take(&mut rest)?);
    if version != VERSION || u64::from(chunk_bytes) != CHUNK_BYTES {
        return Err(Unusable::Version);
    }
    let size_bytes = u64::from_le_bytes(take(&mut rest)?);
    let (image, algorithm) = (text(&mut rest)?, text(&mut rest)?);
    let digest = text(&mut rest)?;
    let header_bytes = bytes.len() - rest.len();
    let seal = Seal(take(&mut rest)?);
    if *blake3::hash(&bytes[..header_bytes]).as_bytes() != seal.0 {
        return Err(Unusable::Damaged);
    }
    let algorithm = algorithm.parse().map_err(|_| Unusable::Damaged)?;
    let key = Key::new(ImageId::new(image), algorithm, digest).ok_or(Unusable::Damaged)?;
    let key = key.owned_by(*owner);
    if size_bytes == 0 || size_bytes > SIZE_BYTES_MAX {
        return Err(Unusable::Damaged);
    }
    let mut meta = Meta {
        key,
        size_bytes,
        ready: BTreeMap::new(),
        proven: false,
        valid_bytes: bytes.len() - rest.len(),
        seal,
    };
    while let Some((record, tail)) = rest.split_first_chunk::<RECORD_BYTES>() {
        let Some(record) = seal.open(record, meta.valid_bytes) else {
            break;
        };
        if !meta.learn(record) {
            break;
        }
        meta.valid_bytes += RECORD_BYTES;
        rest = tail;
    }
    Ok(meta)
}

impl Meta {
    /// Whether the record makes sense here.
    fn learn(&mut self, record: Record) -> bool {
        let count = chunks(self.size_bytes);
        match record {
            Record::Ready { chunk, .. } | Record::Absent { chunk } if chunk >= count => false,
            Record::Ready { chunk, digest } => {
                self.ready.insert(chunk, digest);
                true
            }
            Record::Absent { chunk } => {
                self.ready.remove(&chunk);
                self.proven = false;
                true
            }
            Record::Proven => {
                self.proven = self.ready.len() == count as usize;
                true
            }
        }
    }
}

impl Seal {
    /// The record as it is written at that place.
    pub(super) fn close(self, record: Record, place: u64) -> [u8; RECORD_BYTES] {
        let (kind, chunk, digest) = match record {
            Record::Ready { chunk, digest } => (READY, chunk, digest),
            Record::Absent { chunk } => (ABSENT, chunk, Digest::default()),
            Record::Proven => (PROVEN, 0, Digest::default()),
        };
        let mut bytes = [0; RECORD_BYTES];
        bytes[0] = kind;
        bytes[4..8].copy_from_slice(&chunk.to_le_bytes());
        bytes[8..SEALED_BYTES].copy_from_slice(&digest);
        let seal = self.of(&bytes[..SEALED_BYTES], place);
        bytes[SEALED_BYTES..].copy_from_slice(&seal);
        bytes
    }

    /// What was written there; `None` where that is none of ours.
    fn open(self, bytes: &[u8; RECORD_BYTES], place: usize) -> Option<Record> {
        let (sealed, seal) = bytes.split_at(SEALED_BYTES);
        if self.of(sealed, place as u64) != *seal {
            return None;
        }
        let chunk = u32::from_le_bytes(sealed[4..8].try_into().ok()?);
        match sealed[0] {
            READY => Some(Record::Ready {
                chunk,
                digest: sealed[8..].try_into().ok()?,
            }),
            ABSENT => Some(Record::Absent { chunk }),
            PROVEN => Some(Record::Proven),
            _ => None,
        }
    }

    fn of(self, sealed: &[u8], place: u64) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0).update(&place.to_le_bytes());
        let digest = hasher.update(sealed).finalize();
        let mut seal = [0; 8];
        seal.copy_from_slice(&digest.as_bytes()[..8]);
        seal
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Unusable> {
    let (head, tail) = rest.split_first_chunk().ok_or(Unusable::Cut)?;
    *rest = tail;
    Ok(*head)
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Unusable> {
    let len = u16::from_le_bytes(take(rest)?).into();
    let (head, tail) = rest.split_at_checked(len).ok_or(Unusable::Cut)?;
    *rest = tail;
    std::str::from_utf8(head).map_err(|_| Unusable::Damaged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::HashAlgorithm;

    const SIZE: u64 = 3 * CHUNK_BYTES + 1;

    fn key() -> Key {
        let digest = "0123456789abcdef0123456789abcdef";
        Key::new(ImageId::new("i"), HashAlgorithm::Md5, digest).unwrap()
    }

    fn file(records: &[Record]) -> Vec<u8> {
        let (mut bytes, seal) = header(&key(), SIZE);
        for record in records {
            let place = bytes.len() as u64;
            bytes.extend(seal.close(*record, place));
        }
        bytes
    }

    fn ready(chunk: u32) -> Record {
        Record::Ready {
            chunk,
            digest: [chunk as u8; 32],
        }
    }

    fn all() -> Vec<Record> {
        (0..4).map(ready).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let meta = parse(&file(&all())).unwrap();
        assert_eq!((meta.key, meta.size_bytes), (key(), SIZE));
        assert_eq!(meta.ready.len(), 4);
        assert_eq!(meta.ready[&3], [3; 32]);
        assert!(!meta.proven);
        let blob = key().owned_by(Owner::Artifact);
        assert_eq!(parse(&header(&blob, SIZE).0).unwrap().key, blob);
    }

    #[test]
    fn only_a_whole_entry_is_proven() {
        let with = |records: &[Record]| parse(&file(records)).unwrap();
        assert!(with(&[&all()[..], &[Record::Proven]].concat()).proven);
        assert!(!with(&[ready(0), Record::Proven]).proven);
        let lost = [&all()[..], &[Record::Proven, Record::Absent { chunk: 2 }]].concat();
        let meta = with(&lost);
        assert!(!meta.proven && !meta.ready.contains_key(&2));
    }

    #[test]
    fn a_chunk_that_is_not_there_ends_the_file() {
        let meta = parse(&file(&[ready(0), ready(4), ready(1)])).unwrap();
        assert_eq!(meta.ready.len(), 1);
    }

    #[test]
    fn a_record_counts_in_its_own_place_and_file_only() {
        let bytes = file(&[ready(0), ready(1)]);
        let at = bytes.len() - RECORD_BYTES;
        let moved = [&bytes[..at - RECORD_BYTES], &bytes[at..]].concat();
        assert!(parse(&moved).unwrap().ready.is_empty());
        let (mut other, _) = header(&key(), SIZE + 1);
        other.extend(&bytes[at - RECORD_BYTES..]);
        assert!(parse(&other).unwrap().ready.is_empty());
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let whole = file(&[]);
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), Err(Unusable::Cut), "{len}");
        }
        let changed = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            parse(&bytes).unwrap_err()
        };
        assert_eq!(changed(0), Unusable::Foreign);
        assert_eq!(changed(8), Unusable::Version);
        assert_eq!(changed(12), Unusable::Version);
        assert_eq!(changed(16), Unusable::Damaged);
        assert_eq!(changed(whole.len() - 1), Unusable::Damaged);
    }

    proptest! {
        /// Whatever is torn or flipped: what is read was written.
        #[test]
        fn damage_only_loses(cut in 0..400_usize, at in 0..400_usize, bit in 0..8) {
            let mut bytes = file(&[&all()[..], &[Record::Proven]].concat());
            let len = bytes.len();
            bytes[at % len] ^= 1_u8 << bit;
            bytes.truncate(cut.max(1) % len + 1);
            if let Ok(meta) = parse(&bytes) {
                prop_assert_eq!(meta.key, key());
                for (chunk, digest) in meta.ready {
                    prop_assert_eq!(digest, [chunk as u8; 32]);
                }
            }
        }
    }
}
