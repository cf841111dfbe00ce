//! A digest that grows: by our kernels where several can share a vector, else by OpenSSL.

use fresnel_hash::{Algorithm, Engine, Md5, Sha256, Sha512, Width};
use openssl::hash::MessageDigest;

use crate::model::HashAlgorithm;

/// Whose chunks can be hashed beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peers {
    Md5,
    Sha256,
    Sha512,
    Nobody,
}

/// One algorithm's state.
pub(super) enum Hasher {
    Md5(Blocks<Md5>),
    Sha256(Blocks<Sha256>),
    Sha512(Blocks<Sha512>),
    Other(openssl::hash::Hasher),
}

/// A state between two blocks, and the bytes that do not fill the next one.
pub(super) struct Blocks<A: Algorithm> {
    state: A::State,
    rest: Vec<u8>,
    total_bytes: u64,
}

/// One stream's part of a run.
type Lane<'a, A> = fresnel_hash::Lane<'a, <A as Algorithm>::State>;

/// With whom an algorithm shares a vector.
pub(super) fn peers(algorithm: HashAlgorithm) -> Peers {
    match algorithm {
        HashAlgorithm::Md5 => Peers::Md5,
        HashAlgorithm::Sha256 => Peers::Sha256,
        HashAlgorithm::Sha512 => Peers::Sha512,
        HashAlgorithm::Blake2b
        | HashAlgorithm::Blake2s
        | HashAlgorithm::Sha1
        | HashAlgorithm::Sha224
        | HashAlgorithm::Sha384
        | HashAlgorithm::Sha3_224
        | HashAlgorithm::Sha3_256
        | HashAlgorithm::Sha3_384
        | HashAlgorithm::Sha3_512 => Peers::Nobody,
    }
}

impl Peers {
    /// In the order of their numbers.
    pub(super) const ALL: [Self; 4] = [Self::Md5, Self::Sha256, Self::Sha512, Self::Nobody];

    /// How many go together.
    pub(super) fn width(self, kernels: Engine) -> Width {
        match self {
            Self::Md5 => Md5::width(kernels),
            Self::Sha256 => Sha256::width(kernels),
            Self::Sha512 => Sha512::width(kernels),
            Self::Nobody => Width { min: 2, max: 1 },
        }
    }
}

impl Hasher {
    pub(super) fn new(algorithm: HashAlgorithm) -> Self {
        let other = |digest: Option<MessageDigest>| {
            let hasher = digest.map(openssl::hash::Hasher::new);
            Self::Other(
                hasher
                    .and_then(Result::ok)
                    .expect("OpenSSL has every algorithm"),
            )
        };
        match algorithm {
            HashAlgorithm::Md5 => Self::Md5(Blocks::new()),
            HashAlgorithm::Sha256 => Self::Sha256(Blocks::new()),
            HashAlgorithm::Sha512 => Self::Sha512(Blocks::new()),
            HashAlgorithm::Blake2b => other(MessageDigest::from_name("BLAKE2B-512")),
            HashAlgorithm::Blake2s => other(MessageDigest::from_name("BLAKE2S-256")),
            HashAlgorithm::Sha1 => other(Some(MessageDigest::sha1())),
            HashAlgorithm::Sha224 => other(Some(MessageDigest::sha224())),
            HashAlgorithm::Sha384 => other(Some(MessageDigest::sha384())),
            HashAlgorithm::Sha3_224 => other(Some(MessageDigest::sha3_224())),
            HashAlgorithm::Sha3_256 => other(Some(MessageDigest::sha3_256())),
            HashAlgorithm::Sha3_384 => other(Some(MessageDigest::sha3_384())),
            HashAlgorithm::Sha3_512 => other(Some(MessageDigest::sha3_512())),
        }
    }

    /// Adds bytes to several digests, side by side where that is cheaper.
    pub(super) fn update(kernels: Engine, work: Vec<(&mut Self, &[u8])>) {
        let (mut md5, mut sha256, mut sha512) = (Vec::new(), Vec::new(), Vec::new());
        for (hasher, bytes) in work {
            match hasher {
                Self::Md5(blocks) => md5.push((blocks, bytes)),
                Self::Sha256(blocks) => sha256.push((blocks, bytes)),
                Self::Sha512(blocks) => sha512.push((blocks, bytes)),
                Self::Other(hasher) => {
                    hasher.update(bytes).expect("hashing memory does not fail");
                }
            }
        }
        update_blocks(kernels, md5);
        update_blocks(kernels, sha256);
        update_blocks(kernels, sha512);
    }

    /// The digest in lower-case hexadecimal digits.
    pub(super) fn finish(&mut self, kernels: Engine) -> String {
        match self {
            Self::Md5(blocks) => blocks.finish(kernels),
            Self::Sha256(blocks) => blocks.finish(kernels),
            Self::Sha512(blocks) => blocks.finish(kernels),
            Self::Other(hasher) => hex(&hasher.finish().expect("hashing memory does not fail")),
        }
    }
}

impl<A: Algorithm> Blocks<A> {
    fn new() -> Self {
        Self {
            state: A::INIT,
            rest: Vec::new(),
            total_bytes: 0,
        }
    }

    /// Fills up the block at hand, keeps what fills no block at the end, and leaves the middle.
    fn whole_blocks<'a>(&'a mut self, kernels: Engine, mut bytes: &'a [u8]) -> Option<Lane<'a, A>> {
        self.total_bytes += bytes.len() as u64;
        if !self.rest.is_empty() {
            let missing = (A::BLOCK_BYTES - self.rest.len()).min(bytes.len());
            self.rest.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.rest.len() < A::BLOCK_BYTES {
                return None;
            }
            A::alone(kernels, &mut self.state, &self.rest);
            self.rest.clear();
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % A::BLOCK_BYTES);
        self.rest.extend_from_slice(rest);
        let state = &mut self.state;
        (!whole.is_empty()).then_some(Lane::<A> {
            state,
            bytes: whole,
        })
    }

    fn finish(&mut self, kernels: Engine) -> String {
        let end = A::end(&self.rest, self.total_bytes);
        A::alone(kernels, &mut self.state, &end);
        hex(&A::digest(self.state))
    }
}

fn update_blocks<A: Algorithm>(kernels: Engine, work: Vec<(&mut Blocks<A>, &[u8])>) {
    let mut lanes = Vec::with_capacity(work.len());
    for (blocks, bytes) in work {
        lanes.extend(blocks.whole_blocks(kernels, bytes));
    }
    for lanes in lanes.chunks_mut(A::width(kernels).max) {
        update_lanes::<A>(kernels, lanes);
    }
}

/// As far as the shortest goes together, while there are enough; then each alone.
fn update_lanes<A: Algorithm>(kernels: Engine, lanes: &mut [Lane<'_, A>]) {
    lanes.sort_by_key(|lane| std::cmp::Reverse(lane.bytes.len()));
    let mut count = lanes.len();
    while count >= A::width(kernels).min {
        let len = lanes[count - 1].bytes.len();
        let mut now: Vec<_> = lanes[..count]
            .iter_mut()
            .map(|lane| Lane::<A> {
                state: &mut *lane.state,
                bytes: &lane.bytes[..len],
            })
            .collect();
        A::side_by_side(kernels, &mut now);
        for lane in &mut lanes[..count] {
            lane.bytes = &lane.bytes[len..];
        }
        count = lanes
            .iter()
            .take_while(|lane| !lane.bytes.is_empty())
            .count();
    }
    for lane in &mut lanes[..count] {
        A::alone(kernels, lane.state, lane.bytes);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
