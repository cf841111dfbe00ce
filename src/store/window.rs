//! A window: how much memory several writers have in flight together.
//!
//! It is smaller than the pool of buffers, so that one upload alone keeps a dozen objects in flight
//! and the next is still admitted. A writer that has nothing in flight always gets in: each of
//! many has an object on its way.

use std::sync::Arc;

use metrics::gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::limits::{CHUNK_BYTES, MIB};

/// Places for chunks in flight.
#[derive(Debug)]
pub(super) struct Window {
    places: Arc<Semaphore>,
    chunks: u32,
    gauge: &'static str,
}

/// The place of an object in flight: it is given back when nobody needs its memory any more.
#[derive(Debug)]
pub(super) struct Place {
    bytes: u64,
    gauge: &'static str,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Window {
    /// The gauge of that name counts the bytes in flight, also those that nobody waits for any more.
    pub(super) fn new(bytes: usize, gauge: &'static str) -> Self {
        let chunks = u32::try_from(bytes / CHUNK_BYTES)
            .unwrap_or(u32::MAX)
            .max(1);
        Self {
            places: Arc::new(Semaphore::new(chunks as usize)),
            chunks,
            gauge,
        }
    }

    /// A place for an object in so many chunks, in order of arrival; at once when the writer is
    /// `idle`, which is when it has nothing in flight.
    pub(super) async fn enter(&self, chunks: usize, bytes: u64, idle: bool) -> Place {
        let wanted = u32::try_from(chunks).unwrap_or(u32::MAX).min(self.chunks);
        let places = self.places.clone();
        let permit = if idle {
            places.try_acquire_many_owned(wanted).ok()
        } else {
            let permit = places.acquire_many_owned(wanted).await;
            Some(permit.expect("the window is never closed"))
        };
        gauge!(self.gauge).increment(bytes as f64);
        Place {
            bytes,
            gauge: self.gauge,
            _permit: permit,
        }
    }

    /// What librbd may have in flight before it makes its own threads wait: more than we ever give
    /// it.
    pub(super) fn limit_for_library(&self) -> u64 {
        u64::from(self.chunks) * 4 * MIB as u64
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        gauge!(self.gauge).decrement(self.bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_full_window_lets_in_whoever_has_nothing_in_flight() {
        let window = Window::new(16 * MIB, "test");
        let first = window.enter(8, 8, false).await;
        let _second = window.enter(8, 8, false).await;
        assert!(timeout(SHORT, window.enter(8, 8, false)).await.is_err());
        let _other = window.enter(8, 8, true).await;
        drop(first);
        let _third = window.enter(8, 8, false).await;
    }

    #[tokio::test]
    async fn an_object_larger_than_the_window_goes_alone() {
        let window = Window::new(4 * MIB, "test");
        let _place = window.enter(32, 32, false).await;
        assert!(timeout(SHORT, window.enter(1, 1, false)).await.is_err());
    }
}
