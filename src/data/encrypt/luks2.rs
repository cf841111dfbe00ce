//! The header of version 2 (LUKS2 On-Disk Format, 1.1): a binary part, and JSON; twice.

use openssl::hash::hash as digest_of;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    CIPHER, Format, HEADER_BYTES_MAX, Header, KeyDigest, MODE, Made, NEW_KEY_BYTES, Payload,
    Refusal, Slot, Volume, area_bytes,
    kdf::{Argon2, Hash, Kdf},
    new_area, random, sectors,
    stripes::STRIPES,
    text,
};
use crate::model::ByteRange;

/// Before the payload of one that we make: what `cryptsetup` takes.
pub(super) const HEAD_BYTES: u64 = 16 << 20;
/// Twice as fast as sectors of 512 bytes; what `cryptsetup` makes too.
pub(super) const NEW_SECTOR_BYTES: usize = 4096;

const BINARY_BYTES: usize = 4096;
const HEADER_BYTES_MIN: usize = 16 << 10;
const SIZE_AT: usize = 8;
const SEQUENCE_AT: usize = 16;
const SUM_NAME_AT: usize = 72;
const SUM_NAME_BYTES: usize = 32;
const SALT_AT: usize = 104;
const UUID_AT: usize = 168;
const OFFSET_AT: usize = 256;
const SUM_AT: usize = 448;
const SUM_BYTES: usize = 64;
const DIGEST_BYTES_MAX: usize = 64;
/// A slot's area is aligned to this.
const AREA_ALIGN_BYTES: u64 = 4096;

/// The binary part's word for the length of both parts.
pub(super) fn header_bytes(start: &[u8]) -> Result<usize, Refusal> {
    let size = number(start, SIZE_AT).ok_or(Refusal::NoContainer)?;
    match usize::try_from(size) {
        Ok(size) if !size.is_power_of_two() || size < HEADER_BYTES_MIN => {
            Err(Refusal::Damaged("its length is none"))
        }
        Ok(size) if size <= HEADER_BYTES_MAX => Ok(size),
        _ => Err(Refusal::Unsupported("a header of over 128 KiB")),
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Header, Refusal> {
    let len = header_bytes(bytes)?;
    let bytes = bytes.get(..len).ok_or(Refusal::NoContainer)?;
    if number(bytes, OFFSET_AT) != Some(0) {
        return Err(Refusal::Damaged("it is in another's place"));
    }
    let hash = Hash::from_name(text(&bytes[SUM_NAME_AT..SUM_NAME_AT + SUM_NAME_BYTES]))?;
    let sum = checksum(bytes, hash);
    if bytes[SUM_AT..SUM_AT + sum.len()] != sum {
        return Err(Refusal::Damaged("its checksum is wrong"));
    }
    let described = serde_json::from_str(text(&bytes[BINARY_BYTES..]));
    let described: Value = described.map_err(|_| Refusal::Damaged("its JSON is none"))?;
    read(&described, len as u64)
}

/// The JSON part of a header of that length.
fn read(described: &Value, header_bytes: u64) -> Result<Header, Refusal> {
    if let Some(wanted) = described["config"].get("requirements")
        && wanted["mandatory"]
            .as_array()
            .is_none_or(|all| !all.is_empty())
    {
        return Err(Refusal::Unsupported("what its header requires"));
    }
    let (segment_id, segment) = only_segment(described)?;
    let payload = payload(segment)?;
    let digests = object(described, "digests")?.values();
    let names = |digest: &Value, list: &str, id: &str| {
        let list = digest[list].as_array();
        list.is_some_and(|ids| ids.iter().any(|known| known == id))
    };
    let mut of_segment = digests.filter(|digest| names(digest, "segments", segment_id));
    let digest = of_segment.next();
    let digest = digest.ok_or(Refusal::Damaged("its payload has no key"))?;
    let mut slots = Vec::new();
    let mut key_bytes = None;
    for (id, slot) in object(described, "keyslots")? {
        // Of another kind, or for another segment: no way to this key.
        if slot["type"] != "luks2" || !names(digest, "keyslots", id) {
            continue;
        }
        let bytes = bounded(&slot["key_size"])?;
        if *key_bytes.get_or_insert(bytes) != bytes {
            return Err(Refusal::Damaged("its slots have keys of different lengths"));
        }
        slots.push(self::slot(slot, bytes, header_bytes)?);
    }
    let key_bytes = key_bytes.ok_or(Refusal::Damaged("no key slot is in use"))?;
    if !sectors::has_key_of(key_bytes) {
        return Err(Refusal::Unsupported("a cipher other than aes-xts-plain64"));
    }
    Ok(Header {
        format: Format::Luks2,
        payload,
        key_bytes,
        slots,
        digest: self::digest(digest)?,
    })
}

fn only_segment(described: &Value) -> Result<(&str, &Value), Refusal> {
    let mut segments = object(described, "segments")?.iter();
    match (segments.next(), segments.next()) {
        (Some((id, segment)), None) => Ok((id, segment)),
        (None, _) => Err(Refusal::Damaged("it has no payload")),
        (Some(_), Some(_)) => Err(Refusal::Unsupported("a payload of several segments")),
    }
}

fn payload(segment: &Value) -> Result<Payload, Refusal> {
    if segment["type"] != "crypt" || !segment["integrity"].is_null() || !segment["flags"].is_null()
    {
        return Err(Refusal::Unsupported("its kind of payload"));
    }
    aes_xts(&segment["encryption"])?;
    let sector_bytes = bounded(&segment["sector_size"])?;
    if ![512, 1024, 2048, 4096].contains(&sector_bytes) {
        return Err(Refusal::Damaged("its sectors have no such size"));
    }
    let len_bytes = match segment["size"].as_str() {
        Some("dynamic") => None,
        _ => Some(decimal(&segment["size"])?),
    };
    Ok(Payload {
        offset_bytes: decimal(&segment["offset"])?,
        len_bytes,
        sector_bytes,
        tweak: decimal(&segment["iv_tweak"])?,
    })
}

fn slot(slot: &Value, key_bytes: usize, header_bytes: u64) -> Result<Slot, Refusal> {
    let (stripes, area) = (&slot["af"], &slot["area"]);
    if stripes["type"] != "luks1" || bounded(&stripes["stripes"])? != STRIPES {
        return Err(Refusal::Unsupported("its kind of stripes"));
    }
    if area["type"] != "raw" {
        return Err(Refusal::Unsupported("its kind of key area"));
    }
    aes_xts(&area["encryption"])?;
    let area_key_bytes = bounded(&area["key_size"])?;
    if !sectors::has_key_of(area_key_bytes) {
        return Err(Refusal::Unsupported("a cipher other than aes-xts-plain64"));
    }
    let len = area_bytes(key_bytes);
    let offset = decimal(&area["offset"])?;
    if decimal(&area["size"])? < len || offset < 2 * header_bytes {
        return Err(Refusal::Damaged("a key slot has no room"));
    }
    Ok(Slot {
        kdf: derivation(&slot["kdf"])?,
        hash: named_hash(&stripes["hash"])?,
        area: ByteRange { offset, len },
        area_key_bytes,
    })
}

fn digest(digest: &Value) -> Result<KeyDigest, Refusal> {
    if digest["type"] != "pbkdf2" {
        return Err(Refusal::Unsupported("its kind of key digest"));
    }
    let value = binary(&digest["digest"])?;
    if value.is_empty() || value.len() > DIGEST_BYTES_MAX {
        return Err(Refusal::Damaged("its key digest has no such length"));
    }
    let kdf = pbkdf2(digest)?;
    kdf.check(0)?;
    Ok(KeyDigest { kdf, value })
}

/// How much it costs is looked at before it is done.
fn derivation(kdf: &Value) -> Result<Kdf, Refusal> {
    let kind = match kdf["type"].as_str() {
        Some("pbkdf2") => return pbkdf2(kdf),
        Some("argon2i") => Argon2::I,
        Some("argon2id") => Argon2::Id,
        _ => return Err(Refusal::Unsupported("its derivation")),
    };
    Ok(Kdf::Argon2 {
        kind,
        passes: cost(&kdf["time"])?,
        memory_kib: cost(&kdf["memory"])?,
        lanes: cost(&kdf["cpus"])?,
        salt: binary(&kdf["salt"])?,
    })
}

fn pbkdf2(kdf: &Value) -> Result<Kdf, Refusal> {
    Ok(Kdf::Pbkdf2 {
        hash: named_hash(&kdf["hash"])?,
        iterations: cost(&kdf["iterations"])?,
        salt: binary(&kdf["salt"])?,
    })
}

fn aes_xts(encryption: &Value) -> Result<(), Refusal> {
    let is_ours = encryption == &Value::from(format!("{CIPHER}-{MODE}"));
    let other = Refusal::Unsupported("a cipher other than aes-xts-plain64");
    is_ours.then_some(()).ok_or(other)
}

fn object<'a>(described: &'a Value, name: &str) -> Result<&'a Map<String, Value>, Refusal> {
    let found = described[name].as_object();
    found.ok_or(Refusal::Damaged("a part of its JSON is missing"))
}

fn named_hash(name: &Value) -> Result<Hash, Refusal> {
    Hash::from_name(name.as_str().unwrap_or_default())
}

/// A number that JSON has as one.
fn cost(value: &Value) -> Result<u32, Refusal> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or(Refusal::Damaged("a number of its JSON is none"))
}

fn bounded(value: &Value) -> Result<usize, Refusal> {
    cost(value).map(|number| number as usize)
}

/// A 64-bit number, which LUKS2 writes as text.
fn decimal(value: &Value) -> Result<u64, Refusal> {
    let number = value.as_str().and_then(|text| text.parse().ok());
    number.ok_or(Refusal::Damaged("a number of its JSON is none"))
}

fn binary(value: &Value) -> Result<Vec<u8>, Refusal> {
    let bytes = value
        .as_str()
        .and_then(|text| openssl::base64::decode_block(text).ok());
    bytes.ok_or(Refusal::Damaged("a part of its JSON is no base64"))
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at + 8)?;
    Some(u64::from_be_bytes(field.try_into().ok()?))
}

/// Of a header whose sum is none yet.
fn checksum(header: &[u8], hash: Hash) -> Vec<u8> {
    let mut header = header.to_vec();
    header[SUM_AT..SUM_AT + SUM_BYTES].fill(0);
    let sum = digest_of(hash.digest(), &header);
    sum.expect("hashing memory does not fail").to_vec()
}

pub(super) fn make(passphrase: &[u8], is_random: bool) -> Made {
    let hash = Hash::Sha256;
    let key = random(NEW_KEY_BYTES);
    let digest = Kdf::pbkdf2(true);
    let slot = match is_random {
        true => Kdf::pbkdf2(true),
        false => Kdf::argon2id(),
    };
    let described = describe(&key, &slot, &digest, hash).to_string();
    let uuid = Uuid::new_v4().to_string();
    let mut head = Vec::new();
    for (magic, offset) in [
        (b"LUKS\xba\xbe", 0),
        (b"SKUL\xba\xbe", HEADER_BYTES_MIN as u64),
    ] {
        let mut header = vec![0; HEADER_BYTES_MIN];
        let mut put = |at: usize, field: &[u8]| {
            header[at..at + field.len()].copy_from_slice(field);
        };
        put(0, magic);
        put(6, &2u16.to_be_bytes());
        put(SIZE_AT, &(HEADER_BYTES_MIN as u64).to_be_bytes());
        put(SEQUENCE_AT, &1u64.to_be_bytes());
        put(SUM_NAME_AT, hash.name().as_bytes());
        put(SALT_AT, &random(64));
        put(UUID_AT, uuid.as_bytes());
        put(OFFSET_AT, &offset.to_be_bytes());
        put(BINARY_BYTES, described.as_bytes());
        let sum = checksum(&header, hash);
        header[SUM_AT..SUM_AT + sum.len()].copy_from_slice(&sum);
        head.extend(header);
    }
    head.extend(new_area(&key, passphrase, &slot, hash));
    Made {
        head,
        volume: Volume {
            key,
            payload: Payload {
                offset_bytes: HEAD_BYTES,
                len_bytes: None,
                sector_bytes: NEW_SECTOR_BYTES,
                tweak: 0,
            },
        },
    }
}

fn describe(key: &[u8], slot: &Kdf, digest: &Kdf, hash: Hash) -> Value {
    let encryption = format!("{CIPHER}-{MODE}");
    let areas_at = 2 * HEADER_BYTES_MIN as u64;
    let area_bytes = area_bytes(NEW_KEY_BYTES).next_multiple_of(AREA_ALIGN_BYTES);
    let value = digest.derive(key, 32);
    let value = value.expect("what we choose can be derived");
    let mut digest = describe_kdf(digest);
    digest["keyslots"] = json!(["0"]);
    digest["segments"] = json!(["0"]);
    digest["digest"] = openssl::base64::encode_block(&value).into();
    json!({
        "keyslots": {"0": {
            "type": "luks2",
            "key_size": NEW_KEY_BYTES,
            "af": {"type": "luks1", "stripes": STRIPES, "hash": hash.name()},
            "area": {
                "type": "raw",
                "offset": areas_at.to_string(),
                "size": area_bytes.to_string(),
                "encryption": encryption,
                "key_size": NEW_KEY_BYTES,
            },
            "kdf": describe_kdf(slot),
        }},
        "tokens": {},
        "segments": {"0": {
            "type": "crypt",
            "offset": HEAD_BYTES.to_string(),
            "size": "dynamic",
            "iv_tweak": "0",
            "encryption": encryption,
            "sector_size": NEW_SECTOR_BYTES,
        }},
        "digests": {"0": digest},
        "config": {
            "json_size": (HEADER_BYTES_MIN - BINARY_BYTES).to_string(),
            "keyslots_size": (HEAD_BYTES - areas_at).to_string(),
        },
    })
}

fn describe_kdf(kdf: &Kdf) -> Value {
    match kdf {
        Kdf::Pbkdf2 {
            hash,
            iterations,
            salt,
        } => json!({
            "type": "pbkdf2",
            "hash": hash.name(),
            "iterations": iterations,
            "salt": openssl::base64::encode_block(salt),
        }),
        Kdf::Argon2 {
            kind,
            passes,
            memory_kib,
            lanes,
            salt,
        } => json!({
            "type": match kind {
                Argon2::I => "argon2i",
                Argon2::Id => "argon2id",
            },
            "time": passes,
            "memory": memory_kib,
            "cpus": lanes,
            "salt": openssl::base64::encode_block(salt),
        }),
    }
}
