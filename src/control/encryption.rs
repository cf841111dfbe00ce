//! What an image's properties say of its encryption (reference D.5), and who has its key.
//!
//! The bytes are the data plane's; here is decided, before the first of them, what they must become or be.
//! The key manager is asked as whoever asks us, so that it decides who may use a key.

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{Control, Result, image::now, signature};
use crate::{
    base::secret::{Passphrase, Secret},
    client::key_manager,
    data::{
        Encryption, Expect,
        encrypt::{Check, Format, Plain, Seal},
    },
    model::{Image, ImageId, RangeRequest},
};

/// The property that says how an image is encrypted: the name of a [`Format`].
pub const FORMAT: &str = "os_encrypt_format";
const KEY: &str = "os_encrypt_key_id";
const KEY_POLICY: &str = "os_encrypt_key_deletion_policy";
const PLAIN_SIZE: &str = "os_decrypt_size";
const PLAIN_CONTAINER: &str = "os_decrypt_container_format";
/// The last three are ours: what the plain bytes are, and their digest.
const PLAIN_DISK: &str = "os_decrypt_disk_format";
const PLAIN_ALGORITHM: &str = "os_decrypt_hash_algo";
const PLAIN_DIGEST: &str = "os_decrypt_hash_value";
const CINDER_KEY: &str = "cinder_encryption_key_id";
const CINDER_POLICY: &str = "cinder_encryption_key_deletion_policy";
/// Words of a policy that a key goes with its image.
const WITH_IMAGE: [&str; 3] = ["on_image_deletion", "True", "true"];
/// The `disk_format` of encrypted images, whether or not it is configured: nobody must take a container for
/// what is in it.
pub const LUKS: &str = "luks";
/// Their `container_format`.
const BARE: &str = "bare";
const QCOW2: &str = "qcow2";
const RAW: &str = "raw";

/// Why bytes are neither encrypted nor decrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Plain bytes for an image that does not say how to encrypt them.
    #[error(
        "X-Fresnel-Plain is for images with the properties os_encrypt_format, LUKSv1 or LUKSv2, and \
         os_encrypt_key_id."
    )]
    Undeclared,
    /// The key cannot be had; the log says why.
    #[error("Unable to retrieve the encryption key with ID: {0}.")]
    NoKey(String),
    /// The encryption is that of another format.
    #[error("The data is encrypted inside of its qcow2 format, and cannot be decrypted here.")]
    Inside,
}

/// A download of what is in a container.
#[derive(Clone, Debug)]
pub struct PlainRead {
    /// What opens it.
    pub passphrase: Passphrase,
    /// How many bytes are in it, if the image's property is to be believed.
    pub size_bytes: Option<u64>,
    /// Which of them.
    pub range: RangeRequest,
}

/// What is known of plain bytes that became a container as they were staged, until it is imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    format: String,
    size_bytes: u64,
    blake3: String,
    /// What they were verified against: nobody can once they are encrypted.
    signed: Option<[String; 4]>,
}

impl Sealed {
    /// Of an image's plain bytes.
    pub(super) fn new(image: &Image, plain: &Plain) -> Self {
        Self {
            format: plain.format.name().to_owned(),
            size_bytes: plain.size_bytes,
            blake3: plain.blake3.clone(),
            signed: signature::claimed(image),
        }
    }

    /// The text of the row.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and a number are JSON")
    }

    /// What a row says.
    pub(super) fn of(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The plain bytes, if the image still says of them what it said when they came.
    ///
    /// # Errors
    /// What the user is told.
    pub(super) fn plain(&self, image: &Image) -> Result<Plain, String> {
        let told = |what| format!("The {what} of the image was changed after its data was staged.");
        let format = Format::from_name(&self.format);
        let format = format.filter(|format| declared(image) == Some(*format));
        if self.signed != signature::claimed(image) {
            return Err(told("signature"));
        }
        Ok(Plain {
            format: format.ok_or_else(|| told("encryption"))?,
            size_bytes: self.size_bytes,
            blake3: self.blake3.clone(),
        })
    }
}

impl Control {
    /// What an upload's bytes have to do with encryption. `is_plain`: they are to be encrypted.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) async fn encryption(
        &self,
        image: &Image,
        is_plain: bool,
        token: Option<&Secret>,
    ) -> Result<Encryption> {
        let declared = declared(image);
        if !is_plain {
            let Some(mut check) = declared.and_then(|format| check(image, format)) else {
                return Ok(Encryption::None);
            };
            if let Some(id) = property(image, KEY) {
                // The container is checked as far as that goes without.
                check.passphrase = self.passphrase(id, token).await.ok();
            }
            return Ok(Encryption::Check(check));
        }
        let (Some(format), Some(id)) = (declared, property(image, KEY)) else {
            return Err(Refusal::Undeclared.into());
        };
        let passphrase = self.passphrase(id, token).await?;
        Ok(Encryption::Seal(Seal { format, passphrase }))
    }

    /// What a download needs besides to give the plain bytes; none where they are what is stored.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) async fn decryption(
        &self,
        image: &Image,
        range: RangeRequest,
        token: Option<&Secret>,
    ) -> Result<Option<PlainRead>> {
        let Some(id) = property(image, KEY).or_else(|| property(image, CINDER_KEY)) else {
            return Ok(None);
        };
        if image.disk_format.as_deref() == Some(QCOW2) {
            return Err(Refusal::Inside.into());
        }
        let size_bytes = property(image, PLAIN_SIZE).and_then(|size| size.trim().parse().ok());
        Ok(Some(PlainRead {
            passphrase: self.passphrase(id, token).await?,
            size_bytes,
            range,
        }))
    }

    async fn passphrase(&self, id: &str, token: Option<&Secret>) -> Result<Passphrase> {
        let found = match &self.keys {
            Some(keys) => keys.passphrase(id, token).await,
            None => Err(key_manager::Error::Unavailable(
                "there is no key manager".to_owned(),
            )),
        };
        found.map_err(|cause| {
            warn!(key.id = id, %cause, "Unable to retrieve an encryption key");
            Refusal::NoKey(id.to_owned()).into()
        })
    }

    /// Tells the key manager that an image needs its key from now on. What fails here hinders nobody: the
    /// key may be deleted while it is needed, as any other's.
    pub(super) async fn need_key(&self, image: &Image, token: Option<&Secret>) {
        let (Some(keys), Some(id)) = (&self.keys, property(image, KEY)) else {
            return;
        };
        if let Err(cause) = keys.needs(id, &image.id, token).await {
            warn!(image.id = %image.id, key.id = id, %cause, "The key manager does not know that an image needs its key");
        }
    }

    /// The same where an image with data has another key than before, whose passphrase is the same.
    pub(super) async fn change_key(&self, before: &Image, after: &Image, token: Option<&Secret>) {
        let has_data = !after.locations.is_empty();
        if !has_data || property(before, KEY) == property(after, KEY) {
            return;
        }
        self.need_key(after, token).await;
        if let Some(id) = property(before, KEY) {
            // What fails is in the log.
            drop(self.leave_key(&before.id, id, token).await);
        }
    }

    /// Tells the key manager that an image needs a key no more, and destroys those that go with it: its data
    /// is gone, and nothing depends on it. Failures are logged. The image's own key is destroyed only if the
    /// key manager knew until now that the image needs it: else whoever may write the image's properties would
    /// choose which key goes, and whoever deletes it would lend the right. What an earlier attempt told it, but
    /// failed to destroy, stays therefore.
    ///
    /// # Errors
    /// [`Refusal::NoKey`] where a key stays that may go another time.
    pub(super) async fn leave_keys(
        &self,
        image: &ImageId,
        leaving: &Leaving,
        token: Option<&Secret>,
    ) -> Result<(), Refusal> {
        let Some(keys) = &self.keys else {
            return Ok(());
        };
        let left = match &leaving.needed {
            Some(id) => self.leave_key(image, id, token).await,
            None => Ok(()),
        };
        let mut outcome = Ok(());
        for id in &leaving.destroyed {
            let may = match leaving.needed.as_ref() == Some(id) {
                true => left.clone(),
                false => Ok(()),
            };
            let destroyed = match may {
                Ok(()) => keys.destroy(id, image, token).await,
                unknown => unknown,
            };
            match destroyed {
                Ok(()) => {
                    info!(image.id = %image, key.id = id, "Destroyed the key of a deleted image");
                }
                Err(cause) => {
                    warn!(image.id = %image, key.id = id, %cause, "The key of a deleted image stays");
                    if matches!(cause, key_manager::Error::Unavailable(_)) {
                        outcome = Err(Refusal::NoKey(id.clone()));
                    }
                }
            }
        }
        outcome
    }

    async fn leave_key(
        &self,
        image: &ImageId,
        id: &str,
        token: Option<&Secret>,
    ) -> Result<(), key_manager::Error> {
        let Some(keys) = &self.keys else {
            return Ok(());
        };
        let left = keys.leaves(id, image, token).await;
        if let Err(cause) = &left {
            info!(image.id = %image, key.id = id, %cause, "The key manager did not know that an image needs its key");
        }
        left
    }
}

/// What becomes of the keys of an image that is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leaving {
    /// The key manager knows that the image needs it.
    pub(super) needed: Option<String>,
    /// They go with its data.
    pub(super) destroyed: Vec<String>,
}

impl Leaving {
    /// As the image's properties have it.
    pub(super) fn of(image: &Image) -> Self {
        let goes = |key, policy| {
            let word = property(image, policy);
            let goes = word.is_some_and(|word| WITH_IMAGE.contains(&word));
            property(image, key).filter(|_| goes).map(str::to_owned)
        };
        let own = goes(KEY, KEY_POLICY).into_iter();
        Self {
            needed: property(image, KEY).map(str::to_owned),
            destroyed: own.chain(goes(CINDER_KEY, CINDER_POLICY)).collect(),
        }
    }

    /// The same of data that is still somewhere.
    pub(super) fn without_destroying(self) -> Self {
        Self {
            destroyed: Vec::new(),
            ..self
        }
    }
}

/// What data must be that is imported, as far as it can be known without its user.
pub(super) fn of_import(image: &Image) -> Encryption {
    let check = declared(image).and_then(|format| check(image, format));
    check.map_or(Encryption::None, Encryption::Check)
}

/// The container that an image says its data is in. Other words than ours are only properties, as in Glance.
pub(super) fn declared(image: &Image) -> Option<Format> {
    property(image, FORMAT).and_then(Format::from_name)
}

/// What plain bytes must be that become a container: what the image says of its data.
pub(super) fn of_plain(expect: Expect) -> Expect {
    let disk_format = match expect.disk_format.as_str() {
        LUKS => RAW.to_owned(),
        _ => expect.disk_format,
    };
    Expect {
        disk_format,
        encrypted: None,
        ..expect
    }
}

/// Says in an image what is in its container.
pub(super) fn record(image: &mut Image, plain: &Plain) {
    let disk_format = image.disk_format.replace(LUKS.to_owned());
    let container_format = image.container_format.replace(BARE.to_owned());
    let disk_format = disk_format.filter(|format| format != LUKS);
    for (name, value) in [
        (PLAIN_SIZE, Some(plain.size_bytes.to_string())),
        (PLAIN_CONTAINER, container_format),
        (PLAIN_DISK, Some(disk_format.unwrap_or(RAW.to_owned()))),
        (PLAIN_ALGORITHM, Some("blake3".to_owned())),
        (PLAIN_DIGEST, Some(plain.blake3.clone())),
    ] {
        image.properties.insert(name.to_owned(), value);
    }
    image.updated_at = now();
}

/// Says in an image how much is in its container, where its user has not.
pub(super) fn complete(image: &mut Image) {
    if declared(image).is_some()
        && property(image, PLAIN_SIZE).is_none()
        && let Some(bytes) = image.virtual_size_bytes
    {
        let size = Some(bytes.to_string());
        image.properties.insert(PLAIN_SIZE.to_owned(), size);
    }
}

/// A container of a format that has a check of its own; qcow2 says itself how it is encrypted.
fn check(image: &Image, format: Format) -> Option<Check> {
    let is_inside = image.disk_format.as_deref() == Some(QCOW2);
    (!is_inside).then_some(Check {
        format,
        passphrase: None,
    })
}

fn property<'a>(image: &'a Image, name: &str) -> Option<&'a str> {
    let value = image.properties.get(name)?.as_deref()?;
    (!value.is_empty()).then_some(value)
}
