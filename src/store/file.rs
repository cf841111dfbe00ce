//! Objects as files: `<datadir>/<image id>` (reference E.3).
//!
//! An attempt writes to `<datadir>/.fresnel/<image id>.<attempt>`, in the same filesystem, and is
//! published by a rename that refuses to replace. A published file is marked with its attempt, so
//! that [`Store::discard`] takes back what is its own and nothing else.
//!
//! **Page cache.** Where the filesystem can, bytes are written past it: that costs a sixth of the
//! CPU time, and an upload pushes no other image out of memory. The price is that the first
//! download of a fresh image reads the disk (docs/adr/0008-file-store.md).

mod ability;
pub mod config;
mod io;
mod list;
mod mark;
mod read;
mod write;

use std::{
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use rustix::io::Errno;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{Entry, Error, Finding, Intent, Reader, Result, Stat, Store, Writer};
use crate::{
    base::limits::MIB,
    buf::Claim,
    model::{Attempt, ByteRange, ImageId, StoreId},
};

pub use config::{Config, Datadir};
pub use io::{FileIo, FileIoChoice};

/// Where attempts rest until they are published.
pub const ATTEMPTS_DIR: &str = ".fresnel";

/// The schemes that Glance reads; it writes the first.
const SCHEMES: [&str; 2] = ["file://", "filesystem://"];

/// A store of files in one or more directories.
#[derive(Debug)]
pub struct FileStore {
    shared: Arc<Shared>,
}

/// What the store's writers and readers need of it.
#[derive(Debug)]
struct Shared {
    id: StoreId,
    /// In order of preference: by falling priority, then in the operator's order.
    dirs: Vec<Dir>,
    file_perm: Option<u32>,
    thin_provisioning: bool,
    io: FileIo,
}

/// A directory, and what its filesystem can do.
#[derive(Debug)]
struct Dir {
    path: PathBuf,
    priority: i64,
    can: ability::Abilities,
}

/// The two names of an attempt.
#[derive(Clone, Debug)]
struct Names {
    /// Until it is published.
    draft: PathBuf,
    /// Afterwards.
    published: PathBuf,
}

impl FileStore {
    /// Creates directories that are missing and finds out what their filesystems can do. Blocks.
    ///
    /// Fails with [`Error::Backend`], whose source names the directory, when one cannot be made
    /// or written.
    pub fn open(id: StoreId, config: Config, io: FileIo) -> Result<Self> {
        let mut dirs = Vec::new();
        for datadir in &config.datadirs {
            let dir = open_dir(datadir, config.file_perm).map_err(|error| Error::Backend {
                store: id.clone(),
                source: std::io::Error::new(
                    error.kind(),
                    format!("{} is not writable: {error}", datadir.path.display()),
                ),
            })?;
            debug!(store.id = %id, path = %dir.path.display(), can = ?dir.can, "Opened a directory");
            dirs.push(dir);
        }
        if dirs.is_empty() {
            return Err(Error::Backend {
                store: id,
                source: ErrorKind::InvalidInput.into(),
            });
        }
        dirs.sort_by_key(|dir| std::cmp::Reverse(dir.priority));
        let shared = Shared {
            id,
            dirs,
            file_perm: config.file_perm,
            thin_provisioning: config.thin_provisioning,
            io,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }
}

#[async_trait]
impl Store for FileStore {
    fn id(&self) -> &StoreId {
        &self.shared.id
    }

    fn kind(&self) -> &'static str {
        "file"
    }

    async fn intend(
        &self,
        image: &ImageId,
        attempt: Attempt,
        size_bytes: Option<u64>,
    ) -> Result<Intent> {
        let shared = self.shared.clone();
        let image = image.clone();
        blocking(move || {
            let dir = shared.choose(size_bytes.unwrap_or(0))?;
            let names = dir.names(&image, attempt)?;
            let object = text(&names.draft);
            Ok(Intent::new(image, attempt, object))
        })
        .await
    }

    async fn writer(&self, intent: &Intent, size_bytes: Option<u64>) -> Result<Box<dyn Writer>> {
        let shared = self.shared.clone();
        let intent = intent.clone();
        let writer = blocking(move || write::FileWriter::open(shared, &intent, size_bytes)).await?;
        Ok(Box::new(writer))
    }

    async fn reader(&self, url: &str, range: ByteRange, _memory: Claim) -> Result<Box<dyn Reader>> {
        let shared = self.shared.clone();
        let path = self.shared.path(url)?;
        let reader = blocking(move || read::FileReader::open(shared, path, range)).await?;
        Ok(Box::new(reader))
    }

    async fn size(&self, url: &str) -> Result<u64> {
        let shared = self.shared.clone();
        let path = self.shared.path(url)?;
        blocking(move || {
            let metadata = std::fs::metadata(&path);
            Ok(metadata.map_err(|e| shared.outcome(&path, e))?.len())
        })
        .await
    }

    async fn delete(&self, url: &str) -> Result<()> {
        let shared = self.shared.clone();
        let path = self.shared.path(url)?;
        blocking(move || write::remove(&path).map_err(|e| shared.outcome(&path, e))).await
    }

    async fn discard(&self, intent: &Intent) -> Result<()> {
        let shared = self.shared.clone();
        let intent = intent.clone();
        blocking(move || write::discard(&shared, &intent)).await
    }

    fn object(&self, url: &str) -> Option<String> {
        let path = self.shared.path(url).ok()?;
        Some(format!("file://{}", text(&path)))
    }

    async fn list(&self, found: mpsc::Sender<Entry>) -> Result<()> {
        let shared = self.shared.clone();
        blocking(move || list::list(&shared, &found)).await
    }

    async fn stat(&self, entry: &Entry) -> Result<Stat> {
        let shared = self.shared.clone();
        let entry = entry.clone();
        blocking(move || list::stat(&shared, &entry)).await
    }

    async fn check(&self) -> Vec<Finding> {
        let shared = self.shared.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let findings = shared.dirs.iter().flat_map(Dir::check);
            findings.collect()
        });
        checked
            .await
            .expect("looking at a directory does not panic")
    }
}

impl Shared {
    /// Where an object of that size goes: of the directories with enough room and the highest
    /// priority, the one with the most room. One directory alone is not asked.
    fn choose(&self, size_bytes: u64) -> Result<&Dir> {
        if let [only] = self.dirs.as_slice() {
            return Ok(only);
        }
        let mut best: Option<(u64, &Dir)> = None;
        for dir in &self.dirs {
            if best.is_some_and(|(_, best)| best.priority > dir.priority) {
                break;
            }
            let free = dir.free_bytes().map_err(|e| self.outcome(&dir.path, e))?;
            if free >= size_bytes && free > best.map_or(0, |(free, _)| free) {
                best = Some((free, dir));
            }
        }
        let (_, dir) = best.ok_or_else(|| Error::Full(self.id.clone()))?;
        Ok(dir)
    }

    /// The directory and the names of an intent, if it is one that this store could have made.
    fn place(&self, intent: &Intent) -> Result<(&Dir, Names)> {
        for dir in &self.dirs {
            let names = dir.names(&intent.image, intent.attempt)?;
            if Path::new(&intent.object) == names.draft {
                return Ok((dir, names));
            }
        }
        Err(Error::BadAddress(intent.object.clone()))
    }

    /// The file that an address names. It lies directly in one of the directories: an address is
    /// no way to other files of the machine.
    fn path(&self, url: &str) -> Result<PathBuf> {
        let bad = || Error::BadAddress(url.to_owned());
        let path = SCHEMES
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or_else(bad)?;
        let (parent, name) = path.trim().rsplit_once('/').ok_or_else(bad)?;
        let dir = self.dirs.iter().find(|dir| dir.path == Path::new(parent));
        let dir = dir.filter(|_| is_file_name(name)).ok_or_else(bad)?;
        Ok(dir.path.join(name))
    }

    /// What an error of the kernel means to an attempt. One whose file is gone was ended; where the directory of all of
    /// them is gone too, it is the filesystem that is not there.
    fn outcome_of_draft(&self, draft: &Path, error: std::io::Error) -> Error {
        let folder = draft.parent().unwrap_or(draft);
        if error.kind() == ErrorKind::NotFound && !folder.is_dir() {
            warn!(store.id = %self.id, path = %folder.display(), "A directory of a store is gone");
            return Error::Unavailable(self.id.clone());
        }
        self.outcome(draft, error)
    }

    /// What an error of the kernel means to the caller.
    fn outcome(&self, path: &Path, error: std::io::Error) -> Error {
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::FBIG | Errno::DQUOT) => Error::Full(self.id.clone()),
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Error::Denied(self.id.clone()),
            Some(Errno::EXIST) => Error::AlreadyExists(text(path)),
            Some(Errno::NOENT) => Error::NotFound(text(path)),
            _ => Error::Backend {
                store: self.id.clone(),
                source: error,
            },
        }
    }
}

impl Dir {
    /// Fails with [`Error::BadAddress`] when the id could not be the name of a file here: nothing
    /// outside the directory is touched, whatever an image is called.
    fn names(&self, image: &ImageId, attempt: Attempt) -> Result<Names> {
        let id = image.as_str();
        if !is_file_name(id) {
            return Err(Error::BadAddress(id.to_owned()));
        }
        Ok(Names {
            draft: self.path.join(ATTEMPTS_DIR).join(format!("{id}.{attempt}")),
            published: self.path.join(id),
        })
    }

    /// A look at it, for the operator. Blocks.
    fn check(&self) -> Vec<Finding> {
        let path = self.path.display();
        let probed = ability::probe(&self.path.join(ATTEMPTS_DIR));
        let (can, free) = match probed.and_then(|can| Ok((can, self.free_bytes()?))) {
            Ok(found) => found,
            Err(error) => return vec![Finding::wrong(format!("cannot write in {path}: {error}"))],
        };
        let free = free / (1024 * MIB as u64);
        let mut findings = vec![Finding::good(format!(
            "{path} is writable, {free} GiB are free"
        ))];
        findings.extend(
            can.lacks()
                .map(|what| Finding::doubtful(format!("{path}: {what}"))),
        );
        findings
    }

    /// Bytes that an unprivileged user may still write.
    fn free_bytes(&self) -> std::io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Paths of the store are text: [`open_dir`] has seen to it.
fn text(path: &Path) -> String {
    path.to_str().expect("a path of the store is text").into()
}

fn open_dir(datadir: &Datadir, file_perm: Option<u32>) -> std::io::Result<Dir> {
    let path = std::path::absolute(&datadir.path)?;
    // As it stands in addresses: without `.`, doubled slashes or a slash at its end.
    let path: PathBuf = path.components().collect();
    if path.to_str().is_none() {
        return Err(std::io::Error::new(
            ErrorKind::InvalidInput,
            "the path is not UTF-8",
        ));
    }
    let attempts = path.join(ATTEMPTS_DIR);
    std::fs::create_dir_all(&attempts)?;
    if let Some(perm) = file_perm {
        let_through(&path, perm)?;
    }
    Ok(Dir {
        can: ability::probe(&attempts)?,
        path,
        priority: datadir.priority,
    })
}

/// Lets those into the directory who may use its files: `x` for group and others, as Glance does.
fn let_through(path: &Path, file_perm: u32) -> std::io::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    let mut wanted = mode;
    for (class, enter) in [(0o070, 0o010), (0o007, 0o001)] {
        if file_perm & class != 0 {
            wanted |= enter;
        }
    }
    if wanted == mode {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(wanted))
}

/// Runs what may wait for a disk on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("file operations do not panic, and are not cancelled")
}

#[cfg(test)]
mod tests;
