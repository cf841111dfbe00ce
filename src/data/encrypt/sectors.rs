//! AES-XTS over the sectors of a container, in place.

use fresnel_xts::{Direction, KEY_BYTES, Xts};
use openssl::{cipher::Cipher, cipher_ctx::CipherCtx, nid::Nid};

/// What a tweak counts, whatever the sector's size (dm-crypt's `plain64`).
pub(super) const TWEAK_BYTES: u64 = 512;
/// Two keys of AES-128: what `cryptsetup` made before 2.4, which nobody makes here.
const SMALL_KEY_BYTES: usize = 32;

/// A key's schedule, one way.
pub(super) struct Sectors(Engine);

enum Engine {
    /// AES-256.
    Fast(Xts),
    /// AES-128, which aws-lc does not have with XTS.
    Small {
        context: CipherCtx,
        direction: Direction,
    },
}

/// Whether keys of that length are ones of AES-XTS.
pub(super) fn has_key_of(bytes: usize) -> bool {
    [SMALL_KEY_BYTES, KEY_BYTES].contains(&bytes)
}

impl Sectors {
    /// None where the key is none: of another length, or of two equal halves.
    pub(super) fn new(key: &[u8], direction: Direction) -> Option<Self> {
        if let Ok(key) = key.try_into() {
            return Xts::new(key, direction).map(|xts| Self(Engine::Fast(xts)));
        }
        if key.len() != SMALL_KEY_BYTES {
            return None;
        }
        let cipher = Cipher::from_nid(Nid::AES_128_XTS)?;
        let mut context = CipherCtx::new().ok()?;
        let begun = match direction {
            Direction::Encrypt => context.encrypt_init(Some(cipher), Some(key), None),
            Direction::Decrypt => context.decrypt_init(Some(cipher), Some(key), None),
        };
        begun.ok()?;
        Some(Self(Engine::Small { context, direction }))
    }

    /// Turns whole sectors; the first has the tweak `first`.
    pub(super) fn turn(&mut self, bytes: &mut [u8], sector_bytes: usize, first: u64) {
        let step = sector_bytes as u64 / TWEAK_BYTES;
        match &mut self.0 {
            Engine::Fast(xts) => xts.turn(bytes, sector_bytes, first, step),
            Engine::Small { context, direction } => {
                let mut tweak = first;
                for sector in bytes.chunks_exact_mut(sector_bytes) {
                    small(context, *direction, sector, tweak);
                    tweak = tweak.wrapping_add(step);
                }
            }
        }
    }
}

fn small(context: &mut CipherCtx, direction: Direction, sector: &mut [u8], tweak: u64) {
    let mut iv = [0; 16];
    iv[..8].copy_from_slice(&tweak.to_le_bytes());
    let begun = match direction {
        Direction::Encrypt => context.encrypt_init(None, None, Some(&iv)),
        Direction::Decrypt => context.decrypt_init(None, None, Some(&iv)),
    };
    let len = sector.len();
    let turned = begun.and_then(|()| context.cipher_update_inplace(sector, len));
    assert_eq!(turned.expect("a key and a data unit are there"), len);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    /// IEEE 1619-2007, vector 2 (AES-128, a data unit of 32 bytes).
    #[test]
    fn the_small_key_is_the_standards() {
        let key = [[0x11; 16], [0x22; 16]].concat();
        let mut sector = [0x44; 32];
        let mut forth = Sectors::new(&key, Direction::Encrypt).unwrap();
        let Engine::Small { context, direction } = &mut forth.0 else {
            panic!("another engine");
        };
        small(context, *direction, &mut sector, 0x33_3333_3333);
        let expected = "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0";
        assert_eq!(sector[..], bytes(expected));
    }

    proptest! {
        #[test]
        fn what_is_encrypted_is_decrypted_from_any_sector(
            seed: u64, first: u32, sectors in 1usize..20, skip in 0usize..19, small: bool,
        ) {
            let skip = skip.min(sectors - 1);
            let len = if small { SMALL_KEY_BYTES } else { KEY_BYTES };
            let key: Vec<u8> = (0..len).map(|at| (seed >> (at % 8)) as u8 ^ at as u8).collect();
            let plain: Vec<u8> = (0..sectors * 512).map(|at| (at as u64 ^ seed) as u8).collect();
            let mut bytes = plain.clone();
            let first = u64::from(first);
            Sectors::new(&key, Direction::Encrypt).unwrap().turn(&mut bytes, 512, first);
            prop_assert_ne!(&bytes, &plain);
            let part = &mut bytes[skip * 512..];
            let mut back = Sectors::new(&key, Direction::Decrypt).unwrap();
            back.turn(part, 512, first + skip as u64);
            prop_assert_eq!(&*part, &plain[skip * 512..]);
        }
    }
}
