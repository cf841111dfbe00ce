//! The directory of keys, without a service.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use crate::{
    client::key_manager::{KEY_BYTES_MAX, Keyring},
    config::{Config, Keys},
    model::ImageId,
};

/// Keeps what a file has as a passphrase. One line end at its end is not part of it. With `image` the key goes
/// with that image, where its deletion policy says so.
///
/// # Errors
/// A file that cannot be read, an id that is none or is taken, a passphrase that is too long, and keys that
/// are in Barbican.
pub fn import(
    config: &Config,
    id: &str,
    file: &Path,
    image: Option<&ImageId>,
) -> anyhow::Result<()> {
    let keyring = keyring(config)?;
    let named = || file.display().to_string();
    // All at once, and a byte more than there may be: a line end, and what is too much.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES_MAX + 2));
    let mut start = File::open(file)
        .with_context(named)?
        .take(KEY_BYTES_MAX as u64 + 2);
    start.read_to_end(&mut bytes).with_context(named)?;
    let passphrase = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let kept = keyring.import(id, passphrase);
    kept.context("the key is not imported")?;
    match image {
        Some(image) => {
            let bound = keyring.bind(id, image);
            bound.context("the key is imported, and does not go with its image")
        }
        None => Ok(()),
    }
}

/// Keeps the passphrase of a key under another id too.
///
/// # Errors
/// An id without a key, one that is none or is taken, the filesystem's, and keys that are in Barbican.
pub fn copy(config: &Config, from: &str, to: &str) -> anyhow::Result<()> {
    let copied = keyring(config)?.copy(from, to);
    copied.context("the key is not copied")
}

/// The ids of all keys.
///
/// # Errors
/// The filesystem's, and keys that are in Barbican.
pub fn list(config: &Config) -> anyhow::Result<Vec<String>> {
    keyring(config)?.keys().context("[fresnel] keyring_dir")
}

/// Destroys a key.
///
/// # Errors
/// An id without a key, the filesystem's, and keys that are in Barbican.
pub fn delete(config: &Config, id: &str) -> anyhow::Result<()> {
    let deleted = keyring(config)?.delete(id);
    deleted.context("the key is not deleted")
}

fn keyring(config: &Config) -> anyhow::Result<Keyring> {
    match &config.keys {
        Keys::File(folder) => Ok(Keyring::new(folder.clone())),
        Keys::Barbican(_) => bail!("the keys are in Barbican, and not in a directory"),
    }
}
