//! Sixteen lanes of MD5 and SHA-256, eight of SHA-512, in 512-bit registers.

use std::arch::x86_64::{
    __m512i, _mm_set_epi64x, _mm512_add_epi32, _mm512_add_epi64, _mm512_broadcast_i32x4,
    _mm512_loadu_si512, _mm512_ror_epi32, _mm512_ror_epi64, _mm512_set1_epi32, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_shuffle_i64x2,
    _mm512_srli_epi32, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_ternarylogic_epi32,
    _mm512_ternarylogic_epi64, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};

use crate::{
    Md5State, Sha256State, Sha512State,
    rounds::{Word32, Word64, md5_block, sha256_block, sha512_block},
};

#[derive(Clone, Copy)]
struct W32(__m512i);

#[derive(Clone, Copy)]
struct W64(__m512i);

/// MD5 of sixteen streams.
///
/// # Safety
/// The processor has AVX-512 F, BW and VL ([`super::has_avx512`]). Every pointer may be read for
/// `blocks` times 64 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) unsafe fn md5(states: &mut [Md5State; 16], bytes: [*const u8; 16], blocks: usize) {
    let mut state = load32(states);
    for block in 0..blocks {
        // SAFETY: the caller's promise; `block` is below `blocks`.
        let words = unsafe { words32(&bytes, 64 * block) };
        md5_block(&mut state, &words);
    }
    store32(states, &state);
}

/// SHA-256 of sixteen streams.
///
/// # Safety
/// The processor has AVX-512 F, BW and VL ([`super::has_avx512`]). Every pointer may be read for
/// `blocks` times 64 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) unsafe fn sha256(states: &mut [Sha256State; 16], bytes: [*const u8; 16], blocks: usize) {
    let swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    let mut state = load32(states);
    for block in 0..blocks {
        // SAFETY: the caller's promise; `block` is below `blocks`.
        let mut words = unsafe { words32(&bytes, 64 * block) };
        for word in &mut words {
            word.0 = _mm512_shuffle_epi8(word.0, swap);
        }
        sha256_block(&mut state, &mut words);
    }
    store32(states, &state);
}

/// SHA-512 of eight streams.
///
/// # Safety
/// The processor has AVX-512 F, BW and VL ([`super::has_avx512`]). Every pointer may be read for
/// `blocks` times 128 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) unsafe fn sha512(states: &mut [Sha512State; 8], bytes: [*const u8; 8], blocks: usize) {
    let swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607));
    let mut state = load64(states);
    for block in 0..blocks {
        let mut words = [W64(_mm512_setzero_si512()); 16];
        for half in 0..2 {
            // SAFETY: the caller's promise; `block` is below `blocks`, and a half is 64 bytes.
            let rows = unsafe { rows64(&bytes, 128 * block + 64 * half) };
            for (word, row) in words[8 * half..].iter_mut().zip(rows) {
                word.0 = _mm512_shuffle_epi8(row, swap);
            }
        }
        sha512_block(&mut state, &mut words);
    }
    store64(states, &state);
}

/// Each word of the states, of all lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load32<const WORDS: usize>(states: &[[u32; WORDS]; 16]) -> [W32; WORDS] {
    let mut state = [W32(_mm512_setzero_si512()); WORDS];
    for (index, word) in state.iter_mut().enumerate() {
        let lanes = states.map(|lane| lane[index]);
        // SAFETY: sixteen words are 64 bytes.
        word.0 = unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
    }
    state
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn store32<const WORDS: usize>(states: &mut [[u32; WORDS]; 16], state: &[W32; WORDS]) {
    for (index, word) in state.iter().enumerate() {
        let mut lanes = [0; 16];
        // SAFETY: sixteen words are 64 bytes.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), word.0) };
        for (lane, word) in states.iter_mut().zip(lanes) {
            lane[index] = word;
        }
    }
}

/// The same for words of 64 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load64(states: &[Sha512State; 8]) -> [W64; 8] {
    let mut state = [W64(_mm512_setzero_si512()); 8];
    for (index, word) in state.iter_mut().enumerate() {
        let lanes = states.map(|lane| lane[index]);
        // SAFETY: eight words are 64 bytes.
        word.0 = unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
    }
    state
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn store64(states: &mut [Sha512State; 8], state: &[W64; 8]) {
    for (index, word) in state.iter().enumerate() {
        let mut lanes = [0; 8];
        // SAFETY: eight words are 64 bytes.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), word.0) };
        for (lane, word) in states.iter_mut().zip(lanes) {
            lane[index] = word;
        }
    }
}

/// The sixteen words at `offset`, each of all lanes. Loops, because a closure given to
/// `array::map` stays a call.
///
/// # Safety
/// Every pointer may be read for 64 bytes from `offset`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn words32(bytes: &[*const u8; 16], offset: usize) -> [W32; 16] {
    let mut rows = [_mm512_setzero_si512(); 16];
    for (row, lane) in rows.iter_mut().zip(bytes) {
        // SAFETY: the caller's promise.
        *row = unsafe { _mm512_loadu_si512(lane.add(offset).cast()) };
    }
    let mut words = [W32(_mm512_setzero_si512()); 16];
    for (word, column) in words.iter_mut().zip(transpose32(rows)) {
        word.0 = column;
    }
    words
}

/// The eight words of 64 bits at `offset`, each of all lanes.
///
/// # Safety
/// Every pointer may be read for 64 bytes from `offset`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn rows64(bytes: &[*const u8; 8], offset: usize) -> [__m512i; 8] {
    let mut rows = [_mm512_setzero_si512(); 8];
    for (row, lane) in rows.iter_mut().zip(bytes) {
        // SAFETY: the caller's promise.
        *row = unsafe { _mm512_loadu_si512(lane.add(offset).cast()) };
    }
    transpose64(rows)
}

/// Row `i`, column `j` to row `j`, column `i`, of 32-bit words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn transpose32(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = rows;
    for i in (0..16).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    let mut quads = pairs;
    for i in (0..16).step_by(4) {
        quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    // `quads[4 * g + c]` has, in its 128-bit part `p`, column `4 * p + c` of the rows `4 * g ..`.
    let mut columns = quads;
    for c in 0..4 {
        let even_low = _mm512_shuffle_i32x4::<0x88>(quads[c], quads[4 + c]);
        let odd_low = _mm512_shuffle_i32x4::<0xdd>(quads[c], quads[4 + c]);
        let even_high = _mm512_shuffle_i32x4::<0x88>(quads[8 + c], quads[12 + c]);
        let odd_high = _mm512_shuffle_i32x4::<0xdd>(quads[8 + c], quads[12 + c]);
        columns[c] = _mm512_shuffle_i32x4::<0x88>(even_low, even_high);
        columns[8 + c] = _mm512_shuffle_i32x4::<0xdd>(even_low, even_high);
        columns[4 + c] = _mm512_shuffle_i32x4::<0x88>(odd_low, odd_high);
        columns[12 + c] = _mm512_shuffle_i32x4::<0xdd>(odd_low, odd_high);
    }
    columns
}

/// Row `i`, column `j` to row `j`, column `i`, of 64-bit words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn transpose64(rows: [__m512i; 8]) -> [__m512i; 8] {
    let mut pairs = rows;
    for i in (0..8).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi64(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi64(rows[i], rows[i + 1]);
    }
    // `pairs[2 * g + c]` has, in its 128-bit part `p`, column `2 * p + c` of the rows `2 * g ..`.
    let mut columns = pairs;
    for c in 0..2 {
        let even_low = _mm512_shuffle_i64x2::<0x88>(pairs[c], pairs[2 + c]);
        let odd_low = _mm512_shuffle_i64x2::<0xdd>(pairs[c], pairs[2 + c]);
        let even_high = _mm512_shuffle_i64x2::<0x88>(pairs[4 + c], pairs[6 + c]);
        let odd_high = _mm512_shuffle_i64x2::<0xdd>(pairs[4 + c], pairs[6 + c]);
        columns[c] = _mm512_shuffle_i64x2::<0x88>(even_low, even_high);
        columns[4 + c] = _mm512_shuffle_i64x2::<0xdd>(even_low, even_high);
        columns[2 + c] = _mm512_shuffle_i64x2::<0x88>(odd_low, odd_high);
        columns[6 + c] = _mm512_shuffle_i64x2::<0xdd>(odd_low, odd_high);
    }
    columns
}

// SAFETY, for every block of both implementations: a `W32` or `W64` exists only inside `md5`,
// `sha256` and `sha512` above, whose callers promise the features.
impl Word32 for W32 {
    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_set1_epi32(word.cast_signed()) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_add_epi32(self.0, other.0) })
    }
    #[inline(always)]
    fn ror<const BITS: i32>(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ror_epi32::<BITS>(self.0) })
    }
    #[inline(always)]
    fn shr<const BITS: u32>(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_srli_epi32::<BITS>(self.0) })
    }
    #[inline(always)]
    fn choose(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ternarylogic_epi32::<0xca>(x.0, y.0, z.0) })
    }
    #[inline(always)]
    fn majority(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ternarylogic_epi32::<0xe8>(x.0, y.0, z.0) })
    }
    #[inline(always)]
    fn parity(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ternarylogic_epi32::<0x96>(x.0, y.0, z.0) })
    }
    #[inline(always)]
    fn other(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ternarylogic_epi32::<0x39>(x.0, y.0, z.0) })
    }
}

impl Word64 for W64 {
    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_set1_epi64(word.cast_signed()) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_add_epi64(self.0, other.0) })
    }
    #[inline(always)]
    fn ror<const BITS: i32>(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ror_epi64::<BITS>(self.0) })
    }
    #[inline(always)]
    fn shr<const BITS: u32>(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_srli_epi64::<BITS>(self.0) })
    }
    #[inline(always)]
    fn choose(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ternarylogic_epi64::<0xca>(x.0, y.0, z.0) })
    }
    #[inline(always)]
    fn majority(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ternarylogic_epi64::<0xe8>(x.0, y.0, z.0) })
    }
    #[inline(always)]
    fn parity(x: Self, y: Self, z: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ternarylogic_epi64::<0x96>(x.0, y.0, z.0) })
    }
}
