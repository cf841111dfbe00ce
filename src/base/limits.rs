//! Sizes that more than one layer must agree on.

/// Bytes in a KiB.
pub const KIB: usize = 1024;
/// Bytes in a MiB.
pub const MIB: usize = 1024 * KIB;

/// The bytes of one pooled buffer, and so the largest [`crate::buf::Chunk`].
pub const CHUNK_BYTES: usize = MIB;
/// The buffers that a transfer is admitted with; the rest it borrows.
pub const ADMISSION_CHUNKS: usize = 2;
