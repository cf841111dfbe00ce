//! QEMU copy on write (qemu's `docs/interop/qcow2.txt`): a big-endian header at the start.

use super::region::field;
use super::{Found, Violation};

const HEADER_BYTES: usize = 512;
const MAGIC: &[u8] = b"QFI\xfb";
const VERSION_AT: usize = 4;
const BACKING_FILE_OFFSET_AT: usize = 8;
const SIZE_AT: usize = 24;
const ENCRYPTION_AT: usize = 32;
const ENCRYPTION_LUKS: u32 = 2;
const INCOMPATIBLE_FEATURES_AT: usize = 72;

/// Dirty, corrupt, external data file, compression type.
const FEATURES_KNOWN: u64 = 0b1111;
const FEATURE_DATA_FILE: u64 = 0b0100;

/// What the start of a stream says, if it is a qcow2.
pub fn inspect(head: &[u8]) -> Option<Found> {
    let header: &[u8; HEADER_BYTES] = head.first_chunk()?;
    header.starts_with(MAGIC).then(|| Found {
        complete: true,
        virtual_size_bytes: Ok(Some(u64::from_be_bytes(field(header, SIZE_AT)))),
        safety: check(header),
    })
}

/// Whether it says that its clusters are encrypted with a key in a LUKS header.
pub(super) fn is_encrypted(head: &[u8]) -> bool {
    u32::from_be_bytes(field(head, ENCRYPTION_AT)) == ENCRYPTION_LUKS
}

fn check(header: &[u8]) -> Result<(), Violation> {
    let version = u32::from_be_bytes(field(header, VERSION_AT));
    let features = u64::from_be_bytes(field(header, INCOMPATIBLE_FEATURES_AT));
    if u64::from_be_bytes(field(header, BACKING_FILE_OFFSET_AT)) != 0 {
        return Err(Violation("qcow2 has a backing file"));
    }
    if features & FEATURE_DATA_FILE != 0 {
        return Err(Violation("qcow2 has its data in another file"));
    }
    match version {
        // What is a feature field in version 3 is not part of the version 2 header.
        2 => Ok(()),
        3 if features & !FEATURES_KNOWN == 0 => Ok(()),
        3 => Err(Violation("qcow2 has unknown incompatible features")),
        _ => Err(Violation("qcow2 version is not 2 or 3")),
    }
}
