//! What an entry has the bytes of.

use crate::model::{HashAlgorithm, ImageId};

/// The most bytes of an image's id. Glance's column has 36 characters.
const IMAGE_BYTES_MAX: usize = 255;

/// Digits of a key in the name of a file.
pub(super) const KEY_DIGITS: usize = 32;

/// What has the bytes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// An image: these the cache's API tells of.
    Image,
    /// An artifact: they are a blob of it.
    Artifact,
}

/// An image, or a blob of an artifact, and what its bytes hash to: other bytes are another entry, even of
/// the same image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    owner: Owner,
    image: ImageId,
    algorithm: HashAlgorithm,
    digest: String,
}

impl Key {
    /// `None` where the digest is none of that algorithm, in lower-case hexadecimal digits: what
    /// cannot be checked is not cached.
    pub fn new(image: ImageId, algorithm: HashAlgorithm, digest: &str) -> Option<Self> {
        let is_digest = digest.len() == 2 * algorithm.digest_bytes()
            && digest
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (is_digest && image.as_str().len() <= IMAGE_BYTES_MAX).then(|| Self {
            owner: Owner::Image,
            image,
            algorithm,
            digest: digest.to_owned(),
        })
    }

    /// The same for bytes of another owner.
    pub fn owned_by(self, owner: Owner) -> Self {
        Self { owner, ..self }
    }

    /// What has the bytes.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The image, or the blob: stores know either by such an id.
    pub fn image(&self) -> &ImageId {
        &self.image
    }

    /// Whether it is that image's, and no blob's.
    pub(super) fn is_of(&self, image: &ImageId) -> bool {
        self.owner == Owner::Image && self.image == *image
    }

    /// What its bytes are hashed with.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// What they hash to.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What stands for it in the names of files. An image's id may be any text, and so none.
    pub(super) fn file_name(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let texts = [self.image.as_str(), self.algorithm.as_str(), &self.digest];
        // An image's name is as it was before there were others.
        let owner = match self.owner {
            Owner::Image => None,
            Owner::Artifact => Some("artifact"),
        };
        for text in texts.into_iter().chain(owner) {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.finalize().to_hex()[..KEY_DIGITS].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn only_a_digest_makes_a_key() {
        let key = |digest: &str| Key::new(ImageId::new("i"), HashAlgorithm::Md5, digest);
        assert!(key(MD5).is_some());
        for bad in ["", "01", &MD5.to_uppercase(), &MD5.replace('0', "g")] {
            assert!(key(bad).is_none(), "{bad}");
        }
        let long = ImageId::new("i".repeat(IMAGE_BYTES_MAX + 1));
        assert!(Key::new(long, HashAlgorithm::Md5, MD5).is_none());
    }

    #[test]
    fn every_key_has_a_file_name_of_its_own() {
        let name = |image: &str, digest: &str| {
            let key = Key::new(ImageId::new(image), HashAlgorithm::Md5, digest);
            key.unwrap().file_name()
        };
        let other = MD5.replace('0', "1");
        let names = [name("a", MD5), name("../b", MD5), name("a", &other)];
        assert!(names.iter().all(|name| name.len() == 32));
        assert_eq!(name("a", MD5), names[0]);
        assert!(names[0] != names[1] && names[0] != names[2]);
        let image = Key::new(ImageId::new("a"), HashAlgorithm::Md5, MD5).unwrap();
        let blob = image.clone().owned_by(Owner::Artifact);
        assert!(image != blob && image.file_name() != blob.file_name());
        assert!(!blob.is_of(&ImageId::new("a")));
    }
}
