//! QEMU enhanced disk: known so that it can be refused, also as raw.

use super::{Found, Violation};

const HEADER_BYTES: usize = 512;
const MAGIC: &[u8] = b"QED\0";

/// What the start of a stream says, if it is a QED.
pub fn inspect(head: &[u8]) -> Option<Found> {
    let header: &[u8; HEADER_BYTES] = head.first_chunk()?;
    header.starts_with(MAGIC).then_some(Found {
        complete: true,
        virtual_size_bytes: Ok(None),
        safety: Err(Violation("qed is not allowed")),
    })
}
