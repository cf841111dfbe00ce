//! Sizes that more than one layer must agree on.

/// Bytes in a KiB.
pub const KIB: usize = 1024;
/// Bytes in a MiB.
pub const MIB: usize = 1024 * KIB;

/// The bytes of one pooled buffer, and so the largest [`crate::buf::Chunk`].
pub const CHUNK_BYTES: usize = MIB;
/// The buffers that a transfer is admitted with; the rest it borrows.
pub const ADMISSION_CHUNKS: usize = 2;

/// The parameters of a list, and the conditions that they make: each is a subquery at worst, and a
/// database plans all of them before it reads a row.
pub const LIST_CONDITIONS_MAX: usize = 128;
/// The values of one of them (`in:`, and commas). Dashboards ask for some 200 images by their ids.
pub const LIST_VALUES_MAX: usize = 1024;
