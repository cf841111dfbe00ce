//! Digests that clients give with a location.

use super::Refusal;
use crate::model::{HashAlgorithm, Image, Status};

/// Bytes of an MD5.
const CHECKSUM_BYTES: usize = 16;

/// An attribute of an image that says what its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the image's")]
pub enum HashField {
    Checksum,
    OsHashAlgo,
    OsHashValue,
}

impl HashField {
    const TEXT: [(Self, &'static str); 3] = [
        (Self::Checksum, "checksum"),
        (Self::OsHashAlgo, "os_hash_algo"),
        (Self::OsHashValue, "os_hash_value"),
    ];

    /// The attribute's name.
    pub fn as_str(self) -> &'static str {
        Self::TEXT[self as usize].1
    }

    /// The attribute of that name.
    pub fn of(name: &str) -> Option<Self> {
        let found = Self::TEXT.iter().find(|(_, text)| *text == name);
        found.map(|(field, _)| *field)
    }

    fn get(self, image: &Image) -> Option<&str> {
        match self {
            Self::Checksum => image.checksum.as_deref(),
            Self::OsHashAlgo => image.os_hash_algo.as_deref(),
            Self::OsHashValue => image.os_hash_value.as_deref(),
        }
    }

    /// Sets the attribute.
    pub(super) fn set(self, image: &mut Image, value: String) {
        match self {
            Self::Checksum => image.checksum = Some(value),
            Self::OsHashAlgo => image.os_hash_algo = Some(value),
            Self::OsHashValue => image.os_hash_value = Some(value),
        }
    }
}

/// Of what is given, what is new to the image. What it has already may be said again.
pub(super) fn news<'a>(
    image: &Image,
    algorithm: HashAlgorithm,
    given: impl Iterator<Item = &'a (HashField, String)>,
) -> Result<Vec<(HashField, String)>, Refusal> {
    let mut all: Vec<(HashField, String)> = Vec::new();
    for (field, value) in given {
        match all.iter().find(|(known, _)| known == field) {
            Some((_, known)) if known != value => {
                return conflict(format!("Conflicting values for {}", field.as_str()));
            }
            Some(_) => {}
            None => all.push((*field, value.clone())),
        }
    }
    let mut news = Vec::new();
    for (field, value) in all {
        match field.get(image) {
            Some(current) if current == value => {}
            Some(current) if !current.is_empty() => {
                return conflict(format!(
                    "{} is already set with a different value",
                    field.as_str()
                ));
            }
            _ => news.push((field, value)),
        }
    }
    if !news.is_empty() {
        check(image, algorithm, &news)?;
    }
    Ok(news)
}

fn check(
    image: &Image,
    algorithm: HashAlgorithm,
    news: &[(HashField, String)],
) -> Result<(), Refusal> {
    if image.status != Status::Queued {
        let names: Vec<&str> = news.iter().map(|(field, _)| field.as_str()).collect();
        return conflict(format!(
            "New value(s) for {} may only be provided when image status is 'queued'",
            names.join(", ")
        ));
    }
    let of = |field| {
        let found = news.iter().find(|(known, _)| *known == field);
        found.map(|(_, value)| value.as_str())
    };
    if let Some(checksum) = of(HashField::Checksum) {
        match bytes_of_hex(checksum) {
            Some(CHECKSUM_BYTES) => {}
            Some(_) => {
                return conflict(format!(
                    "checksum ({checksum}) is not the correct size for md5 (should be 16 bytes)"
                ));
            }
            None => {
                return conflict(format!(
                    "checksum ({checksum}) is not a valid hexadecimal value"
                ));
            }
        }
    }
    let named = of(HashField::OsHashAlgo);
    if named != Some(algorithm.as_str()) {
        let named = named.unwrap_or("None");
        return conflict(format!("os_hash_algo must be {algorithm}, not {named}"));
    }
    let value = of(HashField::OsHashValue).unwrap_or_default();
    let wanted = algorithm.digest_bytes();
    match bytes_of_hex(value) {
        Some(bytes) if bytes == wanted => Ok(()),
        Some(_) => conflict(format!(
            "os_hash_value ({value}) is not the correct size for {algorithm} (should be {wanted} \
             bytes)"
        )),
        None => conflict(format!(
            "os_hash_value ({value}) is not a valid hexadecimal value"
        )),
    }
}

/// Checks the digest of a registration.
pub(super) fn check_digest(algorithm: HashAlgorithm, value: &str) -> Result<(), Refusal> {
    let wanted = algorithm.digest_bytes();
    match bytes_of_hex(value) {
        Some(bytes) if bytes == wanted => Ok(()),
        Some(_) => Err(Refusal::Digest(format!(
            "os_hash_value: ({value}) is not the correct size for ({algorithm}) (should be \
             ({wanted}) bytes)"
        ))),
        None => Err(Refusal::Digest(format!(
            "os_hash_value ({value}) is not a valid hexadecimal value"
        ))),
    }
}

fn conflict<T>(text: String) -> Result<T, Refusal> {
    Err(Refusal::Contradiction(text))
}

/// How many bytes Python's `bytearray.fromhex` would read: space may stand between two bytes.
fn bytes_of_hex(text: &str) -> Option<usize> {
    let mut count = 0;
    let mut letters = text.bytes().filter(|letter| !letter.is_ascii_whitespace());
    for word in text.split_ascii_whitespace() {
        if word.len() % 2 == 1 {
            return None;
        }
        count += word.len() / 2;
    }
    letters
        .all(|letter| letter.is_ascii_hexdigit())
        .then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_as_python_reads_them() {
        assert_eq!(bytes_of_hex(""), Some(0));
        assert_eq!(bytes_of_hex("0aF1"), Some(2));
        assert_eq!(bytes_of_hex("0a f1"), Some(2));
        for text in ["0", "0 a", "0g", "é"] {
            assert_eq!(bytes_of_hex(text), None, "{text}");
        }
    }
}
