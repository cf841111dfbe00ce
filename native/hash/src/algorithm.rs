//! Which code runs an algorithm on an engine.

#[cfg(target_arch = "x86_64")]
use crate::x86;
use crate::{
    Algorithm, Engine, Kind, Lane, Md5State, Sha256State, Sha512State, Width, openssl, padding,
};

/// Keeps [`Algorithm`] to this crate, whose kernels rely on it.
pub trait Sealed {}

/// RFC 1321.
#[derive(Clone, Copy, Debug)]
pub struct Md5;

/// FIPS 180-4.
#[derive(Clone, Copy, Debug)]
pub struct Sha256;

/// FIPS 180-4.
#[derive(Clone, Copy, Debug)]
pub struct Sha512;

impl Sealed for Md5 {}
impl Sealed for Sha256 {}
impl Sealed for Sha512 {}

// Each `min` is where the lines cross that `fresnel bench digests` draws. A lane costs as much as a
// whole vector, so the speed of a run grows with its streams; alone, a stream has a speed of its own.

/// Where nothing runs side by side.
const NONE: Width = Width { min: 2, max: 1 };

impl Algorithm for Md5 {
    type State = Md5State;

    const INIT: Md5State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    const BLOCK_BYTES: usize = 64;

    fn width(engine: Engine) -> Width {
        match engine.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Width { min: 2, max: 16 },
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Width { min: 2, max: 8 },
            Kind::Scalar => NONE,
        }
    }

    fn alone(engine: Engine, state: &mut Md5State, bytes: &[u8]) {
        check_blocks::<Self>(bytes);
        match engine.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the kind exists only where the features were seen.
            Kind::Avx512 => unsafe { x86::single::md5(state, bytes) },
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => openssl::md5(state, bytes),
            Kind::Scalar => openssl::md5(state, bytes),
        }
    }

    fn side_by_side(engine: Engine, lanes: &mut [Lane<'_, Md5State>]) {
        check_lanes::<Self>(engine, lanes);
        match engine.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => gather::<Self, 16>(lanes, |states, bytes, blocks| {
                // SAFETY: the kind exists only where the features were seen; `gather` hands out
                // pointers into slices of `blocks` blocks.
                unsafe { x86::avx512::md5(states, bytes, blocks) }
            }),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => gather::<Self, 8>(lanes, |states, bytes, blocks| {
                // SAFETY: as above.
                unsafe { x86::avx2::md5(states, bytes, blocks) }
            }),
            Kind::Scalar => one_after_the_other::<Self>(engine, lanes),
        }
    }

    fn end(rest: &[u8], total_bytes: u64) -> Vec<u8> {
        let bits = total_bytes.wrapping_mul(8);
        padding::pad(rest, Self::BLOCK_BYTES, &bits.to_le_bytes())
    }

    fn digest(state: Md5State) -> Vec<u8> {
        state.map(u32::to_le_bytes).concat()
    }
}

impl Algorithm for Sha256 {
    type State = Sha256State;

    const INIT: Sha256State = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    const BLOCK_BYTES: usize = 64;

    fn width(engine: Engine) -> Width {
        match engine.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 if x86::has_sha_ni() => Width { min: 8, max: 16 },
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Width { min: 3, max: 16 },
            // Eight lanes are as fast as the processor's own instructions for one.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 if x86::has_sha_ni() => NONE,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Width { min: 3, max: 8 },
            Kind::Scalar => NONE,
        }
    }

    fn alone(_: Engine, state: &mut Sha256State, bytes: &[u8]) {
        check_blocks::<Self>(bytes);
        openssl::sha256(state, bytes);
    }

    fn side_by_side(engine: Engine, lanes: &mut [Lane<'_, Sha256State>]) {
        check_lanes::<Self>(engine, lanes);
        match engine.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => gather::<Self, 16>(lanes, |states, bytes, blocks| {
                // SAFETY: the kind exists only where the features were seen; `gather` hands out
                // pointers into slices of `blocks` blocks.
                unsafe { x86::avx512::sha256(states, bytes, blocks) }
            }),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => gather::<Self, 8>(lanes, |states, bytes, blocks| {
                // SAFETY: as above.
                unsafe { x86::avx2::sha256(states, bytes, blocks) }
            }),
            Kind::Scalar => one_after_the_other::<Self>(engine, lanes),
        }
    }

    fn end(rest: &[u8], total_bytes: u64) -> Vec<u8> {
        let bits = total_bytes.wrapping_mul(8);
        padding::pad(rest, Self::BLOCK_BYTES, &bits.to_be_bytes())
    }

    fn digest(state: Sha256State) -> Vec<u8> {
        state.map(u32::to_be_bytes).concat()
    }
}

impl Algorithm for Sha512 {
    type State = Sha512State;

    const INIT: Sha512State = [
        0x6a09_e667_f3bc_c908,
        0xbb67_ae85_84ca_a73b,
        0x3c6e_f372_fe94_f82b,
        0xa54f_f53a_5f1d_36f1,
        0x510e_527f_ade6_82d1,
        0x9b05_688c_2b3e_6c1f,
        0x1f83_d9ab_fb41_bd6b,
        0x5be0_cd19_137e_2179,
    ];
    const BLOCK_BYTES: usize = 128;

    fn width(engine: Engine) -> Width {
        match engine.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Width { min: 3, max: 8 },
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Width { min: 3, max: 4 },
            Kind::Scalar => NONE,
        }
    }

    fn alone(_: Engine, state: &mut Sha512State, bytes: &[u8]) {
        check_blocks::<Self>(bytes);
        openssl::sha512(state, bytes);
    }

    fn side_by_side(engine: Engine, lanes: &mut [Lane<'_, Sha512State>]) {
        check_lanes::<Self>(engine, lanes);
        match engine.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => gather::<Self, 8>(lanes, |states, bytes, blocks| {
                // SAFETY: the kind exists only where the features were seen; `gather` hands out
                // pointers into slices of `blocks` blocks.
                unsafe { x86::avx512::sha512(states, bytes, blocks) }
            }),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => gather::<Self, 4>(lanes, |states, bytes, blocks| {
                // SAFETY: as above.
                unsafe { x86::avx2::sha512(states, bytes, blocks) }
            }),
            Kind::Scalar => one_after_the_other::<Self>(engine, lanes),
        }
    }

    fn end(rest: &[u8], total_bytes: u64) -> Vec<u8> {
        let bits = u128::from(total_bytes) * 8;
        padding::pad(rest, Self::BLOCK_BYTES, &bits.to_be_bytes())
    }

    fn digest(state: Sha512State) -> Vec<u8> {
        state.map(u64::to_be_bytes).concat()
    }
}

fn check_blocks<A: Algorithm>(bytes: &[u8]) {
    assert!(
        bytes.len().is_multiple_of(A::BLOCK_BYTES),
        "a part of a block"
    );
}

fn check_lanes<A: Algorithm>(engine: Engine, lanes: &[Lane<'_, A::State>]) {
    let (count, max) = (lanes.len(), A::width(engine).max);
    assert!(count <= max, "{count} lanes, {max} at most");
    if let Some(first) = lanes.first() {
        check_blocks::<A>(first.bytes);
        let len = first.bytes.len();
        let even = lanes.iter().all(|lane| lane.bytes.len() == len);
        assert!(even, "uneven lanes");
    }
}

/// Gathers the lanes for a kernel of `N`. A lane that nobody uses reads the first one's bytes, and
/// what it computes is thrown away.
#[cfg(target_arch = "x86_64")]
fn gather<A: Algorithm, const N: usize>(
    lanes: &mut [Lane<'_, A::State>],
    kernel: impl FnOnce(&mut [A::State; N], [*const u8; N], usize),
) {
    let Some(first) = lanes.first() else { return };
    let blocks = first.bytes.len() / A::BLOCK_BYTES;
    let mut states = [A::State::default(); N];
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

fn one_after_the_other<A: Algorithm>(engine: Engine, lanes: &mut [Lane<'_, A::State>]) {
    for lane in lanes {
        A::alone(engine, lane.state, lane.bytes);
    }
}
