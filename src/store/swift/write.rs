//! Writing an attempt's segments and publishing them.
//!
//! A segment is gathered from the pool's chunks and goes out as it is, several at once; when memory
//! is short it is as short as what there is, which a manifest does not mind. The chunks stay until
//! the segment is stored, so that it can be sent again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{task::JoinSet, time::sleep};
use tracing::warn;

use super::{
    Account, Error, Result, Shared, address,
    delete::{self, Segments},
    draft::{Draft, Names, SEGMENTS_MAX},
};
use crate::{
    base::limits::MIB,
    buf::{AtRest, Chunk},
    client::swift::{self, Content},
    store::{Published, Writer},
};

/// Segments of one upload on their way.
const IN_FLIGHT_MAX: usize = 3;
/// How often it is looked whether all segments are listed: a listing may be late.
const LISTINGS_MAX: u32 = 6;
/// After the first look; doubled after each.
const LISTING_PAUSE: Duration = Duration::from_millis(100);

/// Writes one object.
pub(super) struct SwiftWriter {
    shared: Arc<Shared>,
    names: Names,
    draft: Arc<Draft>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    /// A segment that is not the last has so many, however short memory is.
    least_bytes: usize,
    /// Segments that were sent.
    segments: u32,
    len: u64,
    in_flight: JoinSet<Result<()>>,
    /// A segment was lost: nothing may be published.
    damaged: bool,
}

impl SwiftWriter {
    /// Enters the attempt, and sees to the container.
    pub(super) async fn open(
        shared: Arc<Shared>,
        names: Names,
        least_bytes: usize,
    ) -> Result<Self> {
        let draft = shared.drafts.enter(&names)?;
        if let Err(error) = prepare(&shared, &names).await {
            shared.drafts.leave(&names);
            return Err(error);
        }
        Ok(Self {
            shared,
            names,
            draft,
            gathered: Vec::new(),
            gathered_bytes: 0,
            least_bytes,
            segments: 0,
            len: 0,
            in_flight: JoinSet::new(),
            damaged: false,
        })
    }

    /// Sends off what is gathered.
    async fn send(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.settle(IN_FLIGHT_MAX - 1).await?;
        if self.segments == SEGMENTS_MAX {
            return Err(Error::Full(self.shared.id.clone()));
        }
        self.segments += 1;
        let name = self.names.segment(self.segments);
        let content = Content::Pieces(std::mem::take(&mut self.gathered));
        self.gathered_bytes = 0;
        let (shared, names) = (self.shared.clone(), self.names.clone());
        let draft = self.draft.clone();
        self.in_flight.spawn(async move {
            let _right = draft.enter(&names).await?;
            let put = shared.account().put(&names.container, &name, &content);
            put.await.map_err(|error| shared.outcome(&name, error))
        });
        Ok(())
    }

    /// Waits until at most `limit` segments are on their way.
    async fn settle(&mut self, limit: usize) -> Result<()> {
        while self.in_flight.len() > limit {
            let done = self.in_flight.join_next().await;
            if let Some(done) = done
                && let Err(error) = done.expect("a segment's task does not panic")
            {
                self.damaged = true;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes the manifest, which publishes, once all segments are there.
    async fn publish(&mut self) -> Result<Published> {
        self.send().await?;
        self.settle(0).await?;
        if self.damaged {
            return Err(Error::Corrupt(self.names.segments()));
        }
        let (shared, names) = (&self.shared, &self.names);
        let _right = self.draft.enter(names).await?;
        if self.segments == 0 {
            // No bytes are a segment too: a manifest without any is what a fence has left.
            let empty = Content::Pieces(Vec::new());
            account_put(shared, names, &names.segment(1), &empty).await?;
            self.segments = 1;
        }
        self.all_listed().await?;
        refuse_taken(shared, names).await?;
        let manifest = Content::Manifest(names.segments());
        account_put(shared, names, &names.object, &manifest).await?;
        // Whoever fenced this attempt meanwhile has taken the segments away, and may not have seen
        // the manifest.
        self.all_listed().await?;
        let reference = &shared.config.default.name;
        Ok(Published {
            url: address::write(reference, &names.container, &names.object),
            size_bytes: self.len,
        })
    }

    /// Waits until the container lists what was written: a manifest is what its container lists.
    async fn all_listed(&self) -> Result<()> {
        let mut pause = LISTING_PAUSE;
        for look in 1.. {
            let found = Segments::find(&self.shared, self.shared.account(), &self.names).await?;
            if (found.names.len(), found.size_bytes) == (self.segments as usize, self.len) {
                return Ok(());
            }
            if found.names.is_empty() || look == LISTINGS_MAX {
                break;
            }
            sleep(pause).await;
            pause *= 2;
        }
        Err(Error::NotFound(self.names.segments()))
    }

    /// No segment of this writer is on its way any more.
    async fn stop(&mut self) {
        self.in_flight.shutdown().await;
    }
}

#[async_trait]
impl Writer for SwiftWriter {
    async fn write(&mut self, chunk: Chunk<AtRest>) -> Result<()> {
        let bytes = chunk.into_bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        self.len += bytes.len() as u64;
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        match self.gathered_bytes >= self.shared.config.segment_bytes {
            true => self.send().await,
            false => Ok(()),
        }
    }

    async fn spill(&mut self) -> Result<()> {
        match self.gathered_bytes >= self.least_bytes {
            true => self.send().await,
            false => Ok(()),
        }
    }

    async fn commit(mut self: Box<Self>) -> Result<Published> {
        // On a task of its own: a caller that goes away must not leave half of it.
        let publishing = tokio::spawn(async move {
            let published = self.publish().await;
            if published.is_err() {
                self.stop().await;
                if let Err(error) = delete::discard(&self.shared, &self.names).await {
                    warn!(object = self.names.segments(), %error, "Left segments of a failed upload behind");
                }
            }
            self.shared.drafts.leave(&self.names);
            published
        });
        publishing.await.expect("publishing does not panic")
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let removing = tokio::spawn(async move {
            self.stop().await;
            delete::discard(&self.shared, &self.names).await
        });
        removing.await.expect("removing does not panic")
    }
}

/// What each segment of an object of that size must have, so that they are not too many; 0 where a buffer is enough.
pub(super) fn least_bytes(size_bytes: u64, segment_bytes: usize) -> usize {
    let least = size_bytes.div_ceil(u64::from(SEGMENTS_MAX));
    match usize::try_from(least.next_multiple_of(MIB as u64)) {
        Ok(least) if least <= MIB => 0,
        least => least.unwrap_or(usize::MAX).min(segment_bytes),
    }
}

async fn account_put(shared: &Shared, names: &Names, name: &str, content: &Content) -> Result<()> {
    let put = shared.account().put(&names.container, name, content);
    put.await.map_err(|error| shared.outcome(name, error))
}

/// What must be before the first byte: a container, and no object of the image.
async fn prepare(shared: &Arc<Shared>, names: &Names) -> Result<()> {
    let account: &Account = shared.account();
    let failed = |error: swift::Error| shared.outcome(&names.container, error);
    let there = account.has_container(&names.container).await;
    if !there.map_err(failed)? {
        if !shared.config.create_container {
            return Err(shared.backend_error(format!(
                "there is no container {}, and swift_store_create_container_on_put is not set",
                names.container
            )));
        }
        let created = account.create_container(&names.container).await;
        created.map_err(failed)?;
    }
    refuse_taken(shared, names).await
}

/// Refuses where the image has an object. A manifest of ours without a segment is none: its writer
/// was fenced in the moment in which it published.
async fn refuse_taken(shared: &Shared, names: &Names) -> Result<()> {
    let head = shared.account().head(&names.container, &names.object).await;
    let head = match head {
        Err(swift::Error::NotFound) => return Ok(()),
        head => head.map_err(|error| shared.outcome(&names.object, error))?,
    };
    let ours = format!("{}/{}.", names.container, names.object);
    let dangling = match head.manifest {
        Some(manifest) if manifest.starts_with(&ours) && head.size_bytes == Some(0) => {
            let (_, prefix) = manifest.split_once('/').expect("it was looked at above");
            let found = shared.account().list(&names.container, prefix, "").await;
            found
                .map_err(|error| shared.outcome(&names.object, error))?
                .is_empty()
        }
        _ => false,
    };
    if !dangling {
        return Err(Error::AlreadyExists(names.object.clone()));
    }
    let removed = shared
        .account()
        .delete(&names.container, &names.object, false);
    match removed.await {
        Ok(()) | Err(swift::Error::NotFound) => Ok(()),
        Err(error) => Err(shared.outcome(&names.object, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_large_object_has_a_least_segment() {
        const GIB: u64 = 1024 * MIB as u64;
        let least = |size_bytes| least_bytes(size_bytes, 16 * MIB);
        assert_eq!([least(0), least(GIB), least(97 * GIB)], [0; 3]);
        assert_eq!(least(98 * GIB), 2 * MIB);
        assert_eq!(least(1000 * GIB), 11 * MIB);
        assert_eq!(least(10_000 * GIB), 16 * MIB);
    }
}
