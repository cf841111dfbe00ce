//! Connectix and Microsoft Virtual PC: dynamic disks have a copy of their big-endian footer at the
//! start. Fixed ones have it at the end only, and are raw to us as they are to Glance.

use super::Found;
use super::region::field;

const HEADER_BYTES: usize = 512;
const MAGIC: &[u8] = b"conectix";
const SIZE_AT: usize = 40;

/// What the start of a stream says, if it is a VHD.
pub fn inspect(head: &[u8]) -> Option<Found> {
    let complete = head.len() >= HEADER_BYTES;
    head.starts_with(MAGIC).then(|| Found {
        complete,
        virtual_size_bytes: Ok(complete.then(|| u64::from_be_bytes(field(head, SIZE_AT)))),
        safety: Ok(()),
    })
}
