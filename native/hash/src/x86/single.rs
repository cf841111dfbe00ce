//! One stream, alone on its thread.
//!
//! MD5 is a chain of 64 steps a block, and a step's length is what counts. In a vector register a
//! step is four cycles (`vpternlogd`, `vpaddd`, `vprold`, `vpaddd`); in the general registers it
//! is five. OpenSSL's MD5 runs at 0.88 of the speed of this one.

use std::arch::{
    asm,
    x86_64::{
        _mm_add_epi32, _mm_cvtsi32_si128, _mm_cvtsi128_si32, _mm_rol_epi32, _mm_set1_epi32,
        _mm_ternarylogic_epi32,
    },
};

use crate::{
    Md5State,
    constants::{MD5_K, md5_word},
};

/// Hides where a value comes from. The optimizer would regroup the sum of a step so that more of
/// it waits for the step before.
macro_rules! pin {
    ($register:ident) => {
        asm!("/* {0} */", inout(xmm_reg) $register, options(pure, nomem, nostack, preserves_flags))
    };
}

/// Four steps of MD5; `$table` is the truth table of the round's function of b, c, d.
macro_rules! md5_steps {
    ($block:expr, $step:expr, $table:literal, [$s0:literal, $s1:literal, $s2:literal, $s3:literal],
     $a:ident, $b:ident, $c:ident, $d:ident) => {
        md5_step!($block, $step, $table, $s0, $a, $b, $c, $d);
        md5_step!($block, $step + 1, $table, $s1, $d, $a, $b, $c);
        md5_step!($block, $step + 2, $table, $s2, $c, $d, $a, $b);
        md5_step!($block, $step + 3, $table, $s3, $b, $c, $d, $a);
    };
}

macro_rules! md5_step {
    ($block:expr, $step:expr, $table:literal, $bits:literal,
     $a:ident, $b:ident, $c:ident, $d:ident) => {
        let word = $block.cast::<i32>().add(md5_word($step)).read_unaligned();
        let constant = _mm_set1_epi32(MD5_K[$step].cast_signed());
        let mut sum = _mm_add_epi32(_mm_add_epi32($a, constant), _mm_set1_epi32(word));
        pin!(sum);
        let mix = _mm_ternarylogic_epi32::<$table>($b, $c, $d);
        $a = _mm_add_epi32($b, _mm_rol_epi32::<$bits>(_mm_add_epi32(sum, mix)));
    };
}

/// The four rounds of MD5 by the number of a group of four steps, 0 to 15.
macro_rules! md5_group {
    ($block:expr, 0, $step:expr, $($s:ident),*) => { md5_steps!($block, $step, 0xca, [7, 12, 17, 22], $($s),*) };
    ($block:expr, 1, $step:expr, $($s:ident),*) => { md5_steps!($block, $step, 0xe4, [5, 9, 14, 20], $($s),*) };
    ($block:expr, 2, $step:expr, $($s:ident),*) => { md5_steps!($block, $step, 0x96, [4, 11, 16, 23], $($s),*) };
    ($block:expr, 3, $step:expr, $($s:ident),*) => { md5_steps!($block, $step, 0x39, [6, 10, 15, 21], $($s),*) };
}

/// MD5 of whole blocks.
///
/// # Safety
/// The processor has AVX-512 F and VL ([`super::has_avx512`]).
#[target_feature(enable = "avx512f,avx512vl")]
pub(crate) unsafe fn md5(state: &mut Md5State, bytes: &[u8]) {
    let [mut a, mut b, mut c, mut d] = state.map(|word| _mm_cvtsi32_si128(word.cast_signed()));
    for block in bytes.chunks_exact(64) {
        let before = [a, b, c, d];
        let block = block.as_ptr();
        // SAFETY: a block has sixteen words; the assembly has no instruction.
        unsafe {
            macro_rules! round {
                ($round:tt) => {
                    md5_group!(block, $round, 16 * $round, a, b, c, d);
                    md5_group!(block, $round, 16 * $round + 4, a, b, c, d);
                    md5_group!(block, $round, 16 * $round + 8, a, b, c, d);
                    md5_group!(block, $round, 16 * $round + 12, a, b, c, d);
                };
            }
            round!(0);
            round!(1);
            round!(2);
            round!(3);
        }
        a = _mm_add_epi32(a, before[0]);
        b = _mm_add_epi32(b, before[1]);
        c = _mm_add_epi32(c, before[2]);
        d = _mm_add_epi32(d, before[3]);
    }
    *state = [a, b, c, d].map(|word| _mm_cvtsi128_si32(word).cast_unsigned());
}
