//! A directory of images, as `glance-replicator dump` writes it: what is said of an image in a file of
//! its id, its data in one with `.img` after that.

use std::{
    fs, io,
    path::{Path, PathBuf},
    pin::pin,
};

use anyhow::Context;
use bytes::BytesMut;
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::transit::Piece;
use crate::base::limits::MIB;

/// The directory.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// One that is there.
    pub(super) fn open(path: PathBuf) -> Self {
        Self { path }
    }

    /// One that is made if it is not.
    pub(super) fn make(path: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    /// The images that are in it.
    pub(super) fn ids(&self) -> anyhow::Result<Vec<String>> {
        let failed = || format!("cannot read {}", self.path.display());
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.path).with_context(failed)? {
            let name = entry.with_context(failed)?.file_name();
            let name = name.to_string_lossy();
            if Uuid::try_parse(&name).is_ok() {
                ids.push(name.into_owned());
            }
        }
        ids.sort_unstable_by(|one, other| other.cmp(one));
        Ok(ids)
    }

    /// What is said of an image.
    pub(super) fn read(&self, id: &str) -> anyhow::Result<Value> {
        let path = self.path.join(id);
        let read = || anyhow::Ok(serde_json::from_str(&fs::read_to_string(&path)?)?);
        read().with_context(|| path.display().to_string())
    }

    /// Whether an image is there, with its data.
    pub(super) fn has(&self, image: &Value, meta_only: bool) -> bool {
        let id = super::id_of(image);
        let needs_data = !meta_only && image["status"] == "active";
        self.path.join(id).exists() && (!needs_data || self.data(id).exists())
    }

    /// The data of an image.
    pub(super) async fn bytes(&self, id: &str) -> anyhow::Result<BoxStream<'static, Piece>> {
        let path = self.data(id);
        let file = tokio::fs::File::open(&path).await;
        let file = file.with_context(|| path.display().to_string())?;
        Ok(Box::pin(stream::try_unfold(file, |mut file| async move {
            let mut buffer = BytesMut::with_capacity(MIB);
            let read = file.read_buf(&mut buffer).await?;
            io::Result::Ok((read > 0).then(|| (buffer.freeze(), file)))
        })))
    }

    /// Writes the data of an image, whole or not at all.
    pub(super) async fn write_bytes(
        &self,
        id: &str,
        bytes: impl Stream<Item = Piece>,
    ) -> anyhow::Result<()> {
        let (path, part) = (self.data(id), self.path.join(format!("{id}.img.part")));
        let written = self.write_part(&part, bytes).await;
        if written.is_err() {
            // The next dump writes it anew.
            drop(fs::remove_file(&part));
        }
        written?;
        fs::rename(&part, &path).with_context(|| path.display().to_string())
    }

    async fn write_part(
        &self,
        path: &Path,
        bytes: impl Stream<Item = Piece>,
    ) -> anyhow::Result<()> {
        let place = || path.display().to_string();
        let mut file = tokio::fs::File::create(path).await.with_context(place)?;
        let mut bytes = pin!(bytes);
        while let Some(piece) = bytes.next().await {
            let piece = piece.context("the data did not come whole")?;
            file.write_all(&piece).await.with_context(place)?;
        }
        file.flush().await.with_context(place)?;
        file.sync_all().await.with_context(place)
    }

    /// Writes what is said of an image.
    pub(super) fn write(&self, id: &str, image: &Value) -> anyhow::Result<()> {
        let (path, part) = (self.path.join(id), self.path.join(format!("{id}.part")));
        let written = fs::write(&part, format!("{image:#}\n"));
        let renamed = written.and_then(|()| fs::rename(&part, &path));
        renamed.with_context(|| path.display().to_string())
    }

    fn data(&self, id: &str) -> PathBuf {
        self.path.join(format!("{id}.img"))
    }
}
