//! AES-256-XTS over the sectors of a disk, in place: aws-lc's, which has it in the processor's vectors
//! (some 6.5 GB a CPU second with sectors of 512 bytes, twice that with 4096; OpenSSL 3.0 has half of it).
//!
//! The library is the one that rustls stands on. Its safe Rust interface has no XTS.

use std::{fmt, ptr::NonNull};

use aws_lc_sys::{
    EVP_CIPHER_CTX, EVP_CIPHER_CTX_free, EVP_CIPHER_CTX_new, EVP_CipherInit_ex, EVP_CipherUpdate,
    EVP_aes_256_xts,
};

/// Two keys of AES-256: the data's, then the tweak's.
pub const KEY_BYTES: usize = 64;
/// The least sector: one block of AES.
pub const SECTOR_BYTES_MIN: usize = 16;
/// The largest sector (IEEE 1619-2018: 2^20 blocks).
pub const SECTOR_BYTES_MAX: usize = 16 << 20;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Plain bytes become encrypted ones.
    Encrypt,
    /// Encrypted bytes become plain ones.
    Decrypt,
}

/// A key's schedule, one way. Overwritten when dropped, and shown by nobody.
pub struct Xts {
    context: NonNull<EVP_CIPHER_CTX>,
}

impl Xts {
    /// None where both halves of the key are equal, which IEEE 1619 forbids.
    ///
    /// # Panics
    /// When there is no memory.
    pub fn new(key: &[u8; KEY_BYTES], direction: Direction) -> Option<Self> {
        // SAFETY: it has no conditions; what it gives is ours, and `Drop` frees it.
        let context = unsafe { EVP_CIPHER_CTX_new() };
        let context = NonNull::new(context).expect("memory for a cipher's context");
        let ours = Self { context };
        // SAFETY: the context is live and fresh; the cipher is a constant of the library, whose key has
        // `KEY_BYTES`, all of which are read before this returns; no engine and no IV are given.
        let done = unsafe {
            EVP_CipherInit_ex(
                ours.context.as_ptr(),
                EVP_aes_256_xts(),
                std::ptr::null_mut(),
                key.as_ptr(),
                std::ptr::null(),
                (direction == Direction::Encrypt).into(),
            )
        };
        (done == 1).then_some(ours)
    }

    /// Turns whole sectors, in place. The first has the tweak `first`, each next one `step` more, as 16
    /// little-endian bytes (dm-crypt's plain64).
    ///
    /// # Panics
    /// When `bytes` is not whole sectors, or a sector is no data unit of XTS.
    pub fn turn(&mut self, bytes: &mut [u8], sector_bytes: usize, first: u64, step: u64) {
        assert!(
            (SECTOR_BYTES_MIN..=SECTOR_BYTES_MAX).contains(&sector_bytes)
                && bytes.len().is_multiple_of(sector_bytes),
            "whole sectors"
        );
        let mut tweak = first;
        for sector in bytes.chunks_exact_mut(sector_bytes) {
            self.turn_one(sector, tweak);
            tweak = tweak.wrapping_add(step);
        }
    }

    fn turn_one(&mut self, sector: &mut [u8], tweak: u64) {
        let mut iv = [0; 16];
        iv[..8].copy_from_slice(&tweak.to_le_bytes());
        let len = i32::try_from(sector.len()).expect("a sector has at most 16 MiB");
        let mut written = 0;
        let at = sector.as_mut_ptr();
        // SAFETY: the context is live, has cipher and key since `new`, and `&mut self` makes this its only
        // user; the IV has the cipher's 16 bytes and is copied; `at` is valid for reads and writes of `len`
        // bytes, and the library's XTS allows output and input to be the same memory; it keeps no pointer.
        let done = unsafe {
            EVP_CipherInit_ex(
                self.context.as_ptr(),
                std::ptr::null(),
                std::ptr::null_mut(),
                std::ptr::null(),
                iv.as_ptr(),
                -1,
            ) == 1
                && EVP_CipherUpdate(self.context.as_ptr(), at, &raw mut written, at, len) == 1
        };
        assert!(done && written == len, "a key and a data unit are there");
    }
}

impl Drop for Xts {
    fn drop(&mut self) {
        // SAFETY: the context is live, ours alone, and freed only here. The library overwrites what it
        // frees.
        unsafe { EVP_CIPHER_CTX_free(self.context.as_ptr()) }
    }
}

// SAFETY: the context is owned by this value alone, and nothing in it is bound to a thread.
unsafe impl Send for Xts {}
// SAFETY: through `&Xts` nothing of the context is reachable.
unsafe impl Sync for Xts {}

impl fmt::Debug for Xts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xts").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    /// IEEE 1619-2007, vector 10: 512 bytes, twice 00 to ff, data unit 0xff; its first bytes.
    #[test]
    fn it_is_the_standards() {
        let key = bytes(
            "27182818284590452353602874713526624977572470936999595749669676273141592653589793\
             238462643383279502884197169399375105820974944592",
        );
        let key: [u8; KEY_BYTES] = key.try_into().unwrap();
        let plain: Vec<u8> = (0..512).map(|at| at as u8).collect();
        let mut sector = plain.clone();
        let mut forth = Xts::new(&key, Direction::Encrypt).unwrap();
        forth.turn(&mut sector, 512, 0xff, 1);
        let start = bytes("1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b");
        assert_eq!(sector[..32], start);
        let mut back = Xts::new(&key, Direction::Decrypt).unwrap();
        back.turn(&mut sector, 512, 0xff, 1);
        assert_eq!(sector, plain);
    }

    #[test]
    fn each_sector_has_a_tweak_of_its_own() {
        let key: [u8; KEY_BYTES] = std::array::from_fn(|at| at as u8);
        let mut xts = Xts::new(&key, Direction::Encrypt).unwrap();
        let mut together = vec![7; 3 * 512];
        xts.turn(&mut together, 512, 5, 8);
        for (number, sector) in together.chunks(512).enumerate() {
            let mut alone = vec![7; 512];
            xts.turn(&mut alone, 512, 5 + 8 * number as u64, 1);
            assert_eq!(alone, sector);
        }
        assert_ne!(together[..512], together[512..1024]);
    }

    #[test]
    fn a_key_of_two_equal_halves_is_none() {
        assert!(Xts::new(&[7; KEY_BYTES], Direction::Encrypt).is_none());
        assert!(Xts::new(&[7; KEY_BYTES], Direction::Decrypt).is_none());
    }

    #[test]
    #[should_panic(expected = "whole sectors")]
    fn half_a_sector_is_none() {
        let key: [u8; KEY_BYTES] = std::array::from_fn(|at| at as u8);
        let mut xts = Xts::new(&key, Direction::Encrypt).unwrap();
        xts.turn(&mut [0; 700], 512, 0, 1);
    }
}
