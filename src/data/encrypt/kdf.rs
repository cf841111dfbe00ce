//! From a passphrase to a key: PBKDF2 (RFC 8018) and Argon2 (RFC 9106), OpenSSL's.

use openssl::{error::ErrorStack, hash::MessageDigest, kdf, pkcs5::pbkdf2_hmac};
use zeroize::Zeroizing;

use super::{Refusal, random};

/// What a header may ask of PBKDF2: some seconds of one core. `cryptsetup` takes what two seconds give.
pub const ITERATIONS_MAX: u32 = 10_000_000;
/// What a header may ask of Argon2 beside memory.
pub const PASSES_MAX: u32 = 64;
/// Lanes of Argon2; `cryptsetup` takes at most 4.
pub const LANES_MAX: u32 = 8;
/// What all slots of a header may cost together ([`Kdf::work`]): some twenty seconds of one core.
pub const WORK_MAX: u64 = 64_000_000;
/// Bytes of a salt. LUKS has 32.
pub const SALT_BYTES_MAX: usize = 64;
/// The least that Argon2 takes.
const SALT_BYTES_MIN: usize = 8;

/// Of a passphrase that nobody can guess: the least that `cryptsetup` takes.
const ITERATIONS_OF_RANDOM: u32 = 1000;
/// Of one that a person may have chosen (OWASP's for PBKDF2 with SHA-256).
const ITERATIONS_OF_CHOSEN: u32 = 600_000;
/// The same with Argon2id: RFC 9106's second recommendation, which wants 64 MiB.
const PASSES_OF_CHOSEN: u32 = 3;
const MEMORY_KIB_OF_CHOSEN: u32 = 64 * 1024;
const LANES_OF_CHOSEN: u32 = 4;
const SALT_BYTES: usize = 32;

/// The hash functions that LUKS headers name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// How a passphrase becomes a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kdf {
    Pbkdf2 {
        hash: Hash,
        iterations: u32,
        salt: Vec<u8>,
    },
    Argon2 {
        kind: Argon2,
        passes: u32,
        memory_kib: u32,
        lanes: u32,
        salt: Vec<u8>,
    },
}

/// Which Argon2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argon2 {
    I,
    Id,
}

impl Hash {
    const ALL: [Self; 5] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    pub(super) fn from_name(name: &str) -> Result<Self, Refusal> {
        let found = Self::ALL.into_iter().find(|hash| hash.name() == name);
        found.ok_or(Refusal::Unsupported("its hash function"))
    }

    pub(super) fn digest(self) -> MessageDigest {
        match self {
            Self::Sha1 => MessageDigest::sha1(),
            Self::Sha224 => MessageDigest::sha224(),
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha384 => MessageDigest::sha384(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }
}

impl Kdf {
    /// For a new slot. `is_random`: nobody can guess the passphrase, and a derivation need not be slow.
    pub(super) fn pbkdf2(is_random: bool) -> Self {
        Self::Pbkdf2 {
            hash: Hash::Sha256,
            iterations: match is_random {
                true => ITERATIONS_OF_RANDOM,
                false => ITERATIONS_OF_CHOSEN,
            },
            salt: random(SALT_BYTES).to_vec(),
        }
    }

    /// For a new slot of a passphrase that a person may have chosen.
    pub(super) fn argon2id() -> Self {
        Self::Argon2 {
            kind: Argon2::Id,
            passes: PASSES_OF_CHOSEN,
            memory_kib: MEMORY_KIB_OF_CHOSEN,
            lanes: LANES_OF_CHOSEN,
            salt: random(SALT_BYTES).to_vec(),
        }
    }

    /// Steps of a derivation, each some third of a microsecond of one core: iterations, for each digest that a
    /// key of so many bytes takes; or KiB that are filled, at each pass.
    pub(super) fn work(&self, key_bytes: usize) -> u64 {
        match self {
            Self::Pbkdf2 {
                hash, iterations, ..
            } => {
                let digests = key_bytes.div_ceil(hash.digest().size());
                u64::from(*iterations) * digests as u64
            }
            Self::Argon2 {
                passes, memory_kib, ..
            } => u64::from(*passes) * u64::from(*memory_kib),
        }
    }

    /// KiB of memory that a derivation takes beside what everything does.
    pub(super) fn memory_kib(&self) -> u32 {
        match self {
            Self::Pbkdf2 { .. } => 0,
            Self::Argon2 { memory_kib, .. } => *memory_kib,
        }
    }

    /// Whether we do what the header asks for.
    pub(super) fn check(&self, memory_kib_max: u32) -> Result<(), Refusal> {
        let within =
            |what: bool, limit: &'static str| what.then_some(()).ok_or(Refusal::Unsupported(limit));
        match self {
            Self::Pbkdf2 {
                iterations, salt, ..
            } => {
                within(*iterations > 0, "a derivation of no iterations")?;
                within(
                    *iterations <= ITERATIONS_MAX,
                    "a derivation of over 10000000 iterations",
                )?;
                within(salt.len() <= SALT_BYTES_MAX, "a salt of over 64 bytes")
            }
            Self::Argon2 {
                passes,
                memory_kib,
                lanes,
                salt,
                ..
            } => {
                within(
                    (1..=PASSES_MAX).contains(passes),
                    "over 64 passes of Argon2",
                )?;
                within((1..=LANES_MAX).contains(lanes), "over 8 lanes of Argon2")?;
                within(*memory_kib >= 8 * lanes, "too little memory for Argon2")?;
                within(
                    *memory_kib <= memory_kib_max,
                    "a derivation in more memory than [fresnel] key_derivation_memory_mib",
                )?;
                within(
                    (SALT_BYTES_MIN..=SALT_BYTES_MAX).contains(&salt.len()),
                    "a salt of under 8 or over 64 bytes",
                )
            }
        }
    }

    /// A key of `len` bytes. What was checked cannot fail but for want of memory.
    pub(super) fn derive(&self, passphrase: &[u8], len: usize) -> Option<Zeroizing<Vec<u8>>> {
        let mut key = Zeroizing::new(vec![0; len]);
        let derived = match self {
            Self::Pbkdf2 {
                hash,
                iterations,
                salt,
            } => {
                let iterations = usize::try_from(*iterations).ok()?;
                pbkdf2_hmac(passphrase, salt, iterations, hash.digest(), &mut key)
            }
            Self::Argon2 {
                kind,
                passes,
                memory_kib,
                lanes,
                salt,
            } => {
                let costs = [*passes, *lanes, *memory_kib];
                argon2(*kind, passphrase, salt, None, costs, &mut key)
            }
        };
        derived.ok().map(|()| key)
    }
}

/// Costs are passes, lanes and KiB.
fn argon2(
    kind: Argon2,
    passphrase: &[u8],
    salt: &[u8],
    beside: Option<(&[u8], &[u8])>,
    [passes, lanes, memory_kib]: [u32; 3],
    key: &mut [u8],
) -> Result<(), ErrorStack> {
    let (secret, data) = beside.unzip();
    let derive = match kind {
        Argon2::I => kdf::argon2i,
        Argon2::Id => kdf::argon2id,
    };
    derive(
        None, passphrase, salt, data, secret, passes, lanes, memory_kib, key,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn pbkdf2(hash: Hash, iterations: u32, passphrase: &str, salt: &str, len: usize) -> String {
        let kdf = Kdf::Pbkdf2 {
            hash,
            iterations,
            salt: salt.into(),
        };
        hex(&kdf.derive(passphrase.as_bytes(), len).unwrap())
    }

    /// RFC 6070 (for RFC 8018) with SHA-1, RFC 7914 section 11 with SHA-256.
    #[test]
    fn pbkdf2_is_the_standards() {
        assert_eq!(
            pbkdf2(Hash::Sha1, 4096, "password", "salt", 20),
            "4b007901b765489abead49d926f721d065a429c1"
        );
        assert_eq!(
            pbkdf2(Hash::Sha256, 1, "passwd", "salt", 64),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
             49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"
        );
    }

    /// RFC 9106, 5.2 and 5.3.
    #[test]
    fn argon2_is_the_standards() {
        let of = |kind| {
            let mut tag = [0; 32];
            let beside = Some((&[3; 8][..], &[4; 12][..]));
            argon2(kind, &[1; 32], &[2; 16], beside, [3, 4, 32], &mut tag).unwrap();
            hex(&tag)
        };
        assert_eq!(
            of(Argon2::I),
            "c814d9d1dc7f37aa13f0d77f2494bda1c8de6b016dd388d29952a4c4672b6ce8"
        );
        assert_eq!(
            of(Argon2::Id),
            "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
        );
    }

    #[test]
    fn what_costs_too_much_is_refused() {
        let pbkdf2 = |iterations| Kdf::Pbkdf2 {
            hash: Hash::Sha256,
            iterations,
            salt: vec![0; 32],
        };
        assert_eq!(pbkdf2(ITERATIONS_MAX).check(0), Ok(()));
        for bad in [0, ITERATIONS_MAX + 1, u32::MAX] {
            assert!(pbkdf2(bad).check(0).is_err(), "{bad}");
        }
        let argon2 = |passes, memory_kib, lanes, salt| Kdf::Argon2 {
            kind: Argon2::Id,
            passes,
            memory_kib,
            lanes,
            salt: vec![0; salt],
        };
        assert_eq!(argon2(4, 1024, 4, 32).check(1024), Ok(()));
        for bad in [
            argon2(0, 1024, 4, 32),
            argon2(65, 1024, 4, 32),
            argon2(4, 1025, 4, 32),
            argon2(4, 1024, 0, 32),
            argon2(4, 1024, 9, 32),
            argon2(4, 31, 4, 32),
            argon2(4, 1024, 4, 7),
            argon2(4, 1024, 4, 65),
        ] {
            assert!(bad.check(1024).is_err(), "{bad:?}");
        }
    }
}
