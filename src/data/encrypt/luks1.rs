//! The header of version 1 (LUKS1 On-Disk Format, 1.2.3): big-endian fields, eight slots.

use uuid::Uuid;

use super::{
    CIPHER, Format, Header, KeyDigest, MODE, Made, NEW_KEY_BYTES, Payload, Refusal, Slot, Volume,
    area_bytes,
    kdf::{Hash, Kdf},
    new_area, random, sectors,
    stripes::STRIPES,
    text,
};
use crate::model::ByteRange;

pub(super) const HEADER_BYTES: usize = 592;
pub(super) const SECTOR_BYTES: usize = 512;
/// Before the payload of one that we make: what `cryptsetup` aligns to.
pub(super) const HEAD_BYTES: u64 = 2 << 20;

const CIPHER_AT: usize = 8;
const MODE_AT: usize = 40;
const HASH_AT: usize = 72;
const PAYLOAD_AT: usize = 104;
const KEY_BYTES_AT: usize = 108;
const DIGEST_AT: usize = 112;
const SALT_AT: usize = 132;
const ITERATIONS_AT: usize = 164;
const UUID_AT: usize = 168;
const SLOTS_AT: usize = 208;
const NAME_BYTES: usize = 32;
const DIGEST_BYTES: usize = 20;
const SALT_BYTES: usize = 32;
const SLOT_BYTES: usize = 48;
const SLOTS: usize = 8;
const IN_USE: u32 = 0x00ac_71f3;
const FREE: u32 = 0x0000_dead;
/// The first slot's area, and what areas are aligned to, in sectors.
const AREAS_AT: u32 = 8;

pub(super) fn parse(bytes: &[u8]) -> Result<Header, Refusal> {
    let bytes = bytes.get(..HEADER_BYTES).ok_or(Refusal::NoContainer)?;
    let name = |at: usize| text(&bytes[at..at + NAME_BYTES]);
    let key_bytes = number(bytes, KEY_BYTES_AT) as usize;
    if (name(CIPHER_AT), name(MODE_AT)) != (CIPHER, MODE) || !sectors::has_key_of(key_bytes) {
        return Err(Refusal::Unsupported("a cipher other than aes-xts-plain64"));
    }
    let hash = Hash::from_name(name(HASH_AT))?;
    let offset_bytes = u64::from(number(bytes, PAYLOAD_AT)) * SECTOR_BYTES as u64;
    if offset_bytes == 0 {
        return Err(Refusal::Unsupported("a header that is apart"));
    }
    let salt = |at: usize| bytes[at..at + SALT_BYTES].to_vec();
    let digest = KeyDigest {
        kdf: Kdf::Pbkdf2 {
            hash,
            iterations: number(bytes, ITERATIONS_AT),
            salt: salt(SALT_AT),
        },
        value: bytes[DIGEST_AT..DIGEST_AT + DIGEST_BYTES].to_vec(),
    };
    digest.kdf.check(0)?;
    let mut slots = Vec::new();
    for at in (0..SLOTS).map(|slot| SLOTS_AT + slot * SLOT_BYTES) {
        match number(bytes, at) {
            FREE => continue,
            IN_USE => {}
            _ => return Err(Refusal::Damaged("a key slot is neither free nor in use")),
        }
        if number(bytes, at + 44) as usize != STRIPES {
            return Err(Refusal::Unsupported("a number of stripes other than 4000"));
        }
        let kdf = Kdf::Pbkdf2 {
            hash,
            iterations: number(bytes, at + 4),
            salt: salt(at + 8),
        };
        kdf.check(0)?;
        let offset = u64::from(number(bytes, at + 40)) * SECTOR_BYTES as u64;
        if offset < HEADER_BYTES as u64 {
            return Err(Refusal::Damaged("a key slot is in the header"));
        }
        slots.push(Slot {
            kdf,
            hash,
            area: ByteRange {
                offset,
                len: area_bytes(key_bytes),
            },
            area_key_bytes: key_bytes,
        });
    }
    Ok(Header {
        format: Format::Luks1,
        payload: Payload {
            offset_bytes,
            len_bytes: None,
            sector_bytes: SECTOR_BYTES,
            tweak: 0,
        },
        key_bytes,
        slots,
        digest,
    })
}

pub(super) fn make(passphrase: &[u8], is_random: bool) -> Made {
    let hash = Hash::Sha256;
    let key = random(NEW_KEY_BYTES);
    let (slot, digest) = (Kdf::pbkdf2(is_random), Kdf::pbkdf2(true));
    let mut head = vec![0; AREAS_AT as usize * SECTOR_BYTES];
    head[..8].copy_from_slice(b"LUKS\xba\xbe\x00\x01");
    put(&mut head, CIPHER_AT, CIPHER.as_bytes());
    put(&mut head, MODE_AT, MODE.as_bytes());
    put(&mut head, HASH_AT, hash.name().as_bytes());
    let sectors = |bytes: u64| {
        let sectors = bytes / SECTOR_BYTES as u64;
        u32::try_from(sectors).expect("a header has a few MiB")
    };
    put_number(&mut head, PAYLOAD_AT, sectors(HEAD_BYTES));
    put_number(&mut head, KEY_BYTES_AT, NEW_KEY_BYTES as u32);
    let value = digest.derive(&key, DIGEST_BYTES);
    let value = value.expect("what we choose can be derived");
    put(&mut head, DIGEST_AT, &value);
    put_kdf(&mut head, ITERATIONS_AT, SALT_AT, &digest);
    put(&mut head, UUID_AT, Uuid::new_v4().to_string().as_bytes());
    let apart = sectors(area_bytes(NEW_KEY_BYTES)).next_multiple_of(AREAS_AT);
    for number in 0..SLOTS as u32 {
        let at = SLOTS_AT + number as usize * SLOT_BYTES;
        put_number(&mut head, at, if number == 0 { IN_USE } else { FREE });
        put_number(&mut head, at + 40, AREAS_AT + number * apart);
        put_number(&mut head, at + 44, STRIPES as u32);
    }
    put_kdf(&mut head, SLOTS_AT + 4, SLOTS_AT + 8, &slot);
    head.extend(new_area(&key, passphrase, &slot, hash));
    Made {
        head,
        volume: Volume {
            key,
            payload: Payload {
                offset_bytes: HEAD_BYTES,
                len_bytes: None,
                sector_bytes: SECTOR_BYTES,
                tweak: 0,
            },
        },
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let field = bytes[at..at + 4].try_into();
    u32::from_be_bytes(field.expect("four bytes"))
}

fn put(head: &mut [u8], at: usize, field: &[u8]) {
    head[at..at + field.len()].copy_from_slice(field);
}

fn put_number(head: &mut [u8], at: usize, number: u32) {
    put(head, at, &number.to_be_bytes());
}

fn put_kdf(head: &mut [u8], iterations_at: usize, salt_at: usize, kdf: &Kdf) {
    let Kdf::Pbkdf2 {
        iterations, salt, ..
    } = kdf
    else {
        unreachable!("version 1 has PBKDF2 alone");
    };
    put_number(head, iterations_at, *iterations);
    put(head, salt_at, salt);
}
