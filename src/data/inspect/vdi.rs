//! VirtualBox: a little-endian header at the start.

use super::Found;
use super::region::field;

const HEADER_BYTES: usize = 512;
const SIGNATURE_AT: usize = 0x40;
const SIGNATURE: u32 = 0xbeda_107f;
const SIZE_AT: usize = 0x170;

/// What the start of a stream says, if it is a VDI.
pub fn inspect(head: &[u8]) -> Option<Found> {
    let header: &[u8; HEADER_BYTES] = head.first_chunk()?;
    (u32::from_le_bytes(field(header, SIGNATURE_AT)) == SIGNATURE).then(|| Found {
        complete: true,
        virtual_size_bytes: Ok(Some(u64::from_le_bytes(field(header, SIZE_AT)))),
        safety: Ok(()),
    })
}
