//! A directory of certificates: `<uuid>.pem` or `<uuid>.der`. For places without Barbican.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::{CERTIFICATE_BYTES_MAX, Error, KeyManager, checked};
use crate::base::secret::Secret;

/// In the order in which they are looked for.
const ENDINGS: [&str; 2] = ["pem", "der"];
/// Who may write decides whose signatures count: the owner alone.
const OTHERS_WRITE: u32 = 0o022;

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
}

#[async_trait]
impl KeyManager for Keyring {
    /// Whoever asks gets the same.
    async fn certificate(&self, id: &str, _token: Option<&Secret>) -> Result<Vec<u8>, Error> {
        let (folder, id) = (self.folder.clone(), checked(id)?);
        let found = spawn_blocking(move || read(&folder, &id)).await;
        found.expect("reading a file does not panic, and is not cancelled")
    }
}

fn read(folder: &Path, id: &str) -> Result<Vec<u8>, Error> {
    for ending in ENDINGS {
        let path = folder.join(format!("{id}.{ending}"));
        let unusable = |reason: &dyn std::fmt::Display| {
            Error::Unavailable(format!("{}: {reason}", path.display()))
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unusable(&error)),
        };
        let of_folder = File::open(folder).and_then(|folder| check(&folder, false));
        of_folder.map_err(|error| Error::Unavailable(format!("{}: {error}", folder.display())))?;
        check(&file, true).map_err(|error| unusable(&error))?;
        let mut bytes = Vec::new();
        let limit_bytes = CERTIFICATE_BYTES_MAX as u64;
        let mut start = Read::take(&mut file, limit_bytes + 1);
        start
            .read_to_end(&mut bytes)
            .map_err(|error| unusable(&error))?;
        if bytes.len() > CERTIFICATE_BYTES_MAX {
            return Err(unusable(&format_args!("has over {limit_bytes} bytes")));
        }
        return Ok(bytes);
    }
    Err(Error::NotFound)
}

/// That nobody but us and root could have put it there.
fn check(file: &File, is_file: bool) -> io::Result<()> {
    let metadata = file.metadata()?;
    let own = [0, rustix::process::geteuid().as_raw()];
    let reason = match metadata {
        _ if metadata.is_file() != is_file => "is not of the right kind",
        _ if !own.contains(&metadata.uid()) => "belongs to another user",
        _ if metadata.mode() & OTHERS_WRITE != 0 => "may be written by others (chmod go-w)",
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
        let Err(Error::Unavailable(text)) = read(folder, ID) else {
            panic!("it is used");
        };
        assert!(text.contains(reason), "{text}");
    }

    #[test]
    fn what_others_may_write_is_not_trusted() {
        let (folder, path) = keyring();
        assert_eq!(read(folder.path(), ID), Ok(b"x".to_vec()));
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
