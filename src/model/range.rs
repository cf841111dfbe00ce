//! Which bytes of an image.

/// A contiguous piece of an image: `offset .. offset + len`. Both in bytes; `len` may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
}

impl ByteRange {
    /// All of an image of `size_bytes`.
    pub fn whole(size_bytes: u64) -> Self {
        Self {
            offset: 0,
            len: size_bytes,
        }
    }

    /// The byte after the last.
    pub fn end(self) -> u64 {
        self.offset + self.len
    }
}
