use std::fmt::Write;

use proptest::prelude::*;

use super::*;

/// An algorithm and somebody else's implementation of it.
trait Judged: Algorithm {
    /// The digest of a whole message: OpenSSL's, or under Miri that of the portable rounds.
    fn judge(message: &[u8]) -> String;

    /// The portable rounds over whole blocks.
    fn portable(state: &mut Self::State, bytes: &[u8]);
}

macro_rules! judged {
    ($($algorithm:ident by $name:ident),*) => {$(
        impl Judged for $algorithm {
            #[cfg(not(miri))]
            fn judge(message: &[u8]) -> String {
                use ::openssl::hash::{MessageDigest, hash};
                hex(&hash(MessageDigest::$name(), message).unwrap())
            }

            #[cfg(miri)]
            fn judge(message: &[u8]) -> String {
                let (whole, rest) = message.split_at(message.len() - message.len() % Self::BLOCK_BYTES);
                let mut state = Self::INIT;
                Self::portable(&mut state, whole);
                Self::portable(&mut state, &Self::end(rest, message.len() as u64));
                hex(&Self::digest(state))
            }

            fn portable(state: &mut Self::State, bytes: &[u8]) {
                portable::$name(state, bytes);
            }
        }
    )*};
}

judged!(Md5 by md5, Sha256 by sha256, Sha512 by sha512);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Bytes that repeat nowhere near.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| step()).collect()
}

/// A message that is hashed piece by piece.
struct Stream<A: Algorithm> {
    state: A::State,
    message: Vec<u8>,
}

impl<A: Judged> Stream<A> {
    fn new() -> Self {
        Self {
            state: A::INIT,
            message: Vec::new(),
        }
    }

    fn finish(mut self, engine: Engine, rest: &[u8]) -> (String, Vec<u8>) {
        self.message.extend_from_slice(rest);
        let end = A::end(rest, self.message.len() as u64);
        A::alone(engine, &mut self.state, &end);
        (hex(&A::digest(self.state)), self.message)
    }
}

/// Adds blocks to some streams, side by side as far as the engine goes.
fn run<A: Judged>(engine: Engine, streams: &mut [&mut Stream<A>], pieces: &[Vec<u8>]) {
    for (streams, pieces) in streams
        .chunks_mut(A::width(engine).max)
        .zip(pieces.chunks(A::width(engine).max))
    {
        let lanes = streams.iter_mut().zip(pieces).map(|(stream, piece)| {
            stream.message.extend_from_slice(piece);
            Lane {
                state: &mut stream.state,
                bytes: piece,
            }
        });
        A::side_by_side(engine, &mut lanes.collect::<Vec<_>>());
    }
}

/// Every message in each lane of every engine, with other messages beside it.
fn check_vectors<A: Judged>(vectors: &[(&str, &str)]) {
    for engine in Engine::available() {
        for (message, digest) in vectors {
            let whole = message.len() - message.len() % A::BLOCK_BYTES;
            for place in 0..A::width(engine).max {
                let mut streams: Vec<Stream<A>> =
                    (0..A::width(engine).max).map(|_| Stream::new()).collect();
                let mut pieces: Vec<Vec<u8>> =
                    (0..streams.len()).map(|i| noise(whole, i as u64)).collect();
                pieces[place] = message.as_bytes()[..whole].to_vec();
                run(engine, &mut streams.iter_mut().collect::<Vec<_>>(), &pieces);
                let rest = &message.as_bytes()[whole..];
                let found = streams.swap_remove(place).finish(engine, rest).0;
                assert_eq!(
                    found,
                    *digest,
                    "{message:?}, lane {place} of {}",
                    engine.name()
                );
            }
        }
    }
}

/// RFC 1321, A.5.
#[test]
fn md5_of_the_rfc() {
    check_vectors::<Md5>(&[
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
        ("a", "0cc175b9c0f1b6a831c399e269772661"),
        ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        (
            "abcdefghijklmnopqrstuvwxyz",
            "c3fcd3d76192e4007dfb496cca67e13b",
        ),
        (
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "d174ab98d277d9f5a5611c2c9f419d9f",
        ),
        (
            "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "57edf4a22be3c955ac49da2e2107b67a",
        ),
    ]);
}

/// FIPS 180-2, B, and the empty message of NIST's CAVP.
#[test]
fn sha256_of_the_standard() {
    check_vectors::<Sha256>(&[
        (
            "",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
    ]);
}

/// FIPS 180-2, C, and the empty message of NIST's CAVP.
#[test]
fn sha512_of_the_standard() {
    check_vectors::<Sha512>(&[
        (
            "",
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        ),
        (
            "abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
             hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018\
             501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
        ),
    ]);
}

/// FIPS 180-2, B.3 and C.3, and RFC 1321's function of the same message.
#[cfg(not(miri))]
#[test]
fn a_million_letters_a() {
    let message = "a".repeat(1_000_000);
    check_vectors::<Md5>(&[(&message, "7707d6ae4e027c70eea2a935c2296f21")]);
    check_vectors::<Sha256>(&[(
        &message,
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
    )]);
    check_vectors::<Sha512>(&[(
        &message,
        "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb\
         de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
    )]);
}

fn every_length_is_judged<A: Judged>() {
    let lengths: Vec<usize> = if cfg!(miri) {
        vec![0, 1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129]
    } else {
        (0..700).chain([4096, 65_535]).collect()
    };
    for len in lengths {
        let message = noise(len, len as u64 + 7);
        let (whole, rest) = message.split_at(len - len % A::BLOCK_BYTES);
        for engine in Engine::available() {
            let mut stream = Stream::<A>::new();
            A::alone(engine, &mut stream.state, whole);
            stream.message.extend_from_slice(whole);
            let (found, _) = stream.finish(engine, rest);
            assert_eq!(found, A::judge(&message), "{len} bytes, {}", engine.name());
        }
        let mut state = A::INIT;
        A::portable(&mut state, whole);
        A::portable(&mut state, &A::end(rest, len as u64));
        assert_eq!(
            hex(&A::digest(state)),
            A::judge(&message),
            "{len} bytes, portable"
        );
    }
}

#[test]
fn every_length_is_the_judges() {
    every_length_is_judged::<Md5>();
    every_length_is_judged::<Sha256>();
    every_length_is_judged::<Sha512>();
}

/// As many as the widest vector has lanes; Miri is given what it ends in minutes.
const STREAMS: usize = if cfg!(miri) { 3 } else { 16 };
const STEPS_MAX: usize = if cfg!(miri) { 3 } else { 8 };

/// One step of a schedule: the streams that take part, their blocks, and whether side by side.
type Step = (u16, usize, bool);

/// Streams join, leave, and go on alone at any block; their digests are those of somebody who has
/// never heard of lanes.
fn follow<A: Judged>(schedule: &[Step], rests: &[u8; 16]) -> Result<(), TestCaseError> {
    for engine in Engine::available() {
        let mut streams: Vec<Stream<A>> = (0..STREAMS).map(|_| Stream::new()).collect();
        for (step, (members, blocks, together)) in schedule.iter().enumerate() {
            let mut taken: Vec<&mut Stream<A>> = streams
                .iter_mut()
                .enumerate()
                .filter(|(index, _)| (members >> index) & 1 == 1)
                .map(|(_, stream)| stream)
                .collect();
            let pieces: Vec<Vec<u8>> = (0..taken.len())
                .map(|index| noise(blocks * A::BLOCK_BYTES, (step * 16 + index) as u64 * 77))
                .collect();
            if *together {
                run(engine, &mut taken, &pieces);
            } else {
                for (stream, piece) in taken.iter_mut().zip(&pieces) {
                    A::alone(engine, &mut stream.state, piece);
                    stream.message.extend_from_slice(piece);
                }
            }
        }
        for (stream, rest) in streams.into_iter().zip(rests) {
            let rest = noise(usize::from(*rest) % A::BLOCK_BYTES, u64::from(*rest));
            let (found, message) = stream.finish(engine, &rest);
            prop_assert_eq!(found, A::judge(&message));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 100 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn streams_do_not_disturb_each_other(
        schedule in prop::collection::vec((any::<u16>(), 0_usize..5, any::<bool>()), 1..STEPS_MAX),
        rests in any::<[u8; 16]>(),
    ) {
        follow::<Md5>(&schedule, &rests)?;
        follow::<Sha256>(&schedule, &rests)?;
        follow::<Sha512>(&schedule, &rests)?;
    }
}

/// The AVX2 kernel of SHA-256 is not chosen where the processor has instructions of its own for it;
/// it is right all the same.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_kernel_that_is_not_chosen_is_right() {
    if !x86::has_avx2() {
        return;
    }
    let pieces: [Vec<u8>; 8] = std::array::from_fn(|index| noise(640, index as u64 + 1));
    let mut states = [Sha256::INIT; 8];
    let pointers = std::array::from_fn(|index| pieces[index].as_ptr());
    // SAFETY: the processor was asked, and each piece has ten blocks.
    unsafe { x86::avx2::sha256(&mut states, pointers, 10) };
    for (piece, found) in pieces.iter().zip(states) {
        let mut alone = Sha256::INIT;
        portable::sha256(&mut alone, piece);
        assert_eq!(found, alone);
    }
}

#[test]
#[should_panic(expected = "a part of a block")]
fn a_part_of_a_block_is_refused() {
    Md5::alone(Engine::detect(), &mut Md5::INIT.clone(), &[0; 63]);
}
