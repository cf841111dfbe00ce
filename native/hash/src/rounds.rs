//! The compression functions, written once over "a word of every lane": a plain integer is one
//! lane, a vector register is several.

use crate::constants::{MD5_K, SHA256_K, SHA512_K, md5_word};

/// A 32-bit word of every lane.
pub(crate) trait Word32: Copy {
    /// The same constant in every lane.
    fn splat(word: u32) -> Self;
    /// Wrapping sum.
    fn add(self, other: Self) -> Self;
    /// Rotation to the right.
    fn ror<const BITS: i32>(self) -> Self;
    /// Shift to the right.
    fn shr<const BITS: u32>(self) -> Self;
    /// `(x & y) | (!x & z)`
    fn choose(x: Self, y: Self, z: Self) -> Self;
    /// `(x & y) ^ (x & z) ^ (y & z)`
    fn majority(x: Self, y: Self, z: Self) -> Self;
    /// `x ^ y ^ z`
    fn parity(x: Self, y: Self, z: Self) -> Self;
    /// `y ^ (x | !z)`
    fn other(x: Self, y: Self, z: Self) -> Self;
}

/// A 64-bit word of every lane.
pub(crate) trait Word64: Copy {
    /// The same constant in every lane.
    fn splat(word: u64) -> Self;
    /// Wrapping sum.
    fn add(self, other: Self) -> Self;
    /// Rotation to the right.
    fn ror<const BITS: i32>(self) -> Self;
    /// Shift to the right.
    fn shr<const BITS: u32>(self) -> Self;
    /// `(x & y) ^ (!x & z)`
    fn choose(x: Self, y: Self, z: Self) -> Self;
    /// `(x & y) ^ (x & z) ^ (y & z)`
    fn majority(x: Self, y: Self, z: Self) -> Self;
    /// `x ^ y ^ z`
    fn parity(x: Self, y: Self, z: Self) -> Self;
}

/// One block of MD5 in every lane (RFC 1321, 3.4).
#[inline(always)]
pub(crate) fn md5_block<W: Word32>(state: &mut [W; 4], words: &[W; 16]) {
    let [mut a, mut b, mut c, mut d] = *state;
    macro_rules! step {
        ($mix:expr, $bits:literal, $a:ident, $b:ident, $c:ident, $d:ident, $step:expr) => {
            let sum = $a.add(W::splat(MD5_K[$step])).add(words[md5_word($step)]);
            $a = $b.add(sum.add($mix($b, $c, $d)).ror::<{ 32 - $bits }>());
        };
    }
    macro_rules! round {
        ($mix:expr, $first:literal, [$s0:literal, $s1:literal, $s2:literal, $s3:literal]) => {
            let mut step = $first;
            while step < $first + 16 {
                step!($mix, $s0, a, b, c, d, step);
                step!($mix, $s1, d, a, b, c, step + 1);
                step!($mix, $s2, c, d, a, b, step + 2);
                step!($mix, $s3, b, c, d, a, step + 3);
                step += 4;
            }
        };
    }
    round!(W::choose, 0, [7, 12, 17, 22]);
    // The second function is the first with its arguments turned.
    round!(|x, y, z| W::choose(z, x, y), 16, [5, 9, 14, 20]);
    round!(W::parity, 32, [4, 11, 16, 23]);
    round!(W::other, 48, [6, 10, 15, 21]);
    *state = [
        state[0].add(a),
        state[1].add(b),
        state[2].add(c),
        state[3].add(d),
    ];
}

/// SHA-256 and SHA-512 are one function of two widths (FIPS 180-4, 6.2.2 and 6.4.2); they differ in
/// their rotations and in the number of rounds.
macro_rules! sha2_block {
    ($(#[$doc:meta])* $name:ident: $word:ident, $rounds:literal rounds of $constants:ident,
     $e0:literal $e1:literal $e2:literal, $a0:literal $a1:literal $a2:literal,
     $near0:literal $near1:literal $near2:literal, $far0:literal $far1:literal $far2:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<W: $word>(state: &mut [W; 8], words: &mut [W; 16]) {
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
            // The place in `words` is a literal, so that they can stay in registers.
            macro_rules! step {
                ($first:ident + $at:literal,
                 $a:ident, $b:ident, $c:ident, $d:ident, $e:ident, $f:ident, $g:ident, $h:ident) => {
                    let word = words[$at];
                    let mix = W::parity($e.ror::<$e0>(), $e.ror::<$e1>(), $e.ror::<$e2>());
                    let sum = $h.add(W::splat($constants[$first + $at])).add(word);
                    let sum = sum.add(W::choose($e, $f, $g)).add(mix);
                    $d = $d.add(sum);
                    let mix = W::parity($a.ror::<$a0>(), $a.ror::<$a1>(), $a.ror::<$a2>());
                    $h = sum.add(mix).add(W::majority($a, $b, $c));
                    if $first < $rounds - 16 {
                        let (near, far) = (words[($at + 1) % 16], words[($at + 14) % 16]);
                        let near = W::parity(near.ror::<$near0>(), near.ror::<$near1>(), near.shr::<$near2>());
                        let far = W::parity(far.ror::<$far0>(), far.ror::<$far1>(), far.shr::<$far2>());
                        words[$at] = word.add(near).add(words[($at + 9) % 16]).add(far);
                    }
                };
            }
            let mut first = 0;
            while first < $rounds {
                step!(first + 0, a, b, c, d, e, f, g, h);
                step!(first + 1, h, a, b, c, d, e, f, g);
                step!(first + 2, g, h, a, b, c, d, e, f);
                step!(first + 3, f, g, h, a, b, c, d, e);
                step!(first + 4, e, f, g, h, a, b, c, d);
                step!(first + 5, d, e, f, g, h, a, b, c);
                step!(first + 6, c, d, e, f, g, h, a, b);
                step!(first + 7, b, c, d, e, f, g, h, a);
                step!(first + 8, a, b, c, d, e, f, g, h);
                step!(first + 9, h, a, b, c, d, e, f, g);
                step!(first + 10, g, h, a, b, c, d, e, f);
                step!(first + 11, f, g, h, a, b, c, d, e);
                step!(first + 12, e, f, g, h, a, b, c, d);
                step!(first + 13, d, e, f, g, h, a, b, c);
                step!(first + 14, c, d, e, f, g, h, a, b);
                step!(first + 15, b, c, d, e, f, g, h, a);
                first += 16;
            }
            for (old, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                *old = old.add(new);
            }
        }
    };
}

sha2_block! {
    /// One block of SHA-256 in every lane. `words` is used up.
    sha256_block: Word32, 64 rounds of SHA256_K, 6 11 25, 2 13 22, 7 18 3, 17 19 10
}

sha2_block! {
    /// One block of SHA-512 in every lane. `words` is used up.
    sha512_block: Word64, 80 rounds of SHA512_K, 14 18 41, 28 34 39, 1 8 7, 19 61 6
}
