//! Plain bytes become a container while they pass: encrypted in place, and hashed before where somebody wants to
//! know what they were.

use openssl::{
    hash::{Hasher, MessageDigest},
    rand::rand_bytes,
};
use tokio::task::spawn_blocking;

use super::{Direction, Format, Vault, Volume, sectors::Sectors};
use crate::{
    base::secret::Passphrase,
    buf::Buffer,
    data::{Error, Result},
    model::HashAlgorithm,
};

/// More than what a last sector can lack.
const ZEROES: [u8; 4096] = [0; 4096];

/// What plain bytes become.
#[derive(Clone, Debug)]
pub struct Seal {
    /// The container's version.
    pub format: Format,
    /// What will open it.
    pub passphrase: Passphrase,
}

/// What is known of the plain bytes of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Which container they are in.
    pub format: Format,
    /// How many they are.
    pub size_bytes: u64,
    /// Their BLAKE3, 64 hexadecimal digits.
    pub blake3: String,
}

/// What encrypts the payload of one new container, from its first sector on.
pub(super) struct Cipher {
    volume: Volume,
    sectors: Sectors,
    payload_bytes: u64,
}

/// One container that is being made, of bytes that are hashed too.
pub struct Sealer {
    format: Format,
    cipher: Cipher,
    plain_bytes: u64,
    blake3: Box<blake3::Hasher>,
    /// What a signature is of: the bytes as they were sent.
    signed: Option<Hasher>,
}

impl Cipher {
    /// Begins a container; gives the start of it, which [`Sealer::fill`] follows up to [`Format::head_bytes`].
    ///
    /// # Errors
    /// [`Error::Busy`] where too many derive keys.
    pub(super) async fn begin(seal: &Seal, vault: &Vault) -> Result<(Self, Vec<u8>)> {
        let made = vault.make(seal.format, seal.passphrase.clone()).await?;
        let sectors = made.volume.sectors(Direction::Encrypt);
        let cipher = Self {
            sectors: sectors.map_err(Error::Container)?,
            volume: made.volume,
            payload_bytes: 0,
        };
        Ok((cipher, made.head))
    }

    fn sector_bytes(&self) -> usize {
        self.volume.payload.sector_bytes
    }

    /// Encrypts what a buffer has, which is whole sectors but for the last buffer: zeroes fill up its last
    /// sector. Takes a while.
    pub(super) fn seal(&mut self, buffer: &mut Buffer) {
        let sector_bytes = self.sector_bytes();
        let lacking = buffer.len().next_multiple_of(sector_bytes) - buffer.len();
        buffer.fill(&ZEROES[..lacking]);
        let tweak = self.volume.tweak(self.payload_bytes);
        self.sectors.turn(buffer, sector_bytes, tweak);
        self.payload_bytes += buffer.len() as u64;
    }
}

impl Sealer {
    /// Begins a container; gives the start of it, which [`Sealer::fill`] follows up to [`Format::head_bytes`].
    ///
    /// # Errors
    /// [`Error::Busy`] where too many derive keys.
    pub async fn begin(
        seal: &Seal,
        vault: &Vault,
        signed: Option<HashAlgorithm>,
    ) -> Result<(Self, Vec<u8>)> {
        let (cipher, head) = Cipher::begin(seal, vault).await?;
        let hasher = |algorithm: HashAlgorithm| {
            let digest = MessageDigest::from_name(algorithm.as_str());
            let hasher = digest.map(Hasher::new).and_then(std::result::Result::ok);
            hasher.expect("OpenSSL has what images are signed with")
        };
        let sealer = Self {
            format: seal.format,
            cipher,
            plain_bytes: 0,
            blake3: Box::default(),
            signed: signed.map(hasher),
        };
        Ok((sealer, head))
    }

    /// Fills up a buffer with what nobody reads, on a thread that may compute. Random as `cryptsetup` leaves it:
    /// a store makes a hole of zeroes, and qemu's driver for RBD takes that for one in the payload.
    pub async fn fill(mut buffer: Buffer) -> Buffer {
        let filled = spawn_blocking(move || {
            let spare = buffer.spare_mut();
            let len = spare.len();
            rand_bytes(spare).expect("the system has random numbers");
            buffer.advance(len);
            buffer
        });
        let filled = filled.await;
        filled.expect("filling does not panic, and is not cancelled")
    }

    /// Bytes of a sector: all that is sealed but the end is whole ones.
    pub fn sector_bytes(&self) -> usize {
        self.cipher.sector_bytes()
    }

    /// Hashes and encrypts what a buffer has, on a thread that may compute. Zeroes fill up the last sector.
    pub async fn seal(self, buffer: Buffer) -> (Self, Buffer) {
        let sealed = spawn_blocking(move || self.sealed(buffer)).await;
        sealed.expect("encrypting does not panic, and is not cancelled")
    }

    fn sealed(mut self, mut buffer: Buffer) -> (Self, Buffer) {
        self.blake3.update(&buffer);
        if let Some(signed) = &mut self.signed {
            signed
                .update(&buffer)
                .expect("hashing memory does not fail");
        }
        self.plain_bytes += buffer.len() as u64;
        self.cipher.seal(&mut buffer);
        (self, buffer)
    }

    /// What has passed, and its digest for a signature.
    pub fn finish(mut self) -> (Plain, Option<String>) {
        let signed = self.signed.as_mut().map(|hasher| {
            let digest = hasher.finish().expect("hashing memory does not fail");
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        });
        let plain = Plain {
            format: self.format,
            size_bytes: self.plain_bytes,
            blake3: self.blake3.finalize().to_hex().to_string(),
        };
        (plain, signed)
    }
}
