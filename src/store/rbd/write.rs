//! Writing an attempt and publishing it.
//!
//! Whole objects go out, several at once, straight from the pool's chunks. Nothing is copied: the
//! chunks belong to the operation until librbd has let go of their memory.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use fresnel_ceph::{FEATURE_JOURNALING, Image, Outcome, Pool};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use metrics::counter;
use tokio::{task::JoinHandle, time::timeout};
use tracing::warn;

use super::{
    Error, Failure, Result, SNAPSHOT, Shared, address,
    connection::PING_EVERY,
    delete::{self, CLEAN_UP_PATIENCE},
    draft::{self, Draft, Names},
    growth::Growth,
};
use crate::{
    buf::{AtRest, Chunk, is_zero},
    store::{Published, Writer, window::Place},
};

/// Writes one image.
pub(super) struct RbdWriter {
    attempt: Writing,
    /// Of the object that `end` lies in, what is not on its way yet.
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
    /// Bytes accepted.
    end: u64,
    object_bytes: u64,
}

/// An attempt on its way.
struct Writing {
    shared: Arc<Shared>,
    draft: Arc<Draft>,
    extent: Extent,
    /// Each with when it began.
    in_flight: FuturesUnordered<BoxFuture<'static, (Instant, fresnel_ceph::Result<()>)>>,
    /// When the connection is known to have been alive.
    alive_at: Instant,
    /// A write was lost: nothing may be published.
    damaged: bool,
}

/// How large the image is.
struct Extent {
    size: u64,
    growth: Growth,
    /// The size was declared: nothing is done before it turns out to be too small.
    declared: bool,
    growing: Option<JoinHandle<Result<u64, Failure>>>,
}

/// An object in flight. The library drops it when it needs its memory no more.
struct Gathered {
    pieces: Vec<Bytes>,
    _place: Place,
}

impl AsRef<[Bytes]> for Gathered {
    fn as_ref(&self) -> &[Bytes] {
        &self.pieces
    }
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
        Ok(Self {
            object_bytes: shared.config.object_bytes(),
            attempt: Writing {
                shared,
                draft,
                extent,
                in_flight: FuturesUnordered::new(),
                alive_at: Instant::now(),
                damaged: false,
            },
            gathered: Vec::new(),
            gathered_bytes: 0,
            end: 0,
        })
    }

    /// Sends off what is gathered.
    async fn send(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let (attempt, bytes) = (&mut self.attempt, self.gathered_bytes);
        let place = attempt.place(self.end, self.gathered.len(), bytes).await?;
        // Looked up after the last wait: an image that is closed meanwhile gets no more writes.
        let image = attempt.draft.image()?;
        let gathered = Gathered {
            pieces: std::mem::take(&mut self.gathered),
            _place: place,
        };
        self.gathered_bytes = 0;
        let (began, write) = (Instant::now(), image.write_at(self.end - bytes, gathered));
        let write = write.map(move |written| (began, written)).boxed();
        attempt.in_flight.push(write);
        Ok(())
    }
}

#[async_trait]
impl Writer for RbdWriter {
    async fn write(&mut self, chunk: Chunk<AtRest>) -> Result<()> {
        let mut bytes = chunk.into_bytes();
        while !bytes.is_empty() {
            let room = self.object_bytes - self.end % self.object_bytes;
            let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            let piece = bytes.split_to(len);
            if self.attempt.shared.config.thin_provisioning && is_zero(&piece) {
                self.send().await?;
                self.end += len as u64;
                continue;
            }
            self.gathered.push(piece);
            self.gathered_bytes += len as u64;
            self.end += len as u64;
            if self.end.is_multiple_of(self.object_bytes) {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn spill(&mut self) -> Result<()> {
        self.send().await
    }

    async fn commit(mut self: Box<Self>) -> Result<Published> {
        let sent = self.send().await;
        let (attempt, size) = (self.attempt, self.end);
        // On a task of its own: whoever discards the attempt waits for its end at the gate.
        let publishing = tokio::spawn(attempt.finish(sent, size));
        publishing.await.expect("publishing does not panic")
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Writing { shared, draft, .. } = self.attempt;
        let removing = tokio::spawn(async move {
            let _gate = draft.gate.lock().await;
            remove(&shared, &draft).await
        });
        removing.await.expect("removing does not panic")
    }
}

async fn create(shared: Arc<Shared>, draft: Arc<Draft>, size_bytes: Option<u64>) -> Result<Extent> {
    let _gate = draft.gate.lock().await;
    let (names, config) = (draft.names.clone(), shared.config.clone());
    let create = move |pool: &Pool| {
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
        created = link.call(link.patience, create).await;
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
        Err(failure) => match shared.outcome(&draft.names.draft, failure) {
            Error::NotFound(_) => shared.backend_error("there is no pool for the data"),
            other => other,
        },
    };
    shared.drafts.leave(&draft.names);
    Err(failed)
}

impl Writing {
    /// Room for a write that ends at `end`, in the image and in the window.
    async fn place(&mut self, end: u64, chunks: usize, bytes: u64) -> Result<Place> {
        while let Some(Some((began, written))) = self.in_flight.next().now_or_never() {
            self.settled(began, written).await?;
        }
        if self.alive_at.elapsed() > PING_EVERY {
            self.ping().await?;
        }
        self.reach(end).await?;
        let pool = self.draft.image()?.pool().clone();
        let window = &self.shared.connections.window;
        let place = window.enter(chunks, bytes, self.in_flight.is_empty());
        let place = self.shared.write.wait(&pool, place.map(Ok)).await;
        place.map_err(|failure| self.failed(failure))
    }

    /// A write that begins when the process has been shut out may never end: after a pause, look
    /// first.
    async fn ping(&mut self) -> Result<()> {
        let (asked_at, image) = (Instant::now(), self.draft.image()?);
        let answered = self.shared.write.ping(image.pool()).await;
        answered.map_err(|failure| self.failed(failure))?;
        self.alive_at = asked_at;
        Ok(())
    }

    /// Waits for all writes.
    async fn settle(&mut self) -> Result<()> {
        let pool = self.draft.image()?.pool().clone();
        while !self.in_flight.is_empty() {
            let next = self.in_flight.next().map(Ok);
            let next = self.shared.write.wait(&pool, next).await;
            if let Some((began, written)) = next.map_err(|failure| self.failed(failure))? {
                self.settled(began, written).await?;
            }
        }
        Ok(())
    }

    /// Takes note of what came of a write.
    async fn settled(&mut self, began: Instant, written: fresnel_ceph::Result<()>) -> Result<()> {
        let Err(error) = written else {
            self.alive_at = self.alive_at.max(began);
            return Ok(());
        };
        self.damaged = true;
        if let Ok(image) = self.draft.image() {
            self.shared.write.heard(image.pool(), &error).await;
        }
        Err(self.failed(Failure::Failed(error)))
    }

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
    async fn finish(mut self, sent: Result<()>, size: u64) -> Result<Published> {
        let draft = self.draft.clone();
        let _gate = draft.gate.lock().await;
        let published = match sent {
            Ok(()) => self.publish(size).await,
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
    async fn publish(&mut self, size: u64) -> Result<Published> {
        self.settle().await?;
        self.grown().await?;
        if self.damaged {
            return Err(Error::Corrupt(self.draft.names.draft.clone()));
        }
        self.ping().await?;
        let image = self.draft.image()?;
        let flushed = self.shared.write.wait(image.pool(), image.flush()).await;
        flushed.map_err(|failure| self.failed(failure))?;
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

    /// A writer that has been shut out has been fenced: to it, what it wrote is gone.
    fn failed(&self, failure: Failure) -> Error {
        let Names {
            draft, published, ..
        } = &self.draft.names;
        if let Failure::Failed(error) = &failure
            && error.outcome() == Some(Outcome::Blocklisted)
        {
            return Error::NotFound(draft.clone());
        }
        match self.shared.outcome(draft, failure) {
            Error::AlreadyExists(_) => Error::AlreadyExists(published.clone()),
            other => other,
        }
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
pub(super) async fn close(draft: &Draft, patience: Duration) {
    if let Some(closed) = draft.close()
        && timeout(patience, closed).await.is_err()
    {
        warn!(
            image = draft.names.draft,
            "Writes that nobody answers hold an image open"
        );
    }
}
