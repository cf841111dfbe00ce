//! Which files hold the policy, and whether they have changed.

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    Error,
    file::{FILE_LIMIT_BYTES, FileRule, parse_file},
};

/// Where the files are looked for, as oslo.config looks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// `policy_file`: none is read without it.
    pub file: String,
    /// `policy_dirs`: each file in them comes after `file`, in the order of names.
    pub dirs: Vec<String>,
    /// The directories that relative names are looked for in; the first that has one counts.
    pub search: Vec<PathBuf>,
}

/// What tells that a file has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(Vec<(PathBuf, Option<SystemTime>, u64)>);

/// The rules of each file.
pub(super) type Files = Vec<(Arc<PathBuf>, Vec<FileRule>)>;

impl Source {
    /// The policy file, if it is there.
    pub fn main(&self) -> Option<PathBuf> {
        find(&self.search, &self.file).filter(|path| !path.is_dir())
    }

    /// All files that are there now, in the order in which they are read.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files: Vec<_> = self.main().into_iter().collect();
        for dir in self.dirs.iter().filter_map(|dir| find(&self.search, dir)) {
            let mut inside = Vec::new();
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                let hidden = entry.file_name().to_string_lossy().starts_with('.');
                if !hidden && entry.path().is_file() {
                    inside.push(entry.path());
                }
            }
            inside.sort();
            files.append(&mut inside);
        }
        Ok(files)
    }

    /// As the files are now; one that is gone meanwhile is no longer of them.
    pub(super) fn stamp(&self) -> io::Result<Stamp> {
        let mut stamp = Stamp::default();
        for path in self.files()? {
            if let Ok(metadata) = fs::metadata(&path) {
                let modified = metadata.modified().ok();
                stamp.0.push((path, modified, metadata.len()));
            }
        }
        Ok(stamp)
    }

    /// Reads them all.
    pub(super) fn read(&self) -> Result<Files, Error> {
        let files = self
            .files()
            .map_err(|error| Error::of(None, format!("policy_dirs: {error}")))?;
        files.into_iter().map(read).collect()
    }
}

fn read(path: PathBuf) -> Result<(Arc<PathBuf>, Vec<FileRule>), Error> {
    let path = Arc::new(path);
    let failed = |line: Option<usize>, message: String| Error {
        path: Some(path.clone()),
        line,
        message,
    };
    let text = read_text(&path).map_err(|error| failed(None, error.to_string()))?;
    match parse_file(&text) {
        Ok(rules) => Ok((path, rules)),
        Err(error) => Err(failed(Some(error.line), error.message)),
    }
}

/// A file of at most [`FILE_LIMIT_BYTES`].
pub(in crate::control) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = fs::File::open(path)?.take(FILE_LIMIT_BYTES + 1);
    file.read_to_string(&mut text)?;
    match text.len() as u64 > FILE_LIMIT_BYTES {
        true => Err(io::Error::other(format!(
            "more than {FILE_LIMIT_BYTES} bytes"
        ))),
        false => Ok(text),
    }
}

/// The first directory's that has it. An absolute name is found wherever one looks.
pub fn find(search: &[PathBuf], name: &str) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    let mut paths = search.iter().map(|dir| dir.join(name));
    paths
        .find(|path| path.exists())
        .or_else(|| Some(PathBuf::from(name)).filter(|path| path.is_absolute() && path.exists()))
}
