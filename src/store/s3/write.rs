//! Writing an attempt and publishing it.
//!
//! Parts go out several at once, straight from the pool's chunks. A part that the server fails is sent
//! again: its chunks are kept until the server has it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;
use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};
use tracing::warn;

use super::{
    Error, Result, Shared,
    delete::{in_time, remove_attempt},
    draft::{Draft, Trace},
    parts::PARTS_MAX,
};
use crate::{
    buf::{AtRest, Chunk},
    client::s3::{self, Part, PartTag},
    store::{Published, Writer},
};

/// Parts of one upload on their way: more gain nothing.
const IN_FLIGHT_MAX: usize = 6;
/// Between two tries at what is not simply repeated; doubled for each next one.
const PAUSE: Duration = Duration::from_millis(200);

/// Writes one object.
pub(super) struct S3Writer {
    attempt: Writing,
    upload: String,
    object: String,
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
    /// Send what is gathered when it is so much.
    part_bytes: u64,
    declared: Option<u64>,
    /// Parts sent off.
    parts: u32,
    /// Bytes accepted.
    end: u64,
}

/// An attempt on its way.
struct Writing {
    shared: Arc<Shared>,
    draft: Arc<Draft>,
    in_flight: JoinSet<Result<PartTag, s3::Error>>,
    done: Vec<PartTag>,
    /// A part was lost: nothing may be published.
    damaged: bool,
}

impl S3Writer {
    /// Begins the attempt's upload.
    pub(super) async fn open(
        shared: Arc<Shared>,
        draft: Arc<Draft>,
        size_bytes: Option<u64>,
    ) -> Result<Self> {
        let beginning = tokio::spawn(begin(shared.clone(), draft.clone()));
        let upload = beginning.await.expect("beginning does not panic")?;
        let trace = Trace::Upload(upload.clone());
        Ok(Self {
            object: trace.object(&shared.config.bucket, &draft.key),
            upload,
            part_bytes: shared.sizes.next_bytes(0, 0, size_bytes),
            attempt: Writing {
                shared,
                draft,
                in_flight: JoinSet::new(),
                done: Vec::new(),
                damaged: false,
            },
            gathered: Vec::new(),
            gathered_bytes: 0,
            declared: size_bytes,
            parts: 0,
            end: 0,
        })
    }

    /// Sends off what is gathered, also when that is nothing.
    async fn send(&mut self) -> Result<()> {
        let attempt = &mut self.attempt;
        if self.parts == PARTS_MAX {
            return Err(attempt.shared.too_large());
        }
        attempt.make_room().await?;
        let idle = attempt.in_flight.is_empty();
        let window = &attempt.shared.window;
        let place = window.enter(self.gathered.len(), self.gathered_bytes, idle);
        let place = place.await;
        // Looked at after the last wait: an attempt that was ended meanwhile sends no more.
        attempt.draft.upload()?;
        self.parts += 1;
        let part = Part::new(std::mem::take(&mut self.gathered));
        self.gathered_bytes = 0;
        self.part_bytes = attempt
            .shared
            .sizes
            .next_bytes(self.parts, self.end, self.declared);
        let (shared, draft) = (attempt.shared.clone(), attempt.draft.clone());
        let (upload, number) = (self.upload.clone(), self.parts);
        attempt.in_flight.spawn(async move {
            let _place = place;
            let put = shared.bucket.put(&draft.key, &upload, number, &part);
            put.await
        });
        Ok(())
    }
}

#[async_trait]
impl Writer for S3Writer {
    async fn write(&mut self, chunk: Chunk<AtRest>) -> Result<()> {
        let bytes = chunk.into_bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        self.gathered_bytes += bytes.len() as u64;
        self.end += bytes.len() as u64;
        self.gathered.push(bytes);
        if self.gathered_bytes >= self.part_bytes {
            self.send().await?;
        }
        Ok(())
    }

    async fn spill(&mut self) -> Result<()> {
        let sizes = &self.attempt.shared.sizes;
        let sent = self.end - self.gathered_bytes;
        match self.gathered_bytes >= sizes.needed_bytes(self.parts, sent, self.declared) {
            true => self.send().await,
            false => Ok(()),
        }
    }

    fn object(&self) -> Option<&str> {
        Some(&self.object)
    }

    async fn commit(mut self: Box<Self>) -> Result<Published> {
        // An object of no bytes has one part too.
        let sent = match self.gathered.is_empty() && self.parts > 0 {
            true => Ok(()),
            false => self.send().await,
        };
        let (attempt, size) = (self.attempt, self.end);
        // On a task of its own: whoever discards the attempt waits for its end at the gate.
        let publishing = tokio::spawn(attempt.finish(sent, size));
        publishing.await.expect("publishing does not panic")
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Writing {
            shared,
            draft,
            mut in_flight,
            ..
        } = self.attempt;
        let removing = tokio::spawn(async move {
            in_flight.shutdown().await;
            let _gate = draft.gate.lock().await;
            remove(&shared, &draft).await
        });
        removing.await.expect("removing does not panic")
    }
}

/// Begins an upload, and learns its name whatever happens to the answer.
async fn begin(shared: Arc<Shared>, draft: Arc<Draft>) -> Result<String> {
    let _gate = draft.gate.lock().await;
    let began = begin_or_find(&shared, &draft).await;
    match began {
        Ok(upload) => {
            draft.know(Trace::Upload(upload.clone()));
            Ok(upload)
        }
        // There may be one: whoever discards the attempt looks.
        Err(error @ Error::Unavailable(_)) => {
            if let Trace::Since(since, _) = draft.trace() {
                draft.know(Trace::Since(since, Some(shared.server_time(Utc::now()))));
            }
            Err(error)
        }
        Err(error) => {
            shared.drafts.leave(draft.attempt);
            Err(error)
        }
    }
}

async fn begin_or_find(shared: &Shared, draft: &Draft) -> Result<String> {
    let (key, bucket) = (draft.key.as_str(), &shared.bucket);
    if shared.head(key).await?.is_some() {
        return Err(Error::AlreadyExists(shared.url(key)));
    }
    let (began, mut pause, mut made) = (Instant::now(), PAUSE, false);
    loop {
        let error = match bucket.begin(key, &draft.attempt.to_string()).await {
            Ok(upload) => return Ok(upload),
            Err(s3::Error::NoBucket) if shared.config.create_bucket && !made => {
                let making = bucket.make().await;
                making.map_err(|error| shared.outcome(key, error))?;
                made = true;
                continue;
            }
            Err(error) => error,
        };
        if !matches!(error, s3::Error::Unavailable(_)) || began.elapsed() > shared.config.patience {
            return Err(shared.outcome(key, error));
        }
        sleep(pause).await;
        pause *= 2;
        // The answer may be all that was lost.
        if let Some(upload) = shared.traced(key, draft.trace()).await?.pop() {
            return Ok(upload);
        }
    }
}

impl Writing {
    /// Takes note of what is done, until there is room for another part.
    async fn make_room(&mut self) -> Result<()> {
        while let Some(done) = self.in_flight.try_join_next() {
            self.settled(done)?;
        }
        while self.in_flight.len() >= IN_FLIGHT_MAX {
            if let Some(done) = self.in_flight.join_next().await {
                self.settled(done)?;
            }
        }
        Ok(())
    }

    fn settled(&mut self, done: Result<Result<PartTag, s3::Error>, JoinError>) -> Result<()> {
        let done = done.expect("sending a part does not panic");
        let failed = |error| self.shared.outcome(&self.draft.key, error);
        match done.map_err(failed) {
            Ok(tag) => {
                self.done.push(tag);
                Ok(())
            }
            Err(error) => {
                self.damaged = true;
                Err(error)
            }
        }
    }

    /// All that is left to do, or to undo.
    async fn finish(mut self, sent: Result<()>, size: u64) -> Result<Published> {
        let draft = self.draft.clone();
        let _gate = draft.gate.lock().await;
        let published = match sent {
            Ok(()) => self.publish(size).await,
            Err(error) => Err(error),
        };
        self.in_flight.shutdown().await;
        match &published {
            Ok(_) => self.shared.drafts.leave(draft.attempt),
            Err(_) => {
                if let Err(error) = remove(&self.shared, &draft).await {
                    warn!(object = draft.key, %error, "Left a failed upload behind; the sweep will end it");
                }
            }
        }
        published
    }

    async fn publish(&mut self, size: u64) -> Result<Published> {
        while let Some(done) = self.in_flight.join_next().await {
            self.settled(done)?;
        }
        let (shared, draft) = (&self.shared, &self.draft);
        if self.damaged {
            return Err(Error::Corrupt(draft.key.clone()));
        }
        self.done.sort_unstable_by_key(|tag| tag.number);
        let upload = draft.upload()?;
        let _turn = shared.turn(&draft.key).await;
        let (began, mut pause) = (Instant::now(), PAUSE);
        loop {
            if let Some(published) = self.published(size).await? {
                return Ok(published);
            }
            let completed = shared.bucket.complete(&draft.key, &upload, &self.done);
            let error = match completed.await {
                Ok(()) => {
                    let published = self.published(size).await?;
                    return published.ok_or_else(|| Error::Corrupt(draft.key.clone()));
                }
                Err(error) => error,
            };
            match error {
                // Perhaps it was an earlier try's doing.
                s3::Error::Exists | s3::Error::NoUpload => {
                    let published = self.published(size).await?;
                    return published.ok_or_else(|| shared.outcome(&draft.key, error));
                }
                s3::Error::Unavailable(_) if began.elapsed() < shared.config.patience => {
                    sleep(pause).await;
                    pause *= 2;
                }
                error => return Err(shared.outcome(&draft.key, error)),
            }
        }
    }

    /// Whether the object is there and the attempt's; [`Error::AlreadyExists`] when it is another's.
    async fn published(&self, size: u64) -> Result<Option<Published>> {
        let Some(head) = self.shared.head(&self.draft.key).await? else {
            return Ok(None);
        };
        let url = self.shared.url(&self.draft.key);
        let attempt = self.draft.attempt.to_string();
        if head.mark.as_deref() != Some(attempt.as_str()) {
            return Err(Error::AlreadyExists(url));
        }
        if head.size_bytes != size {
            return Err(Error::Corrupt(url));
        }
        Ok(Some(Published {
            url,
            size_bytes: size,
        }))
    }
}

/// Ends the upload, and takes back what it published. The gate is held.
async fn remove(shared: &Shared, draft: &Draft) -> Result<()> {
    draft.close();
    let removing = remove_attempt(shared, &draft.key, draft.attempt, draft.trace());
    in_time(shared, removing).await?;
    shared.drafts.leave(draft.attempt);
    Ok(())
}
