//! Bytes on their way to an image.
//!
//! Whole objects go out, several at once, straight from the pool's chunks. Nothing is copied: the
//! chunks belong to the operation until librbd has let go of their memory.

use std::{sync::Arc, time::Instant};

use bytes::{Buf, Bytes};
use fresnel_ceph::{Image, Pool};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};

use super::connection::{Failure, Link, PING_EVERY};
use crate::{
    buf::is_zero,
    store::window::{Place, Window},
};

/// What is written to one image, in order.
pub(super) struct Flow {
    link: Arc<Link>,
    window: Arc<Window>,
    object_bytes: u64,
    /// Zeroes are not written.
    thin: bool,
    /// Of the object that `end` lies in, what is not on its way yet.
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
    /// Bytes accepted.
    end: u64,
    /// Each with when it began.
    in_flight: FuturesUnordered<BoxFuture<'static, (Instant, fresnel_ceph::Result<()>)>>,
    /// When the connection is known to have been alive.
    alive_at: Instant,
    /// A write was lost: nothing may be published.
    damaged: bool,
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

impl Flow {
    pub(super) fn new(link: Arc<Link>, window: Arc<Window>, object_bytes: u64, thin: bool) -> Self {
        Self {
            link,
            window,
            object_bytes,
            thin,
            gathered: Vec::new(),
            gathered_bytes: 0,
            end: 0,
            in_flight: FuturesUnordered::new(),
            alive_at: Instant::now(),
            damaged: false,
        }
    }

    /// Bytes accepted.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether something waits to be sent off.
    pub(super) fn holds(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// Takes in from `bytes`, and says whether what is gathered must be sent off before it can take more.
    pub(super) fn gather(&mut self, bytes: &mut Bytes) -> bool {
        while !bytes.is_empty() {
            let room = self.object_bytes - self.end % self.object_bytes;
            let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            if self.thin && is_zero(&bytes[..len]) {
                if self.holds() {
                    return true;
                }
                bytes.advance(len);
                self.end += len as u64;
                continue;
            }
            self.gathered.push(bytes.split_to(len));
            self.gathered_bytes += len as u64;
            self.end += len as u64;
            if self.end.is_multiple_of(self.object_bytes) {
                return true;
            }
        }
        false
    }

    /// Takes note of writes that are done, and after a pause of whether there is still a connection.
    pub(super) async fn look(&mut self, pool: &Pool) -> Result<(), Failure> {
        while let Some(Some((began, written))) = self.in_flight.next().now_or_never() {
            self.settled(pool, began, written).await?;
        }
        if self.alive_at.elapsed() > PING_EVERY {
            self.ping(pool).await?;
        }
        Ok(())
    }

    /// Room in the window for what is gathered.
    pub(super) async fn place(&mut self, pool: &Pool) -> Result<Place, Failure> {
        let idle = self.in_flight.is_empty();
        let place = self
            .window
            .enter(self.gathered.len(), self.gathered_bytes, idle);
        self.link.wait(pool, place.map(Ok)).await
    }

    /// Sends off what is gathered. The image reaches to [`Flow::end`].
    pub(super) fn send(&mut self, image: &Image, place: Place) {
        let gathered = Gathered {
            pieces: std::mem::take(&mut self.gathered),
            _place: place,
        };
        let bytes = std::mem::take(&mut self.gathered_bytes);
        let (began, write) = (Instant::now(), image.write_at(self.end - bytes, gathered));
        let write = write.map(move |written| (began, written)).boxed();
        self.in_flight.push(write);
    }

    /// A write that begins when the process has been shut out may never end: after a pause, look
    /// first.
    async fn ping(&mut self, pool: &Pool) -> Result<(), Failure> {
        let asked_at = Instant::now();
        self.link.ping(pool).await?;
        self.alive_at = asked_at;
        Ok(())
    }

    /// Waits for all writes and makes them durable. False when one was lost.
    pub(super) async fn finish(&mut self, image: &Image) -> Result<bool, Failure> {
        self.settle(image.pool()).await?;
        if self.damaged {
            return Ok(false);
        }
        self.ping(image.pool()).await?;
        self.link.wait(image.pool(), image.flush()).await?;
        Ok(true)
    }

    async fn settle(&mut self, pool: &Pool) -> Result<(), Failure> {
        while !self.in_flight.is_empty() {
            let next = self.in_flight.next().map(Ok);
            let next = self.link.wait(pool, next).await?;
            if let Some((began, written)) = next {
                self.settled(pool, began, written).await?;
            }
        }
        Ok(())
    }

    /// Takes note of what came of a write.
    async fn settled(
        &mut self,
        pool: &Pool,
        began: Instant,
        written: fresnel_ceph::Result<()>,
    ) -> Result<(), Failure> {
        let Err(error) = written else {
            self.alive_at = self.alive_at.max(began);
            return Ok(());
        };
        self.damaged = true;
        self.link.heard(pool, &error).await;
        Err(Failure::Failed(error))
    }
}
