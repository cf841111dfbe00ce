//! LUKS version 1 (its on-disk format specification): a big-endian header at the start. Version 2
//! is known so that it can be refused, also as raw, unless the image says that it is one. What is inside is
//! not looked at: `data::encrypt` does, of images that say what opens them.

use super::region::field;
use super::{Found, Unreadable, Violation};

/// The header with its key slots.
pub const HEADER_BYTES: usize = 592;

const MAGIC: &[u8] = b"LUKS\xba\xbe";
const VERSION_AT: usize = 6;
const VERSION: u16 = 1;
const SECOND_VERSION: u16 = 2;
const PAYLOAD_SECTOR_AT: usize = 104;
const SECTOR_BYTES: u64 = 512;
/// The fields before the key slots.
const FIELDS_BYTES: usize = 168;

/// What the start of a stream says, if it is LUKS. `is_declared`: the image says which version it is, and
/// that is looked at elsewhere.
pub fn inspect(head: &[u8], total_bytes: u64, is_declared: bool) -> Option<Found> {
    head.starts_with(MAGIC).then(|| {
        let is_second = u16::from_be_bytes(field(head, VERSION_AT)) == SECOND_VERSION;
        let is_ours = is_declared && is_second;
        Found {
            complete: head.len() >= HEADER_BYTES,
            virtual_size_bytes: match is_ours {
                true => Ok(None),
                false => payload_bytes(head, total_bytes),
            },
            safety: if is_ours { Ok(()) } else { check(head) },
        }
    })
}

fn payload_bytes(head: &[u8], total_bytes: u64) -> Result<Option<u64>, Unreadable> {
    if head.len() < FIELDS_BYTES {
        return Err(Unreadable);
    }
    let payload_sector = u32::from_be_bytes(field(head, PAYLOAD_SECTOR_AT));
    Ok(total_bytes.checked_sub(u64::from(payload_sector) * SECTOR_BYTES))
}

fn check(head: &[u8]) -> Result<(), Violation> {
    match u16::from_be_bytes(field(head, VERSION_AT)) {
        VERSION => Ok(()),
        _ => Err(Violation("LUKS version is not 1")),
    }
}
