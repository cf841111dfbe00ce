//! The end of serving, told once to every listener and connection.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

/// A pair: who ends the service, and what [`serve`](super::serve) watches. Clone the second for
/// each listener.
pub fn drain() -> (Shutdown, Drain) {
    let (sender, receiver) = watch::channel(None);
    (Shutdown(sender), Drain(receiver))
}

/// Begins the drain. Dropping it begins one without patience.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<Option<Instant>>);

impl Shutdown {
    /// No new connections and no new requests from now on; what is under way may take `patience`.
    pub fn begin(&self, patience: Duration) {
        self.0.send_replace(Some(Instant::now() + patience));
    }
}

/// Hears of the end.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Option<Instant>>);

impl Drain {
    /// Waits for the begin, and says when what is still under way is cut.
    pub(super) async fn begun(&mut self) -> Instant {
        match self.0.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(),
        }
    }
}
