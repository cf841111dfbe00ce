//! MD5 and SHA-512 over whole blocks, from raw state to raw state: one stream at a time, or many
//! side by side in the lanes of a vector.
//!
//! A state can move between all of them at any block boundary, so a scheduler may run a stream
//! alone now and in a lane a millisecond later. Padding, and the bytes that do not fill a block,
//! are the caller's ([`md5_padding`], [`sha512_padding`]).
//!
//! Which code runs is decided once, by what the processor has ([`Engine::detect`]). Every engine
//! computes the same; the tests hold them against OpenSSL.

mod constants;
mod openssl;
mod padding;
mod portable;
mod rounds;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use padding::{md5_padding, sha512_padding};

/// The state of MD5 between two blocks (RFC 1321, 3.3): A, B, C, D.
pub type Md5State = [u32; 4];
/// The state of SHA-512 between two blocks (FIPS 180-4, 6.4): H0 to H7.
pub type Sha512State = [u64; 8];

/// Bytes of a block of MD5.
pub const MD5_BLOCK_BYTES: usize = 64;
/// Bytes of a block of SHA-512.
pub const SHA512_BLOCK_BYTES: usize = 128;

/// The initial state of MD5.
pub const MD5_INIT: Md5State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The initial state of SHA-512.
pub const SHA512_INIT: Sha512State = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// One stream's share of a side-by-side run.
#[derive(Debug)]
pub struct Lane<'a, State> {
    /// Read, and replaced by the state after `bytes`.
    pub state: &'a mut State,
    /// Whole blocks, as many as in every other lane.
    pub bytes: &'a [u8],
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
    Portable,
}

impl Engine {
    /// The best that this processor has.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// Every engine that this processor can run, the best first.
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
        engines.push(Self(Kind::Portable));
        engines
    }

    /// `avx512`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            Kind::Portable => "portable",
        }
    }

    /// The lanes of MD5 that cost as much as one.
    pub fn md5_lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 8,
            Kind::Portable => 1,
        }
    }

    /// The lanes of SHA-512 that cost as much as one.
    pub fn sha512_lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 8,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 4,
            Kind::Portable => 1,
        }
    }

    /// MD5 of one stream.
    ///
    /// # Panics
    /// When `bytes` is not whole blocks.
    pub fn md5(self, state: &mut Md5State, bytes: &[u8]) {
        assert!(
            bytes.len().is_multiple_of(MD5_BLOCK_BYTES),
            "a part of a block"
        );
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the kind exists only where the features were seen.
            Kind::Avx512 => unsafe { x86::single::md5(state, bytes) },
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => openssl::md5(state, bytes),
            Kind::Portable => openssl::md5(state, bytes),
        }
    }

    /// SHA-512 of one stream.
    ///
    /// # Panics
    /// When `bytes` is not whole blocks.
    pub fn sha512(self, state: &mut Sha512State, bytes: &[u8]) {
        assert!(
            bytes.len().is_multiple_of(SHA512_BLOCK_BYTES),
            "a part of a block"
        );
        openssl::sha512(state, bytes);
    }

    /// MD5 of several streams, at most [`Engine::md5_lanes`].
    ///
    /// # Panics
    /// When the lanes differ in length, are not whole blocks, or are too many.
    pub fn md5_side_by_side(self, lanes: &mut [Lane<'_, Md5State>]) {
        check(lanes, MD5_BLOCK_BYTES, self.md5_lanes());
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => run(lanes, MD5_BLOCK_BYTES, |states, bytes, blocks| {
                // SAFETY: the kind exists only where the features were seen; `run` hands out
                // pointers into slices of `blocks` blocks.
                unsafe { x86::avx512::md5(states, bytes, blocks) }
            }),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => run(lanes, MD5_BLOCK_BYTES, |states, bytes, blocks| {
                // SAFETY: as above.
                unsafe { x86::avx2::md5(states, bytes, blocks) }
            }),
            Kind::Portable => {
                for lane in lanes {
                    portable::md5(lane.state, lane.bytes);
                }
            }
        }
    }

    /// SHA-512 of several streams, at most [`Engine::sha512_lanes`].
    ///
    /// # Panics
    /// When the lanes differ in length, are not whole blocks, or are too many.
    pub fn sha512_side_by_side(self, lanes: &mut [Lane<'_, Sha512State>]) {
        check(lanes, SHA512_BLOCK_BYTES, self.sha512_lanes());
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => run(lanes, SHA512_BLOCK_BYTES, |states, bytes, blocks| {
                // SAFETY: the kind exists only where the features were seen; `run` hands out
                // pointers into slices of `blocks` blocks.
                unsafe { x86::avx512::sha512(states, bytes, blocks) }
            }),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => run(lanes, SHA512_BLOCK_BYTES, |states, bytes, blocks| {
                // SAFETY: as above.
                unsafe { x86::avx2::sha512(states, bytes, blocks) }
            }),
            Kind::Portable => {
                for lane in lanes {
                    portable::sha512(lane.state, lane.bytes);
                }
            }
        }
    }
}

fn check<State>(lanes: &[Lane<'_, State>], block_bytes: usize, lanes_max: usize) {
    assert!(
        lanes.len() <= lanes_max,
        "{} lanes, {lanes_max} at most",
        lanes.len()
    );
    if let Some(first) = lanes.first() {
        assert!(
            first.bytes.len().is_multiple_of(block_bytes),
            "a part of a block"
        );
        assert!(
            lanes
                .iter()
                .all(|lane| lane.bytes.len() == first.bytes.len()),
            "uneven lanes"
        );
    }
}

/// Gathers the lanes for a kernel of `N`. A lane that nobody uses reads the first one's bytes, and
/// what it computes is thrown away.
#[cfg(target_arch = "x86_64")]
fn run<State: Copy + Default, const N: usize>(
    lanes: &mut [Lane<'_, State>],
    block_bytes: usize,
    kernel: impl FnOnce(&mut [State; N], [*const u8; N], usize),
) {
    let Some(first) = lanes.first() else { return };
    let blocks = first.bytes.len() / block_bytes;
    let mut states = [State::default(); N];
    let mut bytes = [first.bytes.as_ptr(); N];
    for (index, lane) in lanes.iter().enumerate() {
        states[index] = *lane.state;
        bytes[index] = lane.bytes.as_ptr();
    }
    kernel(&mut states, bytes, blocks);
    for (lane, state) in lanes.iter_mut().zip(states) {
        *lane.state = state;
    }
}

#[cfg(test)]
mod tests;
