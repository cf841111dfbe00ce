//! Signatures of images (reference D.1): cursive's methods, rules and words.
//!
//! ```text
//! properties -> Declared, with a Certificate -> Signature -> its digest is one more of the upload's
//! ```
//!
//! What is signed is the digest of the bytes as they come, so nothing is read twice: where the signature's
//! digest is that of `os_hash_value`, not even a lane of the digest threads is added.

mod certificate;
mod refusal;
mod signer;

use std::collections::BTreeMap;

use openssl::{
    error::ErrorStack,
    md::{Md, MdRef},
    nid::Nid,
    pkey::{HasPublic, Id, PKey, PKeyRef, Public},
    pkey_ctx::{PkeyCtx, PkeyCtxRef},
    rsa::Padding,
    sign::RsaPssSaltlen,
};

use crate::model::HashAlgorithm;

pub use certificate::Certificate;
pub use refusal::{Distrust, Reason, Refusal};
pub use signer::{Signer, Unusable, digest_of};

/// The property with the signature, in base64.
pub const SIGNATURE: &str = "img_signature";
/// The property with the name of the digest, one of [`hash_methods`].
pub const HASH_METHOD: &str = "img_signature_hash_method";
/// The property with the name of the kind of key, one of [`key_types`].
pub const KEY_TYPE: &str = "img_signature_key_type";
/// The property with the certificate's id in the key manager.
pub const CERTIFICATE: &str = "img_signature_certificate_uuid";

const HASH_METHODS: [(&str, HashAlgorithm); 4] = [
    ("SHA-224", HashAlgorithm::Sha224),
    ("SHA-256", HashAlgorithm::Sha256),
    ("SHA-384", HashAlgorithm::Sha384),
    ("SHA-512", HashAlgorithm::Sha512),
];

/// A signature is only as good as its curve, but cursive takes a key on any curve for every `ECC_` name.
const KEY_TYPES: [(&str, Scheme); 8] = [
    ("RSA-PSS", Scheme::RsaPss),
    ("DSA", Scheme::Dsa),
    ("ECC_SECT571K1", Scheme::Ecdsa(Nid::SECT571K1)),
    ("ECC_SECT409K1", Scheme::Ecdsa(Nid::SECT409K1)),
    ("ECC_SECT571R1", Scheme::Ecdsa(Nid::SECT571R1)),
    ("ECC_SECT409R1", Scheme::Ecdsa(Nid::SECT409R1)),
    ("ECC_SECP521R1", Scheme::Ecdsa(Nid::SECP521R1)),
    ("ECC_SECP384R1", Scheme::Ecdsa(Nid::SECP384R1)),
];

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// MGF1 with the same digest, and as much salt as there is room for.
    RsaPss,
    Dsa,
    Ecdsa(Nid),
}

/// What the properties of an image say of its signature.
#[derive(Clone, Debug)]
pub struct Declared {
    certificate: String,
    key_type: &'static str,
    scheme: Scheme,
    digest: HashAlgorithm,
    bytes: Vec<u8>,
}

/// A signature, and the key that is to have made it.
#[derive(Clone, Debug)]
pub struct Signature {
    scheme: Scheme,
    digest: HashAlgorithm,
    key: PKey<Public>,
    bytes: Vec<u8>,
}

/// The names of digests.
pub fn hash_methods() -> impl Iterator<Item = &'static str> {
    HASH_METHODS.into_iter().map(|(name, _)| name)
}

/// The names of kinds of keys.
pub fn key_types() -> impl Iterator<Item = &'static str> {
    KEY_TYPES.into_iter().map(|(name, _)| name)
}

/// The digest of that name.
pub fn hash_method(name: &str) -> Option<HashAlgorithm> {
    let found = HASH_METHODS.iter().find(|(known, _)| *known == name);
    found.map(|(_, digest)| *digest)
}

impl Declared {
    /// What is said of a signature; none where one of the four properties is missing, as in Glance.
    ///
    /// # Errors
    /// A value that makes no sense, in cursive's order.
    pub fn of(properties: &BTreeMap<String, Option<String>>) -> Result<Option<Self>, Refusal> {
        let names = [CERTIFICATE, HASH_METHOD, SIGNATURE, KEY_TYPE];
        let values = names.map(|name| properties.get(name));
        let [
            Some(certificate),
            Some(method),
            Some(signature),
            Some(key_type),
        ] = values
        else {
            return Ok(None);
        };
        // cursive's own name for the first.
        let certificate = there(certificate, "img_signature_uuid")?;
        let method = there(method, HASH_METHOD)?;
        let signature = there(signature, SIGNATURE)?;
        let key_type = there(key_type, KEY_TYPE)?;
        let bytes = decode(signature).ok_or(Reason::Encoding)?;
        let digest = hash_method(method).ok_or_else(|| Reason::HashMethod(method.to_owned()))?;
        let known = KEY_TYPES.into_iter().find(|(name, _)| *name == key_type);
        let (key_type, scheme) = known.ok_or_else(|| Reason::KeyType(key_type.to_owned()))?;
        Ok(Some(Self {
            certificate: certificate.to_owned(),
            key_type,
            scheme,
            digest,
            bytes,
        }))
    }

    /// The certificate's id in the key manager.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The signature, to be verified with the key of a certificate.
    ///
    /// # Errors
    /// When the key is of another kind, or of none that can verify.
    pub fn with(self, certificate: &Certificate) -> Result<Signature, Refusal> {
        let key = certificate.public_key().ok_or(Reason::Undecodable)?;
        if !self.scheme.is_of(&key) {
            return Err(Reason::OtherKey(self.key_type).into());
        }
        if self.bytes.is_empty() {
            return Err(Reason::Empty.into());
        }
        Ok(Signature {
            scheme: self.scheme,
            digest: self.digest,
            key,
            bytes: self.bytes,
        })
    }
}

impl Signature {
    /// The digest that is signed.
    pub fn digest(&self) -> HashAlgorithm {
        self.digest
    }

    /// Whether the key has signed that digest, in hexadecimal digits. Takes up to milliseconds.
    ///
    /// # Errors
    /// [`Refusal::Wrong`].
    pub fn verify(&self, digest: &str) -> Result<(), Refusal> {
        let digest = unhex(digest).ok_or(Refusal::Wrong)?;
        match self.is_of(&digest) {
            Ok(true) => Ok(()),
            // What is no signature at all is an error to OpenSSL.
            Ok(false) | Err(_) => Err(Refusal::Wrong),
        }
    }

    fn is_of(&self, digest: &[u8]) -> Result<bool, ErrorStack> {
        let mut context = PkeyCtx::new(&self.key)?;
        context.verify_init()?;
        match self.scheme.prepare(&mut context, &self.key, self.digest)? {
            true => context.verify(digest, &self.bytes),
            false => Ok(false),
        }
    }
}

impl Scheme {
    fn is_of<T>(self, key: &PKeyRef<T>) -> bool {
        let kinds: &[Id] = match self {
            Self::RsaPss => &[Id::RSA, Id::RSA_PSS],
            Self::Dsa => &[Id::DSA],
            Self::Ecdsa(_) => &[Id::EC],
        };
        kinds.contains(&key.id())
    }

    /// Sets a context up. False: the key has too few bits for such a signature.
    fn prepare<T: HasPublic>(
        self,
        context: &mut PkeyCtxRef<T>,
        key: &PKeyRef<T>,
        digest: HashAlgorithm,
    ) -> Result<bool, ErrorStack> {
        let md = md(digest);
        context.set_signature_md(md)?;
        if self == Self::RsaPss {
            // All that RFC 8017, 9.1.1 leaves.
            let encoded_bytes = (key.bits() as usize + 6) / 8;
            let salt_bytes = encoded_bytes.checked_sub(digest.digest_bytes() + 2);
            let salt_bytes = salt_bytes.and_then(|bytes| i32::try_from(bytes).ok());
            let Some(salt_bytes) = salt_bytes else {
                return Ok(false);
            };
            context.set_rsa_padding(Padding::PKCS1_PSS)?;
            context.set_rsa_mgf1_md(md)?;
            context.set_rsa_pss_saltlen(RsaPssSaltlen::custom(salt_bytes))?;
        }
        Ok(true)
    }
}

fn md(digest: HashAlgorithm) -> &'static MdRef {
    match digest {
        HashAlgorithm::Sha224 => Md::sha224(),
        HashAlgorithm::Sha256 => Md::sha256(),
        HashAlgorithm::Sha384 => Md::sha384(),
        _ => Md::sha512(),
    }
}

fn there<'a>(value: &'a Option<String>, name: &'static str) -> Result<&'a str, Reason> {
    value.as_deref().ok_or(Reason::Missing(name))
}

/// Base64 as Python reads it by default: what is no letter of it is passed over, and nothing follows the
/// padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut letters = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '+' | '/' => letters.push(letter),
            '=' if letters.len() % 4 >= 2 => {
                letters.push('=');
                if letters.len().is_multiple_of(4) {
                    break;
                }
            }
            _ => {}
        }
    }
    openssl::base64::decode_block(&letters).ok()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    bytes.collect()
}

#[cfg(test)]
mod tests;
