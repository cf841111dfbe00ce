//! Writing an attempt and publishing it.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::warn;

use super::{
    ATTEMPT_KEY, Error, GIB, Result, SIZE_KEY, Shared, address, attach::Attachment, delete,
};
use crate::{
    buf::{AtRest, Chunk},
    client::cinder::{self, Metadata, Mode, NewVolume},
    store::{
        Intent, Published, Writer,
        rbd::{CLEAN_UP_PATIENCE, Draft, Names, VolumeWriter, close},
    },
};

/// A volume whose size nobody knows is doubled when it is full, but grows by no more than this: what is too much,
/// nobody can take away again.
const GROWTH_GIB_MAX: u64 = 64;

/// Writes one volume.
pub(super) struct CinderWriter {
    shared: Arc<Shared>,
    draft: Arc<Draft>,
    /// The volume's id.
    volume: String,
    metadata: Metadata,
    size_gib: u64,
    /// Bytes that there is room for.
    room: u64,
    attachment: Attachment,
    stream: VolumeWriter,
}

impl CinderWriter {
    /// Makes the attempt's volume, and attaches it.
    pub(super) async fn open(
        shared: Arc<Shared>,
        intent: &Intent,
        names: Names,
        size_bytes: Option<u64>,
    ) -> Result<Self> {
        let metadata = metadata(intent, size_bytes.unwrap_or(0));
        let draft = shared.drafts.enter(names)?;
        let opening = tokio::spawn(async move {
            let _gate = draft.gate.lock().await;
            let opened = make(&shared, &draft, metadata, size_bytes.unwrap_or(0)).await;
            if opened.is_err() {
                clean_up(&shared, &draft).await;
            }
            opened
        });
        opening.await.expect("opening does not panic")
    }

    /// Makes sure that there is room for all that was accepted.
    async fn reach(&mut self) -> Result<()> {
        if self.stream.end() <= self.room {
            return Ok(());
        }
        let draft = self.draft.clone();
        let _gate = draft.gate.lock().await;
        self.stream.close().await?;
        let attached = self.shared.config.extend_attached;
        if !attached {
            self.detach().await?;
        }
        self.extend(self.stream.end().div_ceil(GIB)).await?;
        if !attached {
            self.attachment = self.shared.attach(&self.volume, Mode::Write).await?;
        }
        self.room = self.stream.open().await?;
        match self.stream.end() <= self.room {
            true => Ok(()),
            false => Err(Error::Full(self.shared.id.clone())),
        }
    }

    /// To at least so many GiB.
    async fn extend(&mut self, least_gib: u64) -> Result<()> {
        let (shared, id) = (&self.shared, self.volume.as_str());
        let doubled = self.size_gib + self.size_gib.min(GROWTH_GIB_MAX);
        let mut asked = shared.cinder.extend(id, doubled.max(least_gib)).await;
        if matches!(asked, Err(cinder::Error::Full(_))) && doubled > least_gib {
            asked = shared.cinder.extend(id, least_gib).await;
        }
        asked.map_err(|error| self.failed(error))?;
        let volume = shared.settled(id, "extending").await?;
        if !["available", "in-use"].contains(&volume.status.as_str()) {
            let status = volume.status;
            warn!(store.id = %shared.id, volume = id, status, "Cinder could not extend a volume");
            return Err(Error::Full(shared.id.clone()));
        }
        self.size_gib = volume.size_gib;
        Ok(())
    }

    async fn detach(&mut self) -> Result<()> {
        let detached = self.shared.cinder.detach(&self.attachment.id).await;
        detached.map_err(|error| self.failed(error))
    }

    /// All that is left to do, or to undo.
    async fn finish(mut self: Box<Self>, sent: Result<()>) -> Result<Published> {
        let draft = self.draft.clone();
        let _gate = draft.gate.lock().await;
        let published = match sent {
            Ok(()) => self.publish().await,
            Err(error) => Err(error),
        };
        match &published {
            Ok(_) => self.shared.drafts.leave(&draft.names),
            Err(_) => clean_up(&self.shared, &draft).await,
        }
        published
    }

    /// Makes the volume what it is to be, and last gives it its name.
    async fn publish(&mut self) -> Result<Published> {
        self.stream.close().await?;
        self.detach().await?;
        let (shared, draft) = (self.shared.clone(), self.draft.clone());
        let names = &draft.names;
        let failed = |error| shared.outcome(&names.draft, error);
        let read_only = shared.cinder.set_read_only(&self.volume).await;
        read_only.map_err(failed)?;
        let size_bytes = self.stream.end();
        let mut metadata = self.metadata.clone();
        metadata.insert(SIZE_KEY.to_owned(), size_bytes.to_string());
        let _alone = shared.publishing.lock().await;
        refuse_published(&shared, names).await?;
        let described = shared
            .cinder
            .describe(&self.volume, &names.published, &metadata);
        described.await.map_err(failed)?;
        let store = shared.config.multistore.then_some(shared.id.as_str());
        Ok(Published {
            url: address::write(store, &self.volume),
            size_bytes,
        })
    }

    fn failed(&self, error: cinder::Error) -> Error {
        self.shared.outcome(&self.draft.names.draft, error)
    }
}

#[async_trait]
impl Writer for CinderWriter {
    async fn write(&mut self, chunk: Chunk<AtRest>) -> Result<()> {
        let mut bytes = chunk.into_bytes();
        while self.stream.gather(&mut bytes) {
            self.spill().await?;
        }
        Ok(())
    }

    async fn spill(&mut self) -> Result<()> {
        self.reach().await?;
        match self.stream.holds() {
            true => self.stream.send().await,
            false => Ok(()),
        }
    }

    async fn commit(mut self: Box<Self>) -> Result<Published> {
        let sent = self.spill().await;
        // On a task of its own: whoever discards the attempt waits for its end at the gate.
        let publishing = tokio::spawn(self.finish(sent));
        publishing.await.expect("publishing does not panic")
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { shared, draft, .. } = *self;
        let removing = tokio::spawn(async move {
            let _gate = draft.gate.lock().await;
            remove(&shared, &draft).await
        });
        removing.await.expect("removing does not panic")
    }
}

/// As Glance notes it, and the attempt.
fn metadata(intent: &Intent, size_bytes: u64) -> Metadata {
    let mut noted = vec![
        ("glance_image_id", intent.image.to_string()),
        (SIZE_KEY, size_bytes.to_string()),
        (ATTEMPT_KEY, intent.attempt.to_string()),
    ];
    noted.extend(
        intent
            .owner
            .as_ref()
            .map(|owner| ("image_owner", owner.to_string())),
    );
    let noted = noted.into_iter();
    noted.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The gate is held.
async fn make(
    shared: &Arc<Shared>,
    draft: &Arc<Draft>,
    metadata: Metadata,
    size_bytes: u64,
) -> Result<CinderWriter> {
    let names = &draft.names;
    refuse_published(shared, names).await?;
    let size_gib = size_bytes.div_ceil(GIB).max(1);
    let volume = NewVolume {
        name: &names.draft,
        size_gib,
        volume_type: shared.config.volume_type.as_deref(),
        metadata: &metadata,
    };
    let volume = match shared.cinder.create(&volume).await {
        Err(cinder::Error::NotFound) => {
            let kind = shared.config.volume_type.as_deref().unwrap_or_default();
            return Err(shared.backend_error(format!("Cinder has no volume type {kind:?}")));
        }
        made => {
            made.map_err(|error| shared.outcome(&names.draft, error))?
                .id
        }
    };
    let about = shared.settled(&volume, "creating").await?;
    if about.status != "available" {
        let status = about.status;
        return Err(shared.backend_error(format!(
            "a volume of {size_gib} GiB came to be {status:?}: look at Cinder's log"
        )));
    }
    let attachment = shared.attach(&volume, Mode::Write).await?;
    let mut stream = shared.volumes.writer(&attachment.volume, draft.clone());
    Ok(CinderWriter {
        room: stream.open().await?,
        shared: shared.clone(),
        draft: draft.clone(),
        volume,
        metadata,
        size_gib: about.size_gib,
        attachment,
        stream,
    })
}

/// Refuses where an image is published already by an attempt of ours at this store. What a Glance left under its name
/// is in nobody's way: it has an address of its own.
async fn refuse_published(shared: &Shared, names: &Names) -> Result<()> {
    let named = shared.cinder.named(&names.published).await;
    let named = named.map_err(|error| shared.outcome(&names.published, error))?;
    let kind = shared.config.volume_type.as_ref();
    let is_ours = |volume: &cinder::Volume| {
        volume.metadata.contains_key(ATTEMPT_KEY)
            && (kind.is_none() || volume.volume_type.as_ref() == kind)
    };
    match named.iter().any(is_ours) {
        true => Err(Error::AlreadyExists(names.published.clone())),
        false => Ok(()),
    }
}

/// Removes what a failed attempt leaves. The gate is held.
async fn clean_up(shared: &Arc<Shared>, draft: &Draft) {
    if let Err(error) = remove(shared, draft).await {
        warn!(volume = draft.names.draft, %error, "Left a volume of a failed upload behind");
    }
}

/// Closes the volume and removes it. The gate is held.
async fn remove(shared: &Arc<Shared>, draft: &Draft) -> Result<()> {
    close(draft, CLEAN_UP_PATIENCE).await;
    delete::remove_attempt(shared, &draft.names).await?;
    shared.drafts.leave(&draft.names);
    Ok(())
}
