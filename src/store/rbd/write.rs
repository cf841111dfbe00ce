//! Writing an attempt and publishing it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use fresnel_ceph::{FEATURE_JOURNALING, Image, Outcome, Pool};
use metrics::counter;
use tokio::{task::JoinHandle, time::timeout};
use tracing::warn;

use super::{
    Error, Failure, Result, SNAPSHOT, Shared, address,
    delete::{self, CLEAN_UP_PATIENCE},
    draft::{self, Draft, Names},
    flow::Flow,
    growth::Growth,
};
use crate::{
    buf::{AtRest, Chunk},
    store::{Published, Writer},
};

/// Writes one image.
pub(super) struct RbdWriter {
    shared: Arc<Shared>,
    draft: Arc<Draft>,
    extent: Extent,
    flow: Flow,
}

/// How large the image is.
struct Extent {
    size: u64,
    growth: Growth,
    /// The size was declared: nothing is done before it turns out to be too small.
    declared: bool,
    growing: Option<JoinHandle<Result<u64, Failure>>>,
}

impl RbdWriter {
    /// Makes the attempt's image.
    pub(super) async fn open(
        shared: Arc<Shared>,
        names: Names,
        size_bytes: Option<u64>,
    ) -> Result<Self> {
        let draft = shared.drafts.enter(names)?;
        let creating = tokio::spawn(create(shared.clone(), draft.clone(), size_bytes));
        let extent = creating.await.expect("creating does not panic")?;
        let flow = Flow::new(
            shared.write.clone(),
            shared.connections.window.clone(),
            shared.config.object_bytes(),
            shared.config.thin_provisioning,
        );
        Ok(Self {
            shared,
            draft,
            extent,
            flow,
        })
    }

    /// Sends off what is gathered.
    async fn send(&mut self) -> Result<()> {
        if !self.flow.holds() {
            return Ok(());
        }
        let pool = self.draft.image()?.pool().clone();
        let looked = self.flow.look(&pool).await;
        looked.map_err(|failure| self.failed(failure))?;
        self.reach(self.flow.end()).await?;
        let place = self.flow.place(&pool).await;
        let place = place.map_err(|failure| self.failed(failure))?;
        // Looked up after the last wait: an image that is closed meanwhile gets no more writes.
        self.flow.send(&self.draft.image()?, place);
        Ok(())
    }
}

#[async_trait]
impl Writer for RbdWriter {
    async fn write(&mut self, chunk: Chunk<AtRest>) -> Result<()> {
        let mut bytes = chunk.into_bytes();
        while self.flow.gather(&mut bytes) {
            self.send().await?;
        }
        Ok(())
    }

    async fn spill(&mut self) -> Result<()> {
        self.send().await
    }

    async fn commit(mut self: Box<Self>) -> Result<Published> {
        let sent = self.send().await;
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

async fn create(shared: Arc<Shared>, draft: Arc<Draft>, size_bytes: Option<u64>) -> Result<Extent> {
    // Held as long as the call lasts, also when nobody waits for it any more.
    let gate = Arc::new(draft.gate.clone().lock_owned().await);
    let (names, config) = (draft.names.clone(), shared.config.clone());
    let create = move |pool: &Pool| {
        let _gate = &gate;
        if pool.image_id(&names.published)?.is_some() {
            return Ok(None);
        }
        let image = draft::create(pool, &names, size_bytes, &config)?;
        let (size, features) = (image.size_bytes()?, image.features()?);
        Ok(Some((image, size, features)))
    };
    let link = &shared.write;
    let mut created = link.call(link.patience, create.clone()).await;
    if let Err(Failure::Failed(error)) = &created
        && error.outcome() == Some(Outcome::Blocklisted)
    {
        // By whoever took an earlier upload over. The next connection is not.
        created = link.call(link.patience, create.clone()).await;
    }
    let failed = match created {
        Ok(Some((image, size, features))) => {
            draft.set_image(image);
            return Ok(Extent {
                size,
                growth: draft::growth(features),
                declared: size_bytes.is_some(),
                growing: None,
            });
        }
        Ok(None) => Error::AlreadyExists(draft.names.published.clone()),
        // It may be made yet: whoever discards the attempt waits for that at the gate.
        Err(failure @ Failure::TooLong) => {
            return Err(shared.outcome(&draft.names.draft, failure));
        }
        Err(failure) => match shared.outcome(&draft.names.draft, failure) {
            Error::NotFound(_) => shared.backend_error("there is no pool for the data"),
            other => other,
        },
    };
    shared.drafts.leave(&draft.names);
    Err(failed)
}

impl RbdWriter {
    /// Makes sure that the image reaches to `end`, and that it goes on to be ahead of the writes.
    async fn reach(&mut self, end: u64) -> Result<()> {
        if self
            .extent
            .growing
            .as_ref()
            .is_some_and(JoinHandle::is_finished)
        {
            self.grown().await?;
        }
        while end > self.extent.size {
            self.grow(end)?;
            self.grown().await?;
        }
        let Extent {
            size,
            growth,
            declared,
            ..
        } = self.extent;
        if !declared && growth.is_due(end, size) {
            self.grow(end)?;
        }
        Ok(())
    }

    /// Begins to grow, unless it has begun.
    fn grow(&mut self, end: u64) -> Result<()> {
        if self.extent.growing.is_none() {
            // A declared size was wrong: from here on it is unknown.
            self.extent.declared = false;
            let size = self.extent.growth.next_bytes(end);
            let resize = resize(self.shared.clone(), self.draft.image()?, size);
            self.extent.growing = Some(tokio::spawn(resize));
        }
        Ok(())
    }

    /// Waits until it has grown. A caller that goes away leaves the task to the next.
    async fn grown(&mut self) -> Result<()> {
        if let Some(task) = &mut self.extent.growing {
            let grown = task.await.expect("a resize does not panic");
            self.extent.growing = None;
            self.extent.size = grown.map_err(|failure| self.failed(failure))?;
        }
        Ok(())
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
            Err(_) => {
                if let Err(error) = remove(&self.shared, &draft).await {
                    warn!(image = draft.names.draft, %error, "Left an image of a failed upload behind");
                }
            }
        }
        published
    }

    /// Makes the image what it is to be, and last gives it its name.
    async fn publish(&mut self) -> Result<Published> {
        let (size, image) = (self.flow.end(), self.draft.image()?);
        self.grown().await?;
        let finished = self.flow.finish(&image).await;
        if !finished.map_err(|failure| self.failed(failure))? {
            return Err(Error::Corrupt(self.draft.names.draft.clone()));
        }
        if self.extent.size != size {
            let trimmed = resize(self.shared.clone(), image.clone(), size).await;
            self.extent.size = trimmed.map_err(|failure| self.failed(failure))?;
        }
        let about = image.pool().cluster().fsid();
        let about = about.and_then(|fsid| Ok((fsid, image.features()?)));
        let (fsid, features) = about.map_err(|error| self.failed(Failure::Failed(error)))?;
        let protect = move |_: &Pool| {
            image.snap_create(SNAPSHOT)?;
            image.snap_protect(SNAPSHOT)
        };
        self.call(protect).await?;
        close(&self.draft, self.shared.write.patience).await;
        let Names {
            draft, published, ..
        } = self.draft.names.clone();
        let rename = move |pool: &Pool| {
            if features & FEATURE_JOURNALING != 0 {
                pool.rename_journaled(&draft, &published)
            } else {
                pool.rename(&draft, &published)
            }
        };
        self.call(rename).await?;
        let (pool, name) = (&self.shared.config.pool, &self.draft.names.published);
        Ok(Published {
            url: address::write(&fsid, pool, name, SNAPSHOT),
            size_bytes: size,
        })
    }

    async fn call<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Pool) -> fresnel_ceph::Result<T> + Send + 'static,
    ) -> Result<T> {
        let link = &self.shared.write;
        let done = link.call(link.patience, work).await;
        done.map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: Failure) -> Error {
        self.draft.names.outcome(&self.shared.write, failure)
    }
}

async fn resize(shared: Arc<Shared>, image: Image, size: u64) -> Result<u64, Failure> {
    counter!("fresnel_rbd_resizes_total", "store" => shared.id.to_string()).increment(1);
    let link = &shared.write;
    let resize = move |_: &Pool| image.resize(size);
    link.call(link.patience, resize).await?;
    Ok(size)
}

/// Closes the image and removes it. The gate is held.
async fn remove(shared: &Arc<Shared>, draft: &Draft) -> Result<()> {
    close(draft, CLEAN_UP_PATIENCE).await;
    delete::remove_attempt(shared, &draft.names).await?;
    shared.drafts.leave(&draft.names);
    Ok(())
}

/// Waits until the image is closed; while writes hang in a dead cluster that takes longer, and then
/// what follows fails.
pub(in crate::store) async fn close(draft: &Draft, patience: Duration) {
    if let Some(closed) = draft.close()
        && timeout(patience, closed).await.is_err()
    {
        warn!(
            image = draft.names.draft,
            "Writes that nobody answers hold an image open"
        );
    }
}
