//! People who sign images: keys of every kind, and certificates.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fresnel::data::signature::{Signer, digest_of, hash_method};
use openssl::{
    asn1::{Asn1Integer, Asn1Time},
    bn::BigNum,
    dsa::Dsa,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{
        X509, X509Builder, X509NameBuilder,
        extension::{BasicConstraints, KeyUsage},
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Who signs, and the certificate that says so.
pub(crate) struct Author {
    /// Of the certificate in the key manager.
    pub(crate) id: String,
    pub(crate) key: PKey<Private>,
    pub(crate) certificate: X509,
}

/// What a certificate says, beside the key.
pub(crate) struct Says<'a> {
    pub(crate) usage: Option<KeyUsage>,
    pub(crate) is_authority: bool,
    pub(crate) is_over: bool,
    /// None has signed itself.
    pub(crate) by: Option<&'a Author>,
}

impl Default for Says<'_> {
    fn default() -> Self {
        let mut usage = KeyUsage::new();
        usage.digital_signature();
        Self {
            usage: Some(usage),
            is_authority: false,
            is_over: false,
            by: None,
        }
    }
}

/// A usage of a certificate that signs others.
pub(crate) fn authority() -> Says<'static> {
    let mut usage = KeyUsage::new();
    usage.key_cert_sign();
    Says {
        usage: Some(usage),
        is_authority: true,
        ..Says::default()
    }
}

impl Author {
    /// With a key of that `img_signature_key_type`, and a certificate that is good.
    pub(crate) fn new(key_type: &str) -> Self {
        Self::with(key(key_type), Says::default())
    }

    /// With a key on a curve, which is soon made.
    pub(crate) fn who_says(says: Says<'_>) -> Self {
        Self::with(key("ECC_SECP384R1"), says)
    }

    fn with(key: PKey<Private>, says: Says<'_>) -> Self {
        let id = Uuid::new_v4().to_string();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", &id).unwrap();
        let name = name.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(1).unwrap();
        let serial = Asn1Integer::from_bn(&serial).unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&name).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let end = match says.is_over {
            true => now - DAY,
            false => now + DAY,
        };
        let time = |at: Duration| Asn1Time::from_unix(at.as_secs().try_into().unwrap()).unwrap();
        builder.set_not_before(&time(now - 2 * DAY)).unwrap();
        builder.set_not_after(&time(end)).unwrap();
        builder.set_pubkey(&key).unwrap();
        if says.is_authority {
            let constraints = BasicConstraints::new().critical().ca().build().unwrap();
            builder.append_extension(constraints).unwrap();
        }
        if let Some(usage) = says.usage {
            builder.append_extension(usage.build().unwrap()).unwrap();
        }
        let issuer = says.by.map_or(&*name, |by| by.certificate.subject_name());
        builder.set_issuer_name(issuer).unwrap();
        let signer = says.by.map_or(&key, |by| &by.key);
        builder.sign(signer, MessageDigest::sha256()).unwrap();
        Self {
            id,
            certificate: builder.build(),
            key,
        }
    }

    pub(crate) fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    pub(crate) fn certificate_pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    /// Puts the certificate into a keyring.
    pub(crate) fn enter(&self, keyring: &Path) {
        fs::create_dir_all(keyring).unwrap();
        fs::set_permissions(keyring, fs::Permissions::from_mode(0o755)).unwrap();
        let path = keyring.join(format!("{}.pem", self.id));
        fs::write(&path, self.certificate_pem()).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// The properties of an image of these bytes, which it signs.
    pub(crate) fn sign(&self, method: &str, mut bytes: &[u8]) -> Value {
        let signer = Signer::new(&self.key_pem(), None).unwrap();
        let algorithm = hash_method(method).unwrap();
        let digest = digest_of(&mut bytes, algorithm).unwrap();
        json!({
            "img_signature": signer.sign(algorithm, &digest).unwrap(),
            "img_signature_hash_method": method,
            "img_signature_key_type": signer.key_type(),
            "img_signature_certificate_uuid": self.id,
        })
    }
}

fn key(key_type: &str) -> PKey<Private> {
    let curve = match key_type {
        "RSA-PSS" => return PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
        "DSA" => return PKey::from_dsa(Dsa::generate(2048).unwrap()).unwrap(),
        "ECC_SECT571K1" => Nid::SECT571K1,
        "ECC_SECT409K1" => Nid::SECT409K1,
        "ECC_SECT571R1" => Nid::SECT571R1,
        "ECC_SECT409R1" => Nid::SECT409R1,
        "ECC_SECP521R1" => Nid::SECP521R1,
        "ECC_SECP384R1" => Nid::SECP384R1,
        other => panic!("{other} is no kind of key"),
    };
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}
