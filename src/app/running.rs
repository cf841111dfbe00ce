//! What a process runs: its listeners, what goes on beside them, and their end.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::task::{JoinHandle, spawn_blocking};
use tracing::info;

use super::metrics;
use crate::{
    base::telemetry,
    cache::Cache,
    control::{Control, Leases},
    http::{self, Drain, Handler, Listener, Served, Shutdown, Tls},
};

/// A service or a node. Dropped without [`Running::drain`], its tasks end with the runtime.
pub(super) struct Running {
    shutdown: Shutdown,
    drain: Drain,
    served: Vec<JoinHandle<Served>>,
    background: Vec<JoinHandle<()>>,
    tls: Vec<Tls>,
    /// Of a service.
    pub(super) control: Option<Arc<Control>>,
    /// Where images are kept on this node's disk.
    pub(super) cache: Option<Cache>,
    /// Of a node: where it answers for its own cache. A socket that stays is known for nobody's.
    pub(super) socket: Option<PathBuf>,
}

impl Running {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        let (shutdown, drain) = http::drain();
        Self {
            shutdown,
            drain,
            served: Vec::new(),
            background: Vec::new(),
            tls: Vec::new(),
            control: None,
            cache: None,
            socket: None,
        }
    }

    /// Serves on that listener from now on.
    pub(super) fn serve(&mut self, listener: Listener, handler: Arc<dyn Handler>) {
        self.tls.extend(listener.tls());
        let served = http::serve(listener, handler, self.drain.clone());
        self.served.push(tokio::spawn(served));
    }

    /// Does this besides, until the end.
    pub(super) fn keep(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.background.push(tokio::spawn(work));
    }

    /// Counts, and shows what was counted, where an address for that is configured.
    pub(super) async fn serve_metrics(&mut self, at: Option<SocketAddr>) -> anyhow::Result<()> {
        let Some(address) = at else {
            return Ok(());
        };
        let counted = telemetry::start_metrics()?;
        let listener = Listener::bind(&metrics::listener(address)).await?;
        info!("Metrics on http://{}/metrics", listener.local_addr()?);
        self.keep(counted.clone().upkeep());
        self.serve(listener, Arc::new(metrics::Page::new(counted)));
        Ok(())
    }

    /// Reads again what may have changed: certificates, and of a service the policy.
    pub(super) fn reload(&self) {
        self.tls.iter().for_each(Tls::reload);
        if let Some(control) = &self.control {
            control.policy.reload();
        }
    }

    /// No new requests and no more jobs; those under way, and transfers, may end within `patience`. At last
    /// a service gives up its lease. Returns how many connections were cut.
    pub(super) async fn drain(self, patience: Duration) -> usize {
        match &self.control {
            None => self.shutdown.begin(patience),
            Some(control) => {
                // Uploads that are stopped then are told so before their connections are cut.
                self.shutdown.begin(patience + Leases::CLEAN_UP_WAIT);
                control.leases.drain(patience).await;
            }
        }
        let mut cut = 0;
        for served in self.served {
            // Its panics are logged where they happen.
            cut += served.await.map_or(0, |served| served.cut);
        }
        for task in &self.background {
            task.abort();
        }
        for task in self.background {
            // Nothing runs any more that a lease covers. Its panics are logged, too.
            drop(task.await);
        }
        if let Some(control) = &self.control {
            control.leases.leave().await;
        }
        drop(self.socket.map(fs::remove_file));
        if let Some(cache) = self.cache {
            // What is not saved is fetched again.
            drop(spawn_blocking(move || cache.save()).await);
        }
        cut
    }
}
