//! The anti-forensic splitter of LUKS (TKS1): a key blown up into stripes that are of use only together,
//! so that one overwritten sector destroys it.

use openssl::hash::Hasher;
use zeroize::Zeroizing;

use super::{kdf::Hash, random};

/// What everybody takes: LUKS1 headers have the number, `cryptsetup` refuses any other.
pub(super) const STRIPES: usize = 4000;

/// `STRIPES` times the key's bytes.
pub(super) fn split(key: &[u8], hash: Hash) -> Zeroizing<Vec<u8>> {
    let mut stripes = random(key.len() * STRIPES);
    let (free, last) = stripes.split_at_mut(key.len() * (STRIPES - 1));
    let mixed = mix(free, key.len(), hash);
    for ((to, mixed), key) in last.iter_mut().zip(mixed.iter()).zip(key) {
        *to = mixed ^ key;
    }
    stripes
}

/// The key of stripes, which are whole: `key_bytes` times [`STRIPES`].
pub(super) fn merge(stripes: &[u8], key_bytes: usize, hash: Hash) -> Zeroizing<Vec<u8>> {
    let (free, last) = stripes.split_at(key_bytes * (STRIPES - 1));
    let mut key = mix(free, key_bytes, hash);
    for (key, last) in key.iter_mut().zip(last) {
        *key ^= last;
    }
    key
}

fn mix(free: &[u8], key_bytes: usize, hash: Hash) -> Zeroizing<Vec<u8>> {
    let mut hasher = Hasher::new(hash.digest()).expect("OpenSSL has the digest");
    let mut mixed = Zeroizing::new(vec![0; key_bytes]);
    for stripe in free.chunks_exact(key_bytes) {
        for (mixed, stripe) in mixed.iter_mut().zip(stripe) {
            *mixed ^= stripe;
        }
        diffuse(&mut mixed, &mut hasher, hash);
    }
    mixed
}

/// Each piece of a digest's length becomes the digest of its number and itself; the last is cut.
fn diffuse(bytes: &mut [u8], hasher: &mut Hasher, hash: Hash) {
    for (number, piece) in bytes.chunks_mut(hash.digest().size()).enumerate() {
        let number = u32::try_from(number).expect("a key has a few pieces");
        let mut digest = || {
            hasher.update(&number.to_be_bytes())?;
            hasher.update(piece)?;
            hasher.finish()
        };
        let digest = digest().expect("hashing memory does not fail");
        piece.copy_from_slice(&digest[..piece.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_split_is_merged_and_one_bit_destroys_it() {
        for (hash, key_bytes) in [(Hash::Sha1, 32), (Hash::Sha256, 64), (Hash::Sha512, 16)] {
            let key = random(key_bytes);
            let mut stripes = split(&key, hash);
            assert_eq!(stripes.len(), key_bytes * STRIPES);
            assert_eq!(*merge(&stripes, key_bytes, hash), *key);
            stripes[12_345] ^= 1;
            assert_ne!(*merge(&stripes, key_bytes, hash), *key);
        }
    }
}
