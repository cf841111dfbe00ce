//! Encrypted images: containers of LUKS version 1 (which qemu opens) and 2, made while plain bytes pass,
//! checked while a container passes, and opened for any range of what is in them.
//!
//! A container is a header, whose slots hold the volume's key under passphrases, and a payload of sectors
//! in AES-XTS. Headers are foreign bytes: every field has its limit, and what a header may cost before its
//! passphrase is known to be right is bounded ([`Vault`]).

mod at_rest;
pub mod kdf;
mod luks1;
mod luks2;
mod probe;
mod read;
mod seal;
mod sectors;
mod stripes;
mod vault;

use std::fmt;

use fresnel_xts::Direction;
use openssl::{memcmp, rand::rand_bytes};
use zeroize::Zeroizing;

use self::{
    kdf::{Hash, Kdf, WORK_MAX},
    sectors::{Sectors, TWEAK_BYTES},
    stripes::STRIPES,
};
use crate::model::ByteRange;

pub use self::{
    at_rest::EncryptedStore,
    probe::{Check, Probe},
    read::{Container, Opened},
    seal::{Plain, Seal, Sealer},
    vault::{Settings, Vault},
};

/// The start of a container that says how long its header is.
pub const START_BYTES: usize = 592;
/// A header with its fields and no slot's key has no more bytes.
pub const HEADER_BYTES_MAX: usize = 128 << 10;
/// Key slots that are in use; LUKS1 has 8.
pub const SLOTS_MAX: usize = 8;

/// The key area of a slot is encrypted in sectors of this.
const AREA_SECTOR_BYTES: usize = 512;
const CIPHER: &str = "aes";
const MODE: &str = "xts-plain64";
/// Bytes of a new volume's key: two of AES-256.
const NEW_KEY_BYTES: usize = 64;

/// A version of LUKS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Version 1.
    Luks1,
    /// Version 2.
    Luks2,
}

/// Why a container is none, or cannot be opened. The texts are the client's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Other bytes, or fewer than a header has.
    #[error("the data is no LUKS container")]
    NoContainer,
    /// Another version than the image says.
    #[error("the LUKS container is {found}, not {declared}")]
    Version {
        /// What the image says.
        declared: Format,
        /// What it is.
        found: Format,
    },
    /// A header that contradicts itself.
    #[error("the LUKS header is damaged: {0}")]
    Damaged(&'static str),
    /// A header that may be good elsewhere.
    #[error("the LUKS container cannot be opened here: {0} is not supported")]
    Unsupported(&'static str),
    /// No slot opens.
    #[error("the key does not open the LUKS container")]
    WrongKey,
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    format: Format,
    payload: Payload,
    key_bytes: usize,
    /// Those in use, in the order of their places, which do not overlap.
    slots: Vec<Slot>,
    digest: KeyDigest,
}

/// Where the sectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Payload {
    offset_bytes: u64,
    /// None: to the end.
    len_bytes: Option<u64>,
    sector_bytes: usize,
    /// Of the first sector.
    tweak: u64,
}

/// A passphrase's way to the volume's key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    kdf: Kdf,
    /// Of the stripes.
    hash: Hash,
    area: ByteRange,
    area_key_bytes: usize,
}

/// What tells that a key is the volume's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyDigest {
    kdf: Kdf,
    value: Vec<u8>,
}

/// An unlocked container. The key is overwritten when dropped, and shown by nobody.
pub struct Volume {
    key: Zeroizing<Vec<u8>>,
    payload: Payload,
}

/// A new container, but for its payload.
struct Made {
    /// The header and its one slot; what follows is free.
    head: Vec<u8>,
    volume: Volume,
}

impl Format {
    /// As `os_encrypt_format` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Luks1 => "LUKSv1",
            Self::Luks2 => "LUKSv2",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = [Self::Luks1, Self::Luks2].into_iter();
        all.find(|format| format.name() == name)
    }

    /// Bytes before the payload of a container that we make: a whole number of chunks.
    pub fn head_bytes(self) -> u64 {
        match self {
            Self::Luks1 => luks1::HEAD_BYTES,
            Self::Luks2 => luks2::HEAD_BYTES,
        }
    }

    /// Bytes of a container that we make for so many plain ones.
    pub fn container_bytes(self, plain_bytes: u64) -> u64 {
        let whole = plain_bytes.checked_next_multiple_of(self.sector_bytes() as u64);
        whole.unwrap_or(u64::MAX).saturating_add(self.head_bytes())
    }

    fn sector_bytes(self) -> usize {
        match self {
            Self::Luks1 => luks1::SECTOR_BYTES,
            Self::Luks2 => luks2::NEW_SECTOR_BYTES,
        }
    }

    /// Whether a new slot's derivation does.
    fn takes_memory(self, is_random: bool) -> bool {
        self == Self::Luks2 && !is_random
    }

    fn make(self, passphrase: &[u8], is_random: bool) -> Made {
        match self {
            Self::Luks1 => luks1::make(passphrase, is_random),
            Self::Luks2 => luks2::make(passphrase, is_random),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Refusal {
    /// Whether somebody else might open it.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Unsupported(_))
    }
}

impl Header {
    /// How many bytes the header has that starts so, of which [`START_BYTES`] suffice.
    ///
    /// # Errors
    /// [`Refusal::NoContainer`], [`Refusal::Damaged`], [`Refusal::Unsupported`].
    pub fn len(start: &[u8]) -> Result<usize, Refusal> {
        match version(start)? {
            Format::Luks1 => Ok(luks1::HEADER_BYTES),
            Format::Luks2 => luks2::header_bytes(start),
        }
    }

    /// Reads a header of that length.
    ///
    /// # Errors
    /// As [`Header::len`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let header = match version(bytes)? {
            Format::Luks1 => luks1::parse(bytes)?,
            Format::Luks2 => luks2::parse(bytes)?,
        };
        header.check()
    }

    /// Its version.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes of the payload of a container of so many.
    ///
    /// # Errors
    /// [`Refusal::Damaged`] where that is shorter than it says.
    pub fn payload_bytes(&self, container_bytes: u64) -> Result<u64, Refusal> {
        self.payload.bytes_in(container_bytes)
    }

    /// Where the slots' keys lie, in order. They do not overlap.
    pub fn areas(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.slots.iter().map(|slot| slot.area)
    }

    /// What both versions must hold to.
    fn check(mut self) -> Result<Self, Refusal> {
        let payload = self.payload;
        if self.slots.is_empty() {
            return Err(Refusal::Damaged("no key slot is in use"));
        }
        if self.slots.len() > SLOTS_MAX {
            return Err(Refusal::Unsupported("a header of over 8 key slots"));
        }
        self.slots.sort_by_key(|slot| slot.area.offset);
        let mut free_from = 0;
        for slot in &self.slots {
            let Some(end) = slot.area.offset.checked_add(slot.area.len) else {
                return Err(Refusal::Damaged("a key slot is beyond everything"));
            };
            if slot.area.offset < free_from || end > payload.offset_bytes {
                return Err(Refusal::Damaged("a key slot is in another's place"));
            }
            free_from = end;
        }
        if self.work() > WORK_MAX {
            return Err(Refusal::Unsupported("what its key slots cost together"));
        }
        let last = payload.len_bytes.unwrap_or(0);
        if !payload.offset_bytes.is_multiple_of(TWEAK_BYTES)
            || !last.is_multiple_of(payload.sector_bytes as u64)
            || payload.offset_bytes.checked_add(last).is_none()
        {
            return Err(Refusal::Damaged("the payload is no whole sectors"));
        }
        Ok(self)
    }

    /// Of all derivations that a wrong passphrase costs. A slot that is beyond its own limits is never tried.
    fn work(&self) -> u64 {
        let tried =
            (0..self.slots.len()).filter(|slot| self.slots[*slot].kdf.check(u32::MAX).is_ok());
        tried.map(|slot| self.slot_work(slot)).sum()
    }

    /// Of a slot that is tried, which is less than 2^39 steps within its limits.
    fn slot_work(&self, slot: usize) -> u64 {
        let (slot, digest) = (&self.slots[slot], &self.digest);
        slot.kdf.work(slot.area_key_bytes) + digest.kdf.work(digest.value.len())
    }

    /// The volume's key, if the passphrase opens that slot, whose area's bytes these are; they are of no
    /// use afterwards. Takes long.
    fn open(
        &self,
        slot: &Slot,
        passphrase: &[u8],
        area: &mut [u8],
    ) -> Result<Option<Volume>, Refusal> {
        let no_memory = || Refusal::Unsupported("its derivation");
        let key = slot.kdf.derive(passphrase, slot.area_key_bytes);
        let key = key.ok_or_else(no_memory)?;
        let Some(mut sectors) = Sectors::new(&key, Direction::Decrypt) else {
            return Ok(None);
        };
        let whole = area.len() - area.len() % AREA_SECTOR_BYTES;
        sectors.turn(&mut area[..whole], AREA_SECTOR_BYTES, 0);
        let stripes = &area[..self.key_bytes * STRIPES];
        let key = stripes::merge(stripes, self.key_bytes, slot.hash);
        let digest = &self.digest;
        let found = digest.kdf.derive(&key, digest.value.len());
        let found = found.ok_or_else(no_memory)?;
        let is_key = memcmp::eq(&found, &digest.value);
        Ok(is_key.then_some(Volume {
            key,
            payload: self.payload,
        }))
    }
}

impl Payload {
    fn bytes_in(&self, container_bytes: u64) -> Result<u64, Refusal> {
        let there = container_bytes.checked_sub(self.offset_bytes);
        let held = there.and_then(|there| match self.len_bytes {
            Some(len) => (len <= there).then_some(len),
            None => Some(there - there % self.sector_bytes as u64),
        });
        held.ok_or(Refusal::Damaged("the container ends in its payload"))
    }
}

impl Volume {
    fn sectors(&self, direction: Direction) -> Result<Sectors, Refusal> {
        let sectors = Sectors::new(&self.key, direction);
        sectors.ok_or(Refusal::Damaged("the volume's key is none"))
    }

    /// The tweak of the sector at that place of the payload.
    fn tweak(&self, offset_bytes: u64) -> u64 {
        let sector = offset_bytes / TWEAK_BYTES;
        self.payload.tweak.wrapping_add(sector)
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = &self.payload;
        f.debug_struct("Volume")
            .field("payload", payload)
            .finish_non_exhaustive()
    }
}

/// The bytes of a slot's area: whole sectors, for a key of that many bytes.
fn area_bytes(key_bytes: usize) -> u64 {
    (key_bytes * STRIPES).next_multiple_of(AREA_SECTOR_BYTES) as u64
}

/// The area of a new slot.
fn new_area(volume_key: &[u8], passphrase: &[u8], kdf: &Kdf, hash: Hash) -> Vec<u8> {
    let key = kdf.derive(passphrase, NEW_KEY_BYTES);
    let key = key.expect("what we choose can be derived");
    let sectors = Sectors::new(&key, Direction::Encrypt);
    let mut sectors = sectors.expect("two halves of a derived key are not equal");
    let mut area = stripes::split(volume_key, hash);
    sectors.turn(&mut area, AREA_SECTOR_BYTES, 0);
    area.to_vec()
}

fn version(start: &[u8]) -> Result<Format, Refusal> {
    const MAGIC: &[u8] = b"LUKS\xba\xbe";
    let version = start.strip_prefix(MAGIC).and_then(|rest| rest.get(..2));
    match version {
        Some([0, 1]) => Ok(Format::Luks1),
        Some([0, 2]) => Ok(Format::Luks2),
        Some(_) => Err(Refusal::Unsupported("its version of LUKS")),
        None => Err(Refusal::NoContainer),
    }
}

/// Text that ends at its first NUL.
fn text(field: &[u8]) -> &str {
    let end = field.iter().position(|byte| *byte == 0);
    std::str::from_utf8(&field[..end.unwrap_or(field.len())]).unwrap_or_default()
}

fn random(len: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; len]);
    rand_bytes(&mut bytes).expect("the system has random numbers");
    bytes
}

#[cfg(test)]
mod tests;
