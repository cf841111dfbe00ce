//! The two compression functions, written once over "a word of every lane": a plain integer is
//! one lane, a vector register is several.

use crate::constants::{MD5_K, SHA512_K, md5_word};

/// A 32-bit word of every lane.
pub(crate) trait Word32: Copy {
    /// The same constant in every lane.
    fn splat(word: u32) -> Self;
    /// Wrapping sum.
    fn add(self, other: Self) -> Self;
    /// Rotation to the left.
    fn rol<const BITS: i32>(self) -> Self;
    /// `(x & y) | (!x & z)`
    fn choose(x: Self, y: Self, z: Self) -> Self;
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
            $a = $b.add(sum.add($mix($b, $c, $d)).rol::<$bits>());
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

/// One block of SHA-512 in every lane (FIPS 180-4, 6.4.2). `words` is used up.
#[inline(always)]
pub(crate) fn sha512_block<W: Word64>(state: &mut [W; 8], words: &mut [W; 16]) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    macro_rules! step {
        ($a:ident, $b:ident, $c:ident, $d:ident, $e:ident, $f:ident, $g:ident, $h:ident, $step:expr) => {
            let word = words[$step % 16];
            let mix = W::parity($e.ror::<14>(), $e.ror::<18>(), $e.ror::<41>());
            let sum = $h.add(W::splat(SHA512_K[$step])).add(word);
            let sum = sum.add(W::choose($e, $f, $g)).add(mix);
            $d = $d.add(sum);
            let mix = W::parity($a.ror::<28>(), $a.ror::<34>(), $a.ror::<39>());
            $h = sum.add(mix).add(W::majority($a, $b, $c));
            if $step < 64 {
                let (near, far) = (words[($step + 1) % 16], words[($step + 14) % 16]);
                let near = W::parity(near.ror::<1>(), near.ror::<8>(), near.shr::<7>());
                let far = W::parity(far.ror::<19>(), far.ror::<61>(), far.shr::<6>());
                words[$step % 16] = word.add(near).add(words[($step + 9) % 16]).add(far);
            }
        };
    }
    let mut step = 0;
    while step < 80 {
        step!(a, b, c, d, e, f, g, h, step);
        step!(h, a, b, c, d, e, f, g, step + 1);
        step!(g, h, a, b, c, d, e, f, step + 2);
        step!(f, g, h, a, b, c, d, e, step + 3);
        step!(e, f, g, h, a, b, c, d, step + 4);
        step!(d, e, f, g, h, a, b, c, step + 5);
        step!(c, d, e, f, g, h, a, b, step + 6);
        step!(b, c, d, e, f, g, h, a, step + 7);
        step += 8;
    }
    for (old, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *old = old.add(new);
    }
}
