//! Bytes in flight: pooled buffers, and the process's one memory limit for them.

pub mod chunk;
pub mod pool;

pub use chunk::{AtRest, Chunk, Plain, is_zero};
pub use pool::{Admission, Buffer, Claim, Exhausted, Pool};
