//! MD5, SHA-256 and SHA-512 over whole blocks, from raw state to raw state: one stream at a time,
//! or many side by side in the lanes of a vector.
//!
//! A state can move between all of them at any block boundary, so a scheduler may run a stream
//! alone now and in a lane a millisecond later. The bytes that do not fill a block are the
//! caller's, until they are the end of a message ([`Algorithm::end`]).
//!
//! Which code runs is decided once, by what the processor has ([`Engine::detect`]). Every engine
//! computes the same; the tests hold them against OpenSSL.

mod algorithm;
mod constants;
mod openssl;
mod padding;
#[cfg(any(miri, test))]
mod portable;
mod rounds;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt::Debug;

pub use algorithm::{Md5, Sha256, Sha512};

/// The state of MD5 between two blocks (RFC 1321, 3.3): A, B, C, D.
pub type Md5State = [u32; 4];
/// The state of SHA-256 between two blocks (FIPS 180-4, 6.2): H0 to H7.
pub type Sha256State = [u32; 8];
/// The state of SHA-512 between two blocks (FIPS 180-4, 6.4): H0 to H7.
pub type Sha512State = [u64; 8];

/// A hash function whose streams can run side by side.
pub trait Algorithm: algorithm::Sealed {
    /// What a stream is between two blocks.
    type State: Copy + Debug + Default + PartialEq + Send;

    /// The state of an empty stream.
    const INIT: Self::State;

    /// Bytes of a block.
    const BLOCK_BYTES: usize;

    /// How many streams an engine runs side by side.
    fn width(engine: Engine) -> Width;

    /// Adds whole blocks to one stream.
    ///
    /// # Panics
    /// When `bytes` is not whole blocks.
    fn alone(engine: Engine, state: &mut Self::State, bytes: &[u8]);

    /// Adds whole blocks to several streams, at most [`Width::max`].
    ///
    /// # Panics
    /// When the lanes differ in length, are not whole blocks, or are too many.
    fn side_by_side(engine: Engine, lanes: &mut [Lane<'_, Self::State>]);

    /// The last blocks of a message of `total_bytes`: `rest`, which is less than a block, and the
    /// padding.
    fn end(rest: &[u8], total_bytes: u64) -> Vec<u8>;

    /// The digest, once the end is added.
    fn digest(state: Self::State) -> Vec<u8>;
}

/// One stream's share of a side-by-side run.
#[derive(Debug)]
pub struct Lane<'a, State> {
    /// Read, and replaced by the state after `bytes`.
    pub state: &'a mut State,
    /// Whole blocks, as many as in every other lane.
    pub bytes: &'a [u8],
}

/// How many streams share a vector. A vector costs the same however many of its lanes are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// From so many streams on, side by side is cheaper than one after the other.
    pub min: usize,
    /// As many as there are lanes. Less than `min` where nothing runs side by side.
    pub max: usize,
}

/// A set of kernels that this processor can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine(Kind);

/// Private, so that an engine exists only for a processor that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Scalar,
}

impl Engine {
    /// The best that this processor has.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// Every engine that this processor can run, the best first. The last is `scalar`, which runs on
    /// all: OpenSSL's code, one stream after the other.
    pub fn available() -> Vec<Self> {
        let mut engines = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if x86::has_avx512() {
                engines.push(Self(Kind::Avx512));
            }
            if x86::has_avx2() {
                engines.push(Self(Kind::Avx2));
            }
        }
        engines.push(Self(Kind::Scalar));
        engines
    }

    /// `avx512`, `avx2` or `scalar`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            Kind::Scalar => "scalar",
        }
    }
}

#[cfg(test)]
mod tests;
