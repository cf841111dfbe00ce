//! Digests by name: which algorithms there are, and what an upload ends with.

use std::{fmt, str::FromStr};

/// The algorithms of `os_hash_algo`: Python's `hashlib.algorithms_guaranteed` except the
/// shake functions, which have no fixed length. Clients verify with these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the algorithms'")]
pub enum HashAlgorithm {
    Blake2b,
    Blake2s,
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
    Sha512,
}

impl HashAlgorithm {
    const TEXT: [(Self, &'static str); 12] = [
        (Self::Blake2b, "blake2b"),
        (Self::Blake2s, "blake2s"),
        (Self::Md5, "md5"),
        (Self::Sha1, "sha1"),
        (Self::Sha224, "sha224"),
        (Self::Sha256, "sha256"),
        (Self::Sha384, "sha384"),
        (Self::Sha3_224, "sha3_224"),
        (Self::Sha3_256, "sha3_256"),
        (Self::Sha3_384, "sha3_384"),
        (Self::Sha3_512, "sha3_512"),
        (Self::Sha512, "sha512"),
    ];

    /// All of them, in the order of their names.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TEXT.into_iter().map(|(algorithm, _)| algorithm)
    }

    /// The name that Python's `hashlib` gives it.
    pub fn as_str(self) -> &'static str {
        Self::TEXT[self as usize].1
    }

    /// Bytes of a digest; it has twice as many hexadecimal digits.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha3_224 => 28,
            Self::Blake2s | Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Blake2b | Self::Sha3_512 | Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no supported algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown hash algorithm {0:?}")]
pub struct UnknownAlgorithm(String);

impl FromStr for HashAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::TEXT.iter().find(|(_, name)| *name == text);
        found
            .map(|(algorithm, _)| *algorithm)
            .ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

/// What the bytes of an image hash to, in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// MD5: Glance's `checksum`.
    pub checksum: String,
    /// The algorithm of `os_hash_value`.
    pub os_hash_algo: HashAlgorithm,
    /// Glance's `os_hash_value`.
    pub os_hash_value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_reads_back() {
        for (index, (algorithm, text)) in HashAlgorithm::TEXT.into_iter().enumerate() {
            assert_eq!(algorithm as usize, index);
            assert_eq!(text.parse(), Ok(algorithm));
        }
    }
}
