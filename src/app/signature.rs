//! Signs an image file and verifies it, without a service.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, anyhow, bail};
use zeroize::Zeroizing;

use crate::{
    base::secret::Secret,
    data::signature::{
        CERTIFICATE, Certificate, Declared, HASH_METHOD, KEY_TYPE, SIGNATURE, Signer, digest_of,
        hash_method, hash_methods,
    },
};

/// Hears how many of an image's bytes are read, and how many they are.
pub type Watch<'a> = &'a mut dyn FnMut(u64, u64);

/// What is to be signed, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The image.
    pub image: &'a Path,
    /// The private key, in PEM.
    pub key: &'a Path,
    /// A file with the key's passphrase in its first line.
    pub passphrase: Option<&'a Path>,
    /// The key's certificate, in PEM or DER.
    pub certificate: &'a Path,
    /// The id of the certificate in the key manager.
    pub certificate_id: &'a str,
    /// The name of the digest.
    pub hash_method: &'a str,
}

/// Signs an image file. Returns the four properties, in the order in which people write them.
///
/// # Errors
/// A file that cannot be read, a key that is of no use, a certificate that is not the key's or that the
/// service would refuse.
pub fn sign(order: Order<'_>, watch: Watch<'_>) -> anyhow::Result<[(&'static str, String); 4]> {
    let Some(algorithm) = hash_method(order.hash_method) else {
        let known = hash_methods().collect::<Vec<_>>().join(", ");
        bail!("{:?} is not one of {known}", order.hash_method);
    };
    let pem = Zeroizing::new(read(order.key)?);
    let passphrase = order.passphrase.map(secret).transpose()?;
    let signer = Signer::new(&pem, passphrase.as_ref());
    let signer = signer.with_context(|| order.key.display().to_string())?;
    let certificate = certificate(order.certificate)?;
    signer.check(&certificate)?;
    certificate.check()?;
    let digest = digest_of(&mut Watched::open(order.image, watch)?, algorithm);
    let digest = digest.with_context(|| order.image.display().to_string())?;
    Ok([
        (SIGNATURE, signer.sign(algorithm, &digest)?),
        (HASH_METHOD, order.hash_method.to_owned()),
        (KEY_TYPE, signer.key_type().to_owned()),
        (CERTIFICATE, order.certificate_id.to_owned()),
    ])
}

/// Verifies the signature that properties have, of an image file.
///
/// # Errors
/// A file that cannot be read, and whatever the service would say of an upload.
pub fn verify(
    image: &Path,
    certificate_file: &Path,
    properties: &BTreeMap<String, Option<String>>,
    watch: Watch<'_>,
) -> anyhow::Result<()> {
    let declared = Declared::of(properties)?;
    let declared = declared.ok_or_else(|| {
        let four = [SIGNATURE, HASH_METHOD, KEY_TYPE, CERTIFICATE].join(", ");
        anyhow!("an image is signed when it has all of {four}")
    })?;
    let certificate = certificate(certificate_file)?;
    certificate.check()?;
    let signature = declared.with(&certificate)?;
    let digest = digest_of(&mut Watched::open(image, watch)?, signature.digest());
    let digest = digest.with_context(|| image.display().to_string())?;
    Ok(signature.verify(&digest)?)
}

fn certificate(path: &Path) -> anyhow::Result<Certificate> {
    let parsed = Certificate::parse(&read(path)?);
    parsed.ok_or_else(|| anyhow!("{}: no certificate in PEM or DER", path.display()))
}

fn secret(path: &Path) -> anyhow::Result<Secret> {
    let text = Zeroizing::new(read(path)?);
    let text = std::str::from_utf8(&text).ok();
    let line = text.and_then(|text| text.lines().next());
    let line = line.ok_or_else(|| anyhow!("{}: no passphrase", path.display()))?;
    Ok(Secret::new(line.to_owned()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// A file whose reading is watched.
struct Watched<'a> {
    file: File,
    read_bytes: u64,
    size_bytes: u64,
    watch: Watch<'a>,
}

impl<'a> Watched<'a> {
    fn open(path: &Path, watch: Watch<'a>) -> anyhow::Result<Self> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size_bytes, file) = opened.with_context(|| path.display().to_string())?;
        Ok(Self {
            file,
            read_bytes: 0,
            size_bytes,
            watch,
        })
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read_bytes += read as u64;
        (self.watch)(self.read_bytes, self.size_bytes);
        Ok(read)
    }
}
