//! Text that nobody is to read.

use std::fmt;

use zeroize::Zeroizing;

/// The hexadecimal digits of [`Passphrase::of_key`].
const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// A key of so many bytes cannot be guessed, however fast guesses are.
const RANDOM_BYTES_MIN: usize = 16;

/// A password or a token: overwritten when dropped, and never shown by `Debug`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What unlocks an encrypted image: overwritten when dropped, and never shown by `Debug`.
#[derive(Clone)]
pub struct Passphrase {
    bytes: Zeroizing<Vec<u8>>,
    is_random: bool,
}

impl Passphrase {
    /// As it is. One that a key could have is taken for such a one, any other for one that a person has
    /// chosen.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        let is_random =
            bytes.len() >= 2 * RANDOM_BYTES_MIN && bytes.iter().all(u8::is_ascii_hexdigit);
        Self { bytes, is_random }
    }

    /// That of a binary key: its hexadecimal digits, as Nova, Cinder and os-brick have it.
    pub fn of_key(key: &[u8]) -> Self {
        let digits = key
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|half| DIGITS[usize::from(half)]);
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * key.len()));
        bytes.extend(digits);
        Self::new(bytes)
    }

    /// The bytes, for whom they are meant.
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nobody can guess it, so that a derivation need not be slow.
    pub fn is_random(&self) -> bool {
        self.is_random
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::{Passphrase, Secret};

    #[test]
    fn the_passphrase_of_a_key_is_its_digits() {
        let passphrase = Passphrase::of_key(&[0x00, 0x9a, 0xff]);
        assert_eq!(passphrase.expose(), b"009aff");
        assert!(!passphrase.is_random() && Passphrase::of_key(&[7; 16]).is_random());
        let chosen = Passphrase::new(b"correct horse battery staple, and more".to_vec().into());
        assert!(!chosen.is_random());
        assert_eq!(format!("{passphrase:?}"), "***");
    }

    #[test]
    fn debug_output_shows_nothing() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.expose(), "hunter2");
    }
}
