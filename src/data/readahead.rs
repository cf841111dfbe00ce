//! An object that is in a store already: read ahead in parallel, given in order.
//!
//! It is read in windows, each by a reader of its own. The first unread window waits for its
//! buffers like any download; those after it are read ahead only while buffers are free and nobody
//! waits for them, so that background work never holds up a transfer.

use std::{collections::VecDeque, fs::File, io, os::unix::fs::FileExt, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::{JoinSet, spawn_blocking},
};

use super::{Error, Plane, ReadPlan, Result, StoreError, egress};
use crate::{
    base::limits::MIB,
    buf::{Admission, Buffer, Chunk, Plain},
    model::{ByteRange, StoreId},
    store::Piece,
};

/// Bytes of a window: long enough that opening its reader costs nothing beside it.
pub(super) const WINDOW_BYTES: u64 = 64 * MIB as u64;
/// Windows that are being read at once.
const WINDOWS_MAX: usize = 3;
/// How long the window whose turn it is waits for its buffers, where the operator gives it no longer:
/// what has come so far would be lost, and a store that answers no more gives its buffers back by then.
const TURN_WAIT: Duration = Duration::from_secs(300);
/// Chunks that a window holds ready, beside those that its reader has in hand.
const READY_CHUNKS: usize = 1;

type Sent = Result<Chunk<Plain>>;

/// The windows that are being read, in order. Dropping it ends them.
pub(super) struct Readers {
    plane: Plane,
    plan: ReadPlan,
    window_bytes: u64,
    /// The byte after the last window that was begun.
    begun_to: u64,
    open: VecDeque<Window>,
    tasks: JoinSet<()>,
}

struct Window {
    range: ByteRange,
    /// Bytes that it has not given yet.
    left_bytes: u64,
    /// Begun before its turn, and only if there were buffers.
    is_ahead: bool,
    /// It has given something, so it has its buffers.
    is_reading: bool,
    chunks: Receiver<Sent>,
}

impl Readers {
    pub(super) fn new(plane: Plane, plan: ReadPlan, window_bytes: u64) -> Self {
        Self {
            plane,
            window_bytes,
            begun_to: plan.range.offset,
            plan,
            open: VecDeque::new(),
            tasks: JoinSet::new(),
        }
    }

    /// The next chunk of the image.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk<Plain>>> {
        loop {
            self.begin_more();
            let Some(first) = self.open.front_mut() else {
                return Ok(None);
            };
            match first.chunks.recv().await {
                Some(Ok(chunk)) => {
                    first.is_reading = true;
                    first.left_bytes = first.left_bytes.saturating_sub(chunk.len() as u64);
                    return Ok(Some(chunk));
                }
                // Its task has panicked.
                None if first.left_bytes > 0 => {
                    let image = &self.plan.image;
                    let told = format!("image {image} was not read to its end");
                    return Err(StoreError::Corrupt(told).into());
                }
                None => {
                    self.open.pop_front();
                }
                // There were no buffers ahead of its turn, which now has come. Those behind it may have
                // all that there are.
                Some(Err(Error::Busy)) if first.is_ahead => {
                    let range = first.range;
                    self.open.clear();
                    self.begun_to = range.end();
                    let window = self.begin(range, false);
                    self.open.push_back(window);
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Nothing is begun ahead of one that may still wait for its buffers: it could take them.
    fn begin_more(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let end = self.plan.range.end();
        while self.open.len() < WINDOWS_MAX
            && self.begun_to < end
            && self.open.front().is_none_or(|first| first.is_reading)
        {
            let range = ByteRange {
                offset: self.begun_to,
                len: self.window_bytes.min(end - self.begun_to),
            };
            self.begun_to = range.end();
            let is_ahead = !self.open.is_empty();
            let window = self.begin(range, is_ahead);
            self.open.push_back(window);
        }
    }

    fn begin(&mut self, range: ByteRange, is_ahead: bool) -> Window {
        let mut plane = self.plane.clone();
        plane.settings.admission_wait = match is_ahead {
            true => Duration::ZERO,
            false => plane.settings.admission_wait.max(TURN_WAIT),
        };
        let mut plan = self.plan.clone();
        plan.range = range;
        let (sender, chunks) = mpsc::channel(READY_CHUNKS);
        self.tasks.spawn(async move {
            if let Err(error) = read(&plane, &plan, &sender).await {
                // Nobody hears it when the digests are not wanted any more.
                drop(sender.send(Err(error)).await);
            }
        });
        Window {
            left_bytes: range.len,
            range,
            is_ahead,
            is_reading: false,
            chunks,
        }
    }
}

/// Sends the chunks of one window for as long as somebody takes them.
async fn read(plane: &Plane, plan: &ReadPlan, sender: &Sender<Sent>) -> Result<()> {
    let mut egress = egress::open(plane, plan).await?.for_reading();
    let mut memory = None;
    while let Some(piece) = egress.next().await? {
        let (file, mut rest) = match piece {
            Piece::Bytes(chunk) => {
                let chunk = Chunk::new(chunk.into_bytes());
                if sender.send(Ok(chunk)).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            Piece::File { file, offset, len } => (file, ByteRange { offset, len }),
        };
        if memory.is_none() {
            memory = Some(admit(plane, egress.store()).await?);
        }
        let memory = memory.as_ref().expect("just filled");
        while rest.len > 0 {
            let read = from_file(file.clone(), rest, memory.buffer().await).await;
            let chunk = read.map_err(|source| StoreError::Backend {
                store: egress.store().clone(),
                source,
            })?;
            rest.offset += chunk.len() as u64;
            rest.len -= chunk.len() as u64;
            if sender.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

pub(super) async fn admit(plane: &Plane, store: &StoreId) -> Result<Admission> {
    let claim = plane.pool.claim(store, plane.settings.admission_wait);
    claim.admit().await.map_err(|_| Error::Busy)
}

/// One buffer of what is left of a file's piece.
pub(super) async fn from_file(
    file: Arc<File>,
    rest: ByteRange,
    mut buffer: Buffer,
) -> io::Result<Chunk<Plain>> {
    let reading = spawn_blocking(move || {
        let spare = buffer.spare_mut();
        let len = spare
            .len()
            .min(usize::try_from(rest.len).unwrap_or(usize::MAX));
        file.read_exact_at(&mut spare[..len], rest.offset)?;
        buffer.advance(len);
        Ok(buffer.freeze())
    });
    reading.await.expect("reading does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rehash::tests::plane;

    /// The task of a window ends without a word, as one does that panics.
    #[tokio::test]
    async fn a_window_that_breaks_off_is_no_end() {
        let (plane, plan) = plane(1000).await;
        let mut readers = Readers::new(plane, plan, 600);
        readers.begin_more();
        readers.tasks.abort_all();
        let broken = readers.next().await;
        assert!(matches!(broken, Err(Error::Store(StoreError::Corrupt(_)))));
    }
}
