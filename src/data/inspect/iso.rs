//! ISO 9660 (ECMA-119) and UDF (ECMA-167): a volume descriptor after 16 sectors that are anybody's.

use super::Found;
use super::region::field;

/// Where the first volume descriptor stands.
pub const DESCRIPTOR_OFFSET: u64 = 32 * 1024;
/// Its size.
pub const DESCRIPTOR_BYTES: usize = 2 * 1024;

const IDENTIFIERS: [&[u8; 5]; 3] = [b"CD001", b"NSR02", b"NSR03"];
const IDENTIFIER_AT: usize = 1;
const TYPE_PRIMARY: u8 = 1;
/// Both are written little-endian and then again big-endian.
const BLOCKS_AT: usize = 80;
const BLOCK_BYTES_AT: usize = 128;

/// What the first volume descriptor says, if it is one.
pub fn inspect(descriptor: &[u8]) -> Option<Found> {
    let descriptor: &[u8; DESCRIPTOR_BYTES] = descriptor.first_chunk()?;
    let identifier = field(descriptor, IDENTIFIER_AT);
    IDENTIFIERS.contains(&&identifier).then(|| Found {
        complete: true,
        virtual_size_bytes: Ok((descriptor[0] == TYPE_PRIMARY).then(|| {
            let blocks = u32::from_le_bytes(field(descriptor, BLOCKS_AT));
            let block_bytes = u16::from_le_bytes(field(descriptor, BLOCK_BYTES_AT));
            u64::from(blocks) * u64::from(block_bytes)
        })),
        safety: Ok(()),
    })
}
