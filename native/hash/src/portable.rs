//! One lane in plain integers: what the tests hold every engine against, and what runs under Miri.

use crate::{
    Md5State, Sha256State, Sha512State,
    rounds::{Word32, Word64, md5_block, sha256_block, sha512_block},
};

/// MD5 of whole blocks.
pub(crate) fn md5(state: &mut Md5State, bytes: &[u8]) {
    for block in bytes.as_chunks::<64>().0 {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        md5_block(state, &words);
    }
}

/// SHA-256 of whole blocks.
pub(crate) fn sha256(state: &mut Sha256State, bytes: &[u8]) {
    for block in bytes.as_chunks::<64>().0 {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        sha256_block(state, &mut words);
    }
}

/// SHA-512 of whole blocks.
pub(crate) fn sha512(state: &mut Sha512State, bytes: &[u8]) {
    for block in bytes.as_chunks::<128>().0 {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
            *word = u64::from_be_bytes(*bytes);
        }
        sha512_block(state, &mut words);
    }
}

impl Word32 for u32 {
    fn splat(word: u32) -> Self {
        word
    }
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn ror<const BITS: i32>(self) -> Self {
        self.rotate_right(BITS as u32)
    }
    fn shr<const BITS: u32>(self) -> Self {
        self >> BITS
    }
    fn choose(x: Self, y: Self, z: Self) -> Self {
        (x & y) | (!x & z)
    }
    fn majority(x: Self, y: Self, z: Self) -> Self {
        (x & y) ^ (x & z) ^ (y & z)
    }
    fn parity(x: Self, y: Self, z: Self) -> Self {
        x ^ y ^ z
    }
    fn other(x: Self, y: Self, z: Self) -> Self {
        y ^ (x | !z)
    }
}

impl Word64 for u64 {
    fn splat(word: u64) -> Self {
        word
    }
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn ror<const BITS: i32>(self) -> Self {
        self.rotate_right(BITS as u32)
    }
    fn shr<const BITS: u32>(self) -> Self {
        self >> BITS
    }
    fn choose(x: Self, y: Self, z: Self) -> Self {
        (x & y) ^ (!x & z)
    }
    fn majority(x: Self, y: Self, z: Self) -> Self {
        (x & y) ^ (x & z) ^ (y & z)
    }
    fn parity(x: Self, y: Self, z: Self) -> Self {
        x ^ y ^ z
    }
}
