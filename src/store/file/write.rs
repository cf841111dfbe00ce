//! Writing an object, publishing it, and undoing that.

use std::{
    collections::VecDeque,
    fs::{File, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::{
    fs::{CWD, FallocateFlags, RenameFlags, fallocate, renameat_with},
    io::Errno,
};
use tracing::warn;

use super::{
    Error, Intent, Names, Result, Shared,
    ability::{self, Abilities},
    blocking,
    io::Pending,
    mark, text,
};
use crate::{
    buf::{AtRest, Chunk, is_zero},
    model::Attempt,
    store::{Published, Writer},
};

/// Direct writes in flight for one object: enough to keep a disk busy with 1 MiB each.
const DIRECT_WRITES_MAX: usize = 8;

/// Buffered writes in flight for one object: they copy, one after the other, under the file's
/// lock; the second is there for the first to hand over to.
const BUFFERED_WRITES_MAX: usize = 2;

/// What direct writes must be a multiple of, in memory and in the file.
const DIRECT_ALIGN_BYTES: usize = 4096;

/// Writes one file.
#[derive(Debug)]
pub(super) struct FileWriter {
    shared: Arc<Shared>,
    names: Names,
    attempt: Attempt,
    can: Abilities,
    file: Arc<File>,
    /// The same file past the page cache, where the filesystem can that.
    direct: Option<Arc<File>>,
    /// Oldest first.
    pending: VecDeque<Pending>,
    /// A write was lost: nothing may be published.
    damaged: bool,
    len: u64,
}

impl FileWriter {
    /// Makes the attempt's file and reserves its room. Blocks.
    pub(super) fn open(
        shared: Arc<Shared>,
        intent: &Intent,
        size_bytes: Option<u64>,
    ) -> Result<Self> {
        let (dir, names) = shared.place(intent)?;
        let can = dir.can;
        if std::fs::symlink_metadata(&names.published).is_ok() {
            return Err(Error::AlreadyExists(text(&names.published)));
        }
        let file = File::create_new(&names.draft);
        let file = file.map_err(|error| shared.outcome_of_draft(&names.draft, error))?;
        let reserved = match size_bytes {
            Some(len) if len > 0 && !shared.thin_provisioning => reserve(&file, len),
            _ => Ok(()),
        };
        let prepared = reserved.and_then(|()| {
            can.direct
                .then(|| ability::open_direct(&names.draft))
                .transpose()
        });
        let direct = prepared.map_err(|error| {
            forget(&names.draft);
            shared.outcome(&names.draft, error)
        })?;
        Ok(Self {
            names,
            attempt: intent.attempt,
            can,
            file: Arc::new(file),
            direct: direct.map(Arc::new),
            pending: VecDeque::new(),
            damaged: false,
            len: 0,
            shared,
        })
    }

    /// Waits until fewer than `limit` writes are in flight. Safe to be cancelled: a result is
    /// taken out of the queue only when it is known.
    async fn settle(&mut self, limit: usize) -> Result<()> {
        while self.pending.len() >= limit.max(1) {
            let oldest = self.pending.front_mut().expect("not empty");
            let result = oldest.await;
            self.pending.pop_front();
            result.map_err(|error| {
                self.damaged = true;
                self.shared.outcome(&self.names.draft, error)
            })?;
        }
        Ok(())
    }
}

#[async_trait]
impl Writer for FileWriter {
    async fn write(&mut self, chunk: Chunk<AtRest>) -> Result<()> {
        let bytes = chunk.into_bytes();
        let (len, offset) = (bytes.len() as u64, self.len);
        if self.shared.thin_provisioning && is_zero(&bytes) {
            self.len += len;
            return Ok(());
        }
        let direct = self.direct.clone().filter(|_| is_aligned(&bytes, offset));
        let pending = match direct {
            Some(file) => {
                self.settle(DIRECT_WRITES_MAX).await?;
                self.shared.io.write_direct(file, bytes, offset).await
            }
            None => {
                self.settle(BUFFERED_WRITES_MAX).await?;
                let file = self.file.clone();
                self.shared.io.write_buffered(file, bytes, offset)
            }
        };
        self.pending.push_back(pending);
        self.len += len;
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<Published> {
        let settled = self.settle(1).await;
        blocking(move || {
            let published = settled.and_then(|()| self.publish());
            if published.is_err() {
                forget(&self.names.draft);
            }
            published
        })
        .await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        blocking(move || match remove(&self.names.draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(self.shared.outcome(&self.names.draft, error))
            }
            _ => Ok(()),
        })
        .await
    }
}

impl FileWriter {
    /// Makes the file what it is to be, durably, and only then gives it its name, durably. Blocks.
    fn publish(&self) -> Result<Published> {
        let Names { draft, published } = &self.names;
        if self.damaged {
            return Err(Error::Corrupt(text(draft)));
        }
        let failed = |error| self.shared.outcome_of_draft(draft, error);
        // Cuts off what was reserved too much; adds what is a hole at the end.
        self.file.set_len(self.len).map_err(failed)?;
        // Before the mode, which may take the right to do so away.
        mark::set(&self.file, self.attempt, self.can).map_err(failed)?;
        if let Some(mode) = self.shared.file_perm {
            let done = self.file.set_permissions(Permissions::from_mode(mode));
            if let Err(error) = done {
                warn!(path = %draft.display(), %error, "Left the mode of an image's file as it was");
            }
        }
        self.file.sync_all().map_err(failed)?;
        self.rename()
            .map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::EXIST) => Error::AlreadyExists(text(published)),
                _ => self.shared.outcome_of_draft(draft, error),
            })?;
        let durable = sync_parent(published).and_then(|()| sync_parent(draft));
        if let Err(error) = durable {
            forget(published);
            return Err(self.shared.outcome(published, error));
        }
        Ok(Published {
            url: format!("file://{}", text(published)),
            size_bytes: self.len,
        })
    }

    /// Fails when the new name exists, and when the old one is gone: the attempt was discarded.
    fn rename(&self) -> io::Result<()> {
        let Names { draft, published } = &self.names;
        if self.can.noreplace {
            renameat_with(CWD, draft, CWD, published, RenameFlags::NOREPLACE)?;
            return Ok(());
        }
        std::fs::hard_link(draft, published)?;
        std::fs::remove_file(draft)
    }
}

/// Removes whatever is left of an attempt. Blocks.
///
/// The draft goes first: from then on its writer has nothing to rename. What it renamed before
/// lies under the image's name, and is removed if it bears the attempt's mark: a file that another
/// attempt, Glance or an operator put there does not.
pub(super) fn discard(shared: &Shared, intent: &Intent) -> Result<()> {
    let (dir, names) = shared.place(intent)?;
    remove_if_there(&names.draft).map_err(|e| shared.outcome(&names.draft, e))?;
    if mark::is_of(&names.published, intent.attempt, dir.can) {
        remove_if_there(&names.published).map_err(|e| shared.outcome(&names.published, e))?;
    }
    Ok(())
}

/// Removes a file, durably.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)?;
    sync_parent(path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match remove(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes a file of ours when something else has failed already: if this fails too, `discard`
/// finds it.
fn forget(path: &Path) {
    if let Err(error) = remove_if_there(path) {
        warn!(path = %path.display(), %error, "Left a file of a failed upload behind");
    }
}

/// Reserves room, so that a disk too small is known before the first byte, and the file is in few
/// pieces. A filesystem that cannot reserve is none the worse.
fn reserve(file: &File, len: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        result => Ok(result?),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().expect("a file is in a directory");
    File::open(parent)?.sync_all()
}

fn is_aligned(bytes: &Bytes, offset: u64) -> bool {
    let (start, len) = (bytes.as_ptr() as usize, bytes.len());
    (start | len | offset as usize).is_multiple_of(DIRECT_ALIGN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{ImageId, StoreId},
        store::{
            Store,
            file::{Config, FileIo, FileStore},
        },
    };

    /// An unmounted filesystem is no attempt that somebody else has ended.
    #[tokio::test]
    async fn a_directory_that_is_gone_is_no_lost_lease() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::in_dir(dir.path());
        let store = FileStore::open(StoreId::new("file"), config, FileIo::Threads).unwrap();
        let image = ImageId::random();
        let intent = store.intend(&image, Attempt::random(), None).await.unwrap();
        let mut writer = store.writer(&intent, None).await.unwrap();
        writer.write(Chunk::new(Bytes::from("some"))).await.unwrap();
        std::fs::remove_file(&intent.object).unwrap();
        let ended = writer.commit().await.unwrap_err();
        assert!(matches!(ended, Error::NotFound(_)), "{ended:?}");
        let begun = store.writer(&intent, None).await.unwrap();
        std::fs::remove_dir_all(Path::new(&intent.object).parent().unwrap()).unwrap();
        let committed = begun.commit().await.unwrap_err();
        assert!(matches!(committed, Error::Unavailable(_)), "{committed:?}");
        let opened = store.writer(&intent, None).await.err();
        assert!(matches!(opened, Some(Error::Unavailable(_))), "{opened:?}");
    }

    /// The disk takes nothing any more, which is heard of only after the write was accepted.
    #[tokio::test]
    async fn a_lost_write_is_never_published() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::in_dir(dir.path());
        let store = FileStore::open(StoreId::new("file"), config, FileIo::Threads).unwrap();
        let image = ImageId::random();
        let intent = store.intend(&image, Attempt::random(), None);
        let intent = intent.await.unwrap();
        let mut writer = FileWriter::open(store.shared.clone(), &intent, None).unwrap();
        let sound = std::mem::replace(
            &mut writer.file,
            Arc::new(File::open(&intent.object).unwrap()),
        );
        let chunk = |text: &'static str| Chunk::new(Bytes::from(text));
        writer.write(chunk("lost")).await.unwrap();
        writer.write(chunk("lost")).await.unwrap();
        writer.write(chunk("late")).await.unwrap_err();
        writer.pending.clear();
        writer.file = sound;
        writer.write(chunk("well")).await.unwrap();
        let error = Box::new(writer).commit().await.unwrap_err();
        assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
        assert!(!dir.path().join(image.as_str()).exists());
        assert!(!Path::new(&intent.object).exists());
    }
}
