//! Eight lanes of MD5 and SHA-256, four of SHA-512, in 256-bit registers.

use std::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm_set_epi64x, _mm256_add_epi32, _mm256_add_epi64,
    _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_sll_epi32, _mm256_sll_epi64, _mm256_srl_epi32, _mm256_srl_epi64,
    _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use crate::{
    Md5State, Sha256State, Sha512State,
    rounds::{Word32, Word64, md5_block, sha256_block, sha512_block},
};

#[derive(Clone, Copy)]
struct W32(__m256i);

#[derive(Clone, Copy)]
struct W64(__m256i);

/// MD5 of eight streams.
///
/// # Safety
/// The processor has AVX2 ([`super::has_avx2`]). Every pointer may be read for `blocks` times 64
/// bytes.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn md5(states: &mut [Md5State; 8], bytes: [*const u8; 8], blocks: usize) {
    let mut state = load32(states);
    for block in 0..blocks {
        // SAFETY: the caller's promise; `block` is below `blocks`.
        let words = unsafe { words32(&bytes, 64 * block) };
        md5_block(&mut state, &words);
    }
    store32(states, &state);
}

/// SHA-256 of eight streams.
///
/// # Safety
/// The processor has AVX2 ([`super::has_avx2`]). Every pointer may be read for `blocks` times 64
/// bytes.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn sha256(states: &mut [Sha256State; 8], bytes: [*const u8; 8], blocks: usize) {
    let swap =
        _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    let mut state = load32(states);
    for block in 0..blocks {
        // SAFETY: the caller's promise; `block` is below `blocks`.
        let mut words = unsafe { words32(&bytes, 64 * block) };
        for word in &mut words {
            word.0 = _mm256_shuffle_epi8(word.0, swap);
        }
        sha256_block(&mut state, &mut words);
    }
    store32(states, &state);
}

/// SHA-512 of four streams.
///
/// # Safety
/// The processor has AVX2 ([`super::has_avx2`]). Every pointer may be read for `blocks` times 128
/// bytes.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn sha512(states: &mut [Sha512State; 4], bytes: [*const u8; 4], blocks: usize) {
    let swap =
        _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607));
    let mut state = load64(states);
    for block in 0..blocks {
        let mut words = [W64(_mm256_setzero_si256()); 16];
        for quarter in 0..4 {
            // SAFETY: the caller's promise; `block` is below `blocks`, and a quarter is 32 bytes.
            let rows = unsafe { rows64(&bytes, 128 * block + 32 * quarter) };
            for (word, row) in words[4 * quarter..].iter_mut().zip(rows) {
                word.0 = _mm256_shuffle_epi8(row, swap);
            }
        }
        sha512_block(&mut state, &mut words);
    }
    store64(states, &state);
}

/// Each word of the states, of all lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn load32<const WORDS: usize>(states: &[[u32; WORDS]; 8]) -> [W32; WORDS] {
    let mut state = [W32(_mm256_setzero_si256()); WORDS];
    for (index, word) in state.iter_mut().enumerate() {
        let lanes = states.map(|lane| lane[index]);
        // SAFETY: eight words are 32 bytes.
        word.0 = unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) };
    }
    state
}

#[inline]
#[target_feature(enable = "avx2")]
fn store32<const WORDS: usize>(states: &mut [[u32; WORDS]; 8], state: &[W32; WORDS]) {
    for (index, word) in state.iter().enumerate() {
        let mut lanes = [0; 8];
        // SAFETY: eight words are 32 bytes.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), word.0) };
        for (lane, word) in states.iter_mut().zip(lanes) {
            lane[index] = word;
        }
    }
}

/// The same for words of 64 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn load64(states: &[Sha512State; 4]) -> [W64; 8] {
    let mut state = [W64(_mm256_setzero_si256()); 8];
    for (index, word) in state.iter_mut().enumerate() {
        let lanes = states.map(|lane| lane[index]);
        // SAFETY: four words are 32 bytes.
        word.0 = unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) };
    }
    state
}

#[inline]
#[target_feature(enable = "avx2")]
fn store64(states: &mut [Sha512State; 4], state: &[W64; 8]) {
    for (index, word) in state.iter().enumerate() {
        let mut lanes = [0; 4];
        // SAFETY: four words are 32 bytes.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), word.0) };
        for (lane, word) in states.iter_mut().zip(lanes) {
            lane[index] = word;
        }
    }
}

/// The sixteen words at `offset`, each of all lanes. Loops, because a closure given to
/// `array::map` may stay a call.
///
/// # Safety
/// Every pointer may be read for 64 bytes from `offset`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn words32(bytes: &[*const u8; 8], offset: usize) -> [W32; 16] {
    let mut words = [W32(_mm256_setzero_si256()); 16];
    for half in 0..2 {
        let mut rows = [_mm256_setzero_si256(); 8];
        for (row, lane) in rows.iter_mut().zip(bytes) {
            // SAFETY: the caller's promise; a half is 32 bytes.
            *row = unsafe { _mm256_loadu_si256(lane.add(offset + 32 * half).cast()) };
        }
        for (word, column) in words[8 * half..].iter_mut().zip(transpose32(rows)) {
            word.0 = column;
        }
    }
    words
}

/// The four words of 64 bits at `offset`, each of all lanes.
///
/// # Safety
/// Every pointer may be read for 32 bytes from `offset`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn rows64(bytes: &[*const u8; 4], offset: usize) -> [__m256i; 4] {
    let mut rows = [_mm256_setzero_si256(); 4];
    for (row, lane) in rows.iter_mut().zip(bytes) {
        // SAFETY: the caller's promise.
        *row = unsafe { _mm256_loadu_si256(lane.add(offset).cast()) };
    }
    transpose64(rows)
}

/// Row `i`, column `j` to row `j`, column `i`, of 32-bit words.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose32(rows: [__m256i; 8]) -> [__m256i; 8] {
    let mut pairs = rows;
    for i in (0..8).step_by(2) {
        pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    let mut quads = pairs;
    for i in (0..8).step_by(4) {
        quads[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
        quads[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
        quads[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        quads[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    let mut columns = quads;
    for c in 0..4 {
        columns[c] = _mm256_permute2x128_si256::<0x20>(quads[c], quads[4 + c]);
        columns[4 + c] = _mm256_permute2x128_si256::<0x31>(quads[c], quads[4 + c]);
    }
    columns
}

/// Row `i`, column `j` to row `j`, column `i`, of 64-bit words.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose64(rows: [__m256i; 4]) -> [__m256i; 4] {
    let low = _mm256_unpacklo_epi64(rows[0], rows[1]);
    let high = _mm256_unpackhi_epi64(rows[0], rows[1]);
    let next_low = _mm256_unpacklo_epi64(rows[2], rows[3]);
    let next_high = _mm256_unpackhi_epi64(rows[2], rows[3]);
    [
        _mm256_permute2x128_si256::<0x20>(low, next_low),
        _mm256_permute2x128_si256::<0x20>(high, next_high),
        _mm256_permute2x128_si256::<0x31>(low, next_low),
        _mm256_permute2x128_si256::<0x31>(high, next_high),
    ]
}

// SAFETY, for every block of both implementations: a `W32` or `W64` exists only inside `md5` and
// `sha512` above, whose callers promise the features.
impl Word32 for W32 {
    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_set1_epi32(word.cast_signed()) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }
    #[inline(always)]
    fn ror<const BITS: i32>(self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let count = _mm_cvtsi32_si128(BITS);
            let rest = _mm_cvtsi32_si128(32 - BITS);
            _mm256_or_si256(
                _mm256_srl_epi32(self.0, count),
                _mm256_sll_epi32(self.0, rest),
            )
        })
    }
    #[inline(always)]
    fn shr<const BITS: u32>(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS as i32)) })
    }
    #[inline(always)]
    fn choose(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_xor_si256(z.0, _mm256_and_si256(x.0, _mm256_xor_si256(y.0, z.0))) })
    }
    #[inline(always)]
    fn majority(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let either = _mm256_or_si256(y.0, z.0);
            _mm256_or_si256(_mm256_and_si256(x.0, either), _mm256_and_si256(y.0, z.0))
        })
    }
    #[inline(always)]
    fn parity(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_xor_si256(x.0, _mm256_xor_si256(y.0, z.0)) })
    }
    #[inline(always)]
    fn other(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let not_z = _mm256_xor_si256(z.0, _mm256_set1_epi32(-1));
            _mm256_xor_si256(y.0, _mm256_or_si256(x.0, not_z))
        })
    }
}

impl Word64 for W64 {
    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_set1_epi64x(word.cast_signed()) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_add_epi64(self.0, other.0) })
    }
    #[inline(always)]
    fn ror<const BITS: i32>(self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let count = _mm_cvtsi32_si128(BITS);
            let rest = _mm_cvtsi32_si128(64 - BITS);
            _mm256_or_si256(
                _mm256_srl_epi64(self.0, count),
                _mm256_sll_epi64(self.0, rest),
            )
        })
    }
    #[inline(always)]
    fn shr<const BITS: u32>(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_srl_epi64(self.0, _mm_cvtsi32_si128(BITS as i32)) })
    }
    #[inline(always)]
    fn choose(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_xor_si256(z.0, _mm256_and_si256(x.0, _mm256_xor_si256(y.0, z.0))) })
    }
    #[inline(always)]
    fn majority(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let either = _mm256_or_si256(y.0, z.0);
            _mm256_or_si256(_mm256_and_si256(x.0, either), _mm256_and_si256(y.0, z.0))
        })
    }
    #[inline(always)]
    fn parity(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_xor_si256(x.0, _mm256_xor_si256(y.0, z.0)) })
    }
}
