//! The two files of an entry: its bytes, sparse, and what is known of them ([`meta`]).
//!
//! Chunks are written without a sync, and sent from the page cache. Before the metadata says that a
//! chunk is there, the data is synced: so a power cut can lose chunks, and never makes one of bytes
//! that were not written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::Mutex;
use rustix::{fs::FallocateFlags, io::Errno};
use uuid::Uuid;

use super::{
    Key, chunk_range,
    key::KEY_DIGITS,
    meta::{self, Meta, Record, Seal},
};
use crate::model::ByteRange;

/// What is cached is what users may not all read.
const MODE: u32 = 0o600;
/// Digits of a file's name that are its own, beside those of its key.
const OWN_DIGITS: usize = 8;
const DATA: &str = "data";
const META: &str = "meta";

/// The open files of an entry. They stay readable when they are removed.
#[derive(Debug)]
pub(super) struct Files {
    dir: Arc<Folder>,
    name: String,
    data: Arc<File>,
    log: Mutex<Log>,
}

/// The directory of all entries.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    #[cfg(test)]
    pub(super) trace: Option<trace::Trace>,
}

#[derive(Debug)]
struct Log {
    file: File,
    seal: Seal,
    len: u64,
    /// Whether the directory knows the files for sure.
    is_listed: bool,
}

/// Why an entry that is on disk is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("its metadata cannot be used: {0}")]
    Meta(#[from] meta::Unusable),
    #[error("its metadata is longer than the records of such an image")]
    Long,
    #[error("its data is not as long as the image")]
    Size,
    #[error("its metadata is another entry's")]
    Name,
}

impl Unusable {
    /// Whether the entry is at fault, and not this process or what it may do.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::Io(error) => {
                let is_damaged = error.raw_os_error() == Some(Errno::IO.raw_os_error());
                is_damaged || error.kind() == io::ErrorKind::NotFound
            }
            Self::Meta(_) | Self::Long | Self::Size | Self::Name => true,
        }
    }
}

impl Files {
    /// Files for a new entry. No two have the same name, so that one which is being removed is in
    /// nobody's way.
    pub(super) fn create(dir: &Arc<Folder>, key: &Key, size_bytes: u64) -> io::Result<Self> {
        let own = Uuid::new_v4().simple().to_string();
        let name = format!("{}-{}", key.file_name(), &own[..OWN_DIGITS]);
        Self::create_named(dir, &name, key, size_bytes).inspect_err(|_| {
            // What stays all the same is removed at the next start.
            drop(dir.remove(&name));
        })
    }

    fn create_named(dir: &Arc<Folder>, name: &str, key: &Key, size_bytes: u64) -> io::Result<Self> {
        let data = dir.open(name, DATA, true)?;
        data.set_len(size_bytes)?;
        read_on(&data);
        let file = dir.open(name, META, true)?;
        let (header, seal) = meta::header(key, size_bytes);
        let files = Self {
            data: Arc::new(data),
            log: Mutex::new(Log {
                file,
                seal,
                len: 0,
                is_listed: false,
            }),
            dir: dir.clone(),
            name: name.to_owned(),
        };
        dir.note(|| trace::Op::Create(files.name.clone(), size_bytes));
        files.write_log(&mut files.log.lock(), &header)?;
        Ok(files)
    }

    /// The files of an entry that was made earlier. What its metadata does not know is no part of
    /// it, and takes no room.
    pub(super) fn open(dir: &Arc<Folder>, name: &str) -> Result<(Self, Meta), Unusable> {
        let data = dir.open(name, DATA, false)?;
        let mut file = dir.open(name, META, false)?;
        let meta = read(&mut file, data.metadata()?.len(), name)?;
        file.set_len(meta.valid_bytes as u64)?;
        free_unknown(&data, &meta);
        read_on(&data);
        let files = Self {
            dir: dir.clone(),
            name: name.to_owned(),
            data: Arc::new(data),
            log: Mutex::new(Log {
                file,
                seal: meta.seal,
                len: meta.valid_bytes as u64,
                is_listed: true,
            }),
        };
        Ok((files, meta))
    }

    /// The bytes.
    pub(super) fn data(&self) -> &Arc<File> {
        &self.data
    }

    /// Writes bytes of the image, which follow each other.
    pub(super) fn write(&self, bytes: &[&[u8]], offset: u64) -> io::Result<()> {
        self.dir
            .note(|| trace::Op::Data(self.name.clone(), offset, bytes.concat()));
        let mut slices: Vec<IoSlice<'_>> = bytes.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let (mut slices, mut at) = (&mut slices[..], offset);
        while !slices.is_empty() {
            match rustix::io::pwritev(&*self.data, slices, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut slices, written);
                    at += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Syncs what was written, and then says so. What fails is not said.
    pub(super) fn record(&self, records: &[Record]) -> io::Result<()> {
        self.data.sync_data()?;
        self.dir.note(|| trace::Op::SyncData(self.name.clone()));
        let mut log = self.log.lock();
        let mut bytes = Vec::with_capacity(records.len() * meta::RECORD_BYTES);
        for record in records {
            let place = log.len + bytes.len() as u64;
            bytes.extend(log.seal.close(*record, place));
        }
        self.write_log(&mut log, &bytes)?;
        log.file.sync_data()?;
        self.dir.note(|| trace::Op::SyncMeta(self.name.clone()));
        if !log.is_listed {
            File::open(&self.dir.path)?.sync_all()?;
            log.is_listed = true;
        }
        Ok(())
    }

    /// What fails leaves a torn end, which the next write is written over.
    fn write_log(&self, log: &mut Log, bytes: &[u8]) -> io::Result<()> {
        self.dir
            .note(|| trace::Op::Meta(self.name.clone(), log.len, bytes.to_vec()));
        log.file.write_all_at(bytes, log.len)?;
        log.len += bytes.len() as u64;
        Ok(())
    }

    /// Removes the names; who has the files open reads on.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.dir.remove(&self.name)
    }
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            #[cfg(test)]
            trace: None,
        }
    }

    /// The names of the entries there, the longest untouched first; data without metadata is removed.
    pub(super) fn names(&self) -> io::Result<Vec<(SystemTime, String)>> {
        let mut names = Vec::new();
        for found in fs::read_dir(&self.path)? {
            let file = found?.file_name();
            match file.to_str().and_then(split) {
                Some((name, META)) => names.push((self.modified(name)?, name.to_owned())),
                Some((name, _)) if !self.path(name, META).exists() => self.remove(name)?,
                _ => {}
            }
        }
        names.sort();
        Ok(names)
    }

    /// What the entries say of themselves, and when they last grew. Changes nothing; what comes or goes
    /// meanwhile may be told or not.
    pub(super) fn look(&self) -> io::Result<Vec<(SystemTime, Meta)>> {
        let mut found = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let file = file?.file_name();
            let Some((name, META)) = file.to_str().and_then(split) else {
                continue;
            };
            let look = || {
                let mut file = File::open(self.path(name, META))?;
                let data_bytes = fs::metadata(self.path(name, DATA))?.len();
                Ok::<_, Unusable>((self.modified(name)?, read(&mut file, data_bytes, name)?))
            };
            match look() {
                Ok(entry) => found.push(entry),
                Err(error) => tracing::warn!(name, %error, "An entry of the cache cannot be used"),
            }
        }
        Ok(found)
    }

    /// The metadata goes first: data alone is nothing.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.note(|| trace::Op::Remove(name.to_owned()));
        for kind in [META, DATA] {
            match fs::remove_file(self.path(name, kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// When an entry's metadata was last written.
    pub(super) fn modified(&self, name: &str) -> io::Result<SystemTime> {
        fs::metadata(self.path(name, META))?.modified()
    }

    fn open(&self, name: &str, kind: &str, is_new: bool) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(is_new)
            .mode(MODE)
            .open(self.path(name, kind))
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.path.join(format!("{name}.{kind}"))
    }

    /// Tests replay what was written.
    #[cfg(test)]
    fn note(&self, op: impl FnOnce() -> trace::Op) {
        if let Some(trace) = &self.trace {
            trace.lock().push(op());
        }
    }

    #[cfg(not(test))]
    fn note(&self, _op: impl FnOnce() -> trace::Op) {}
}

/// What the metadata says of data of that length.
fn read(file: &mut File, data_bytes: u64, name: &str) -> Result<Meta, Unusable> {
    if file.metadata()?.len() > meta::bytes_max(data_bytes.min(meta::SIZE_BYTES_MAX)) {
        return Err(Unusable::Long);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let meta = meta::parse(&bytes)?;
    if meta.size_bytes != data_bytes {
        return Err(Unusable::Size);
    }
    if !name.starts_with(&meta.key.file_name()) {
        return Err(Unusable::Name);
    }
    Ok(meta)
}

/// The name and the kind of a file of ours.
fn split(file: &str) -> Option<(&str, &str)> {
    let (name, kind) = file.split_once('.')?;
    let (key, own) = name.split_once('-')?;
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_name = key.len() == KEY_DIGITS && own.len() == OWN_DIGITS && is_hex(key) && is_hex(own);
    (is_name && [DATA, META].contains(&kind)).then_some((name, kind))
}

/// Chunks are read from end to end: in large folios, which `sendfile` likes too.
fn read_on(data: &File) {
    // A hint, which not every filesystem takes.
    let _ = rustix::fs::fadvise(data, 0, None, rustix::fs::Advice::Sequential);
}

/// Gives the room of chunks that count as absent back. Where that is not possible they keep it.
fn free_unknown(data: &File, meta: &Meta) {
    let mut free_from = 0;
    let there = meta.ready.keys();
    let there = there.map(|chunk| chunk_range(*chunk, meta.size_bytes));
    let end = ByteRange {
        offset: meta.size_bytes,
        len: 0,
    };
    for range in there.chain([end]) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let len = range.offset - free_from;
        if len > 0 && rustix::fs::fallocate(data, flags, free_from, len).is_err() {
            return;
        }
        free_from = range.end();
    }
}

/// Bytes that are free on the filesystem of a directory.
pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What was done to the files, in order.
#[cfg_attr(not(test), expect(dead_code, reason = "only tests keep it"))]
pub(super) mod trace {
    use std::sync::Arc;

    use parking_lot::Mutex;

    pub(in crate::cache) type Trace = Arc<Mutex<Vec<Op>>>;

    /// Each with the entry's name.
    #[derive(Clone, Debug)]
    pub(in crate::cache) enum Op {
        Create(String, u64),
        Data(String, u64, Vec<u8>),
        Meta(String, u64, Vec<u8>),
        SyncData(String),
        SyncMeta(String),
        Remove(String),
    }
}
