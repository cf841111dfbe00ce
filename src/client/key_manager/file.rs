//! A directory of certificates, `<uuid>.pem` or `<uuid>.der`, and of keys, `<uuid>.key`. For places without
//! Barbican.
//!
//! Every user may name every key, so none goes with an image unless whoever imported it said with which
//! (`<uuid>.image`).
//!
//! A key lies there as it is, readable by the service's user and root alone. Wrapping it would need another
//! key beside it, which whoever reads the one reads too.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::{CERTIFICATE_BYTES_MAX, Error, KEY_BYTES_MAX, KeyManager, checked};
use crate::{
    base::secret::{Passphrase, Secret},
    model::ImageId,
};

/// Something that is kept in a file.
struct Kind {
    /// Of its name, in the order in which they are looked for.
    endings: &'static [&'static str],
    bytes_max: usize,
    /// What others may not do with it.
    closed: Closed,
}

/// Bits of a mode that must not be set.
struct Closed {
    mode: u32,
    remedy: &'static str,
}

/// Who may write decides whose signatures count: the owner alone.
const WRITING: Closed = Closed {
    mode: 0o022,
    remedy: "may be written by others (chmod go-w)",
};
/// Who may read a key reads what it opens.
const READING: Closed = Closed {
    mode: 0o077,
    remedy: "may be read by others (chmod 600)",
};
const CERTIFICATE: Kind = Kind {
    endings: &["pem", "der"],
    bytes_max: CERTIFICATE_BYTES_MAX,
    closed: WRITING,
};
const KEY: Kind = Kind {
    endings: &["key"],
    bytes_max: KEY_BYTES_MAX,
    closed: READING,
};

/// The image with which a key goes.
const BINDING: Kind = Kind {
    endings: &["image"],
    bytes_max: IMAGE_BYTES_MAX,
    closed: WRITING,
};
/// An image's id has no more bytes.
const IMAGE_BYTES_MAX: usize = 36;

/// The directory. It is read at every request, so that what is put there counts at once.
#[derive(Clone, Debug)]
pub struct Keyring {
    folder: PathBuf,
}

impl Keyring {
    /// It need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Keeps a passphrase under an id that has none yet.
    ///
    /// # Errors
    /// An id that is none or is taken, a passphrase that is empty or over [`KEY_BYTES_MAX`], and the
    /// filesystem's.
    pub fn import(&self, id: &str, passphrase: &[u8]) -> io::Result<()> {
        let refuse = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let id = checked(id).map_err(|_| refuse(format!("{id:?} is no UUID")))?;
        if passphrase.is_empty() || passphrase.len() > KEY_BYTES_MAX {
            let reason = format!("a passphrase has 1 to {KEY_BYTES_MAX} bytes");
            return Err(refuse(reason));
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.folder)?;
        check(&File::open(&self.folder)?, false, &WRITING)?;
        self.add(&format!("{id}.key"), passphrase)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => refuse(format!("there is a key of the id {id}")),
                _ => error,
            })
    }

    /// Has a key go with an image, from which nothing takes it away again.
    ///
    /// # Errors
    /// An id that has no key, or whose key goes with an image, and the filesystem's.
    pub fn bind(&self, id: &str, image: &ImageId) -> io::Result<()> {
        let id = checked(id).map_err(|_| missing(id))?;
        if !self.key(&id).exists() {
            return Err(missing(&id));
        }
        self.add(&format!("{id}.image"), image.as_str().as_bytes())
    }

    /// A new file in the directory, all of it or nothing.
    fn add(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let draft = self.folder.join(format!(".{name}.{}", std::process::id()));
        // Of a process that had our number and died. It may be the key itself under its second name.
        fs::remove_file(&draft).or_else(gone)?;
        let written = write_new(&draft, bytes).and_then(|()| {
            // A link refuses to replace.
            fs::hard_link(&draft, self.folder.join(name))?;
            File::open(&self.folder)?.sync_all()
        });
        fs::remove_file(&draft).or_else(gone)?;
        written
    }

    /// Keeps the passphrase of a key under another id too, which has none yet.
    ///
    /// # Errors
    /// As [`Keyring::import`], and an id that has no key.
    pub fn copy(&self, from: &str, to: &str) -> io::Result<()> {
        let id = checked(from).map_err(|_| missing(from))?;
        let passphrase = read(&self.folder, &id, &KEY).map_err(|error| match error {
            Error::NotFound => missing(from),
            other => io::Error::other(other),
        })?;
        self.import(to, &passphrase)
    }

    /// The ids of all keys, in order.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn keys(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".key"));
            found.extend(id.filter(|id| checked(id).is_ok()).map(str::to_owned));
        }
        found.sort();
        Ok(found)
    }

    /// Destroys a key, and with it what only it opens: its file is overwritten before it goes, as far as
    /// that helps.
    ///
    /// # Errors
    /// An id that is none or has no key, and the filesystem's.
    pub fn delete(&self, id: &str) -> io::Result<()> {
        let id = checked(id).map_err(|_| missing(id))?;
        let path = self.key(&id);
        for draft in self.drafts(&id)? {
            erase(&draft).or_else(gone)?;
        }
        erase(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(&id),
            _ => error,
        })?;
        fs::remove_file(path.with_extension("image")).or_else(gone)
    }

    /// What imports left that died: the key is in it too.
    fn drafts(&self, id: &str) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let start = format!(".{id}.key.");
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let is_draft = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(&start))
        };
        let paths = paths.collect::<io::Result<Vec<_>>>()?;
        Ok(paths.into_iter().filter(is_draft).collect())
    }

    fn key(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.key"))
    }

    async fn read(&self, id: &str, kind: &'static Kind) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (folder, id) = (self.folder.clone(), checked(id)?);
        let found = spawn_blocking(move || read(&folder, &id, kind)).await;
        found.expect("reading a file does not panic, and is not cancelled")
    }
}

fn missing(id: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no key {id}"))
}

fn write_new(path: &Path, passphrase: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(passphrase)?;
    file.sync_all()
}

/// Removes a file with a key in it, which is overwritten before.
fn erase(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let len = file.metadata()?.len().min(KEY_BYTES_MAX as u64);
    file.write_all(&[0; KEY_BYTES_MAX][..len as usize])?;
    file.sync_all()?;
    fs::remove_file(path)
}

fn gone(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

#[async_trait]
impl KeyManager for Keyring {
    /// Whoever asks gets the same.
    async fn certificate(&self, id: &str, _token: Option<&Secret>) -> Result<Vec<u8>, Error> {
        Ok(self.read(id, &CERTIFICATE).await?.to_vec())
    }

    async fn passphrase(&self, id: &str, _token: Option<&Secret>) -> Result<Passphrase, Error> {
        self.read(id, &KEY).await.map(Passphrase::new)
    }

    /// Nobody counts them.
    async fn needs(&self, id: &str, _: &ImageId, _: Option<&Secret>) -> Result<(), Error> {
        checked(id).map(drop)
    }

    async fn leaves(&self, id: &str, _: &ImageId, _: Option<&Secret>) -> Result<(), Error> {
        checked(id).map(drop)
    }

    async fn destroy(&self, id: &str, image: &ImageId, _: Option<&Secret>) -> Result<(), Error> {
        let (id, image) = (checked(id)?, image.clone());
        let keyring = self.clone();
        let destroyed = spawn_blocking(move || {
            let bound = match read(&keyring.folder, &id, &BINDING) {
                Err(Error::NotFound) => return Err(Error::Unbound),
                bound => bound?,
            };
            if *bound != image.as_str().as_bytes() {
                return Err(Error::Unbound);
            }
            let deleted = keyring.delete(&id);
            deleted.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::NotFound,
                _ => Error::Unavailable(error.to_string()),
            })
        });
        destroyed
            .await
            .expect("removing a file does not panic, and is not cancelled")
    }
}

fn read(folder: &Path, id: &str, kind: &Kind) -> Result<Zeroizing<Vec<u8>>, Error> {
    for ending in kind.endings {
        let path = folder.join(format!("{id}.{ending}"));
        let unusable = |reason: &dyn std::fmt::Display| {
            Error::Unavailable(format!("{}: {reason}", path.display()))
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unusable(&error)),
        };
        let of_folder = File::open(folder).and_then(|folder| check(&folder, false, &WRITING));
        of_folder.map_err(|error| Error::Unavailable(format!("{}: {error}", folder.display())))?;
        check(&file, true, &kind.closed).map_err(|error| unusable(&error))?;
        // All at once: what a vector leaves behind when it grows is not overwritten.
        let mut bytes = Zeroizing::new(Vec::with_capacity(kind.bytes_max + 1));
        let limit_bytes = kind.bytes_max as u64;
        let mut start = Read::take(&mut file, limit_bytes + 1);
        start
            .read_to_end(&mut bytes)
            .map_err(|error| unusable(&error))?;
        if bytes.len() > kind.bytes_max {
            return Err(unusable(&format_args!("has over {limit_bytes} bytes")));
        }
        return Ok(bytes);
    }
    Err(Error::NotFound)
}

/// That nobody but us and root could have put it there.
fn check(file: &File, is_file: bool, closed: &Closed) -> io::Result<()> {
    let metadata = file.metadata()?;
    let own = [0, rustix::process::geteuid().as_raw()];
    let reason = match metadata {
        _ if metadata.is_file() != is_file => "is not of the right kind",
        _ if !own.contains(&metadata.uid()) => "belongs to another user",
        _ if metadata.mode() & closed.mode != 0 => closed.remedy,
        _ => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    const ID: &str = "6b5d1c5e-6a0c-4d55-9b8e-6f7f6f1f2a01";

    fn keyring() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{ID}.pem"));
        fs::write(&path, "x").unwrap();
        set_mode(&path, 0o644);
        (folder, path)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[track_caller]
    fn assert_unusable(folder: &Path, reason: &str) {
        let Err(Error::Unavailable(text)) = read(folder, ID, &CERTIFICATE) else {
            panic!("it is used");
        };
        assert!(text.contains(reason), "{text}");
    }

    #[test]
    fn what_others_may_write_is_not_trusted() {
        let (folder, path) = keyring();
        let found = read(folder.path(), ID, &CERTIFICATE);
        assert_eq!(found, Ok(Zeroizing::new(b"x".to_vec())));
        set_mode(&path, 0o664);
        assert_unusable(folder.path(), "chmod go-w");
        set_mode(&path, 0o600);
        set_mode(folder.path(), 0o777);
        assert_unusable(folder.path(), "chmod go-w");
    }

    #[test]
    fn a_certificate_has_a_size() {
        let (folder, path) = keyring();
        fs::write(&path, vec![b'x'; CERTIFICATE_BYTES_MAX + 1]).unwrap();
        assert_unusable(folder.path(), "has over 65536 bytes");
    }

    #[test]
    fn a_key_is_kept_once_read_by_its_owner_copied_and_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::new(folder.path().join("keyring"));
        assert!(keyring.keys().unwrap().is_empty());
        keyring.import(&ID.to_uppercase(), b"hunter2").unwrap();
        let taken = keyring.import(ID, b"other").unwrap_err();
        assert!(taken.to_string().contains("there is a key"), "{taken}");
        for (id, passphrase) in [("x", &b"y"[..]), (ID, b""), (ID, &[7; KEY_BYTES_MAX + 1])] {
            assert!(keyring.import(id, passphrase).is_err());
        }
        assert_eq!(keyring.keys().unwrap(), [ID]);
        let found = read(&keyring.folder, ID, &KEY);
        assert_eq!(found, Ok(Zeroizing::new(b"hunter2".to_vec())));
        let other = "6b5d1c5e-6a0c-4d55-9b8e-6f7f6f1f2a02";
        keyring.copy(ID, other).unwrap();
        assert_eq!(read(&keyring.folder, other, &KEY), found);
        assert!(keyring.copy(other, ID).is_err() && keyring.copy("x", ID).is_err());
        keyring.delete(other).unwrap();
        assert!(keyring.copy(other, other).is_err());
        set_mode(&keyring.key(ID), 0o640);
        let Err(Error::Unavailable(text)) = read(&keyring.folder, ID, &KEY) else {
            panic!("it is used");
        };
        assert!(
            text.contains("chmod 600") && !text.contains("hunter2"),
            "{text}"
        );
        keyring.delete(ID).unwrap();
        assert_eq!(read(&keyring.folder, ID, &KEY), Err(Error::NotFound));
        assert!(keyring.delete(ID).is_err() && keyring.keys().unwrap().is_empty());
    }

    #[test]
    fn what_a_dead_import_left_is_in_nobodys_way_and_goes_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::new(folder.path().join("keyring"));
        keyring.import(ID, b"other").unwrap();
        keyring.delete(ID).unwrap();
        let draft = |process: u32| keyring.folder.join(format!(".{ID}.key.{process}"));
        fs::write(draft(std::process::id()), "hunter2").unwrap();
        keyring.import(ID, b"hunter2").unwrap();
        fs::write(draft(0), "hunter2").unwrap();
        keyring.delete(ID).unwrap();
        assert_eq!(fs::read_dir(&keyring.folder).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_key_goes_with_the_image_that_it_was_bound_to_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::new(folder.path().join("keyring"));
        let (own, other) = (ImageId::random(), ImageId::random());
        assert!(keyring.bind(ID, &own).is_err());
        keyring.import(ID, b"hunter2").unwrap();
        let unbound = keyring.destroy(ID, &own, None).await;
        assert_eq!(unbound, Err(Error::Unbound));
        keyring.bind(ID, &own).unwrap();
        assert!(keyring.bind(ID, &other).is_err());
        let others = keyring.destroy(ID, &other, None).await;
        assert_eq!(others, Err(Error::Unbound));
        assert_eq!(keyring.keys().unwrap(), [ID]);
        keyring.destroy(ID, &own, None).await.unwrap();
        assert_eq!(fs::read_dir(&keyring.folder).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_id_is_a_uuid_and_no_path() {
        let (folder, _) = keyring();
        let keyring = Keyring::new(folder.path().join("below"));
        let up = format!("../{ID}");
        for id in ["", "..", &up, "no-uuid"] {
            let found = keyring.certificate(id, None).await;
            assert_eq!(found, Err(Error::NoId), "{id:?}");
        }
        assert_eq!(keyring.certificate(ID, None).await, Err(Error::NotFound));
        let keyring = Keyring::new(folder.path().into());
        let found = keyring.certificate(&ID.to_uppercase(), None).await;
        assert_eq!(found, Ok(b"x".to_vec()));
    }
}
