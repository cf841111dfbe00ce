//! The log's file, which others may rename while it is written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use parking_lot::RwLock;

use super::Error;

/// A file that lines are appended to, each in one write.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: RwLock<File>,
}

impl LogFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        match append(&path) {
            Ok(file) => Ok(Self {
                path,
                file: RwLock::new(file),
            }),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    /// Goes on in the file that has the name now; in the old one after an error.
    pub(super) fn reopen(&self) -> io::Result<()> {
        let file = append(&self.path)?;
        *self.file.write() = file;
        Ok(())
    }

    /// Whether the name means another file, or none.
    pub(super) fn has_moved(&self) -> bool {
        let place = |found: &fs::Metadata| (found.dev(), found.ino());
        let ours = self.file.read().metadata();
        let named = fs::metadata(&self.path);
        match (ours, named) {
            (Ok(ours), Ok(named)) => place(&ours) != place(&named),
            (Ok(_), Err(error)) => error.kind() == io::ErrorKind::NotFound,
            (Err(_), _) => false,
        }
    }
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        (&*self.file.read()).write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_in_the_file_that_has_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let log = LogFile::open(path.clone()).unwrap();
        (&log).write_all(b"one\n").unwrap();
        assert!(!log.has_moved());
        fs::rename(&path, &old).unwrap();
        (&log).write_all(b"two\n").unwrap();
        assert!(log.has_moved());
        log.reopen().unwrap();
        (&log).write_all(b"three\n").unwrap();
        assert!(!log.has_moved());
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(log.reopen().is_err());
        (&log)
            .write_all(b"lost with its name, not stuck\n")
            .unwrap();
    }
}
