//! The accept loop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::{sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::base::seldom::Seldom;

use super::{
    Config, Drain, Handler, Listener, Tls,
    connection::{self, Server},
    listener::Stream,
};

/// Refusals at once; beyond them a connection over the limit is closed without a word.
const REFUSALS_MAX: usize = 64;
const REFUSAL_TIME: Duration = Duration::from_secs(1);
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    content-length: 0\r\nconnection: close\r\n\r\n";

/// Connections that came to nothing, by one reason.
pub(super) struct Failed {
    counted: metrics::Counter,
    told: Seldom,
}

impl Failed {
    pub(super) fn by(reason: &'static str) -> Self {
        Self {
            counted: metrics::counter!("fresnel_http_failed_connections_total", "reason" => reason),
            told: Seldom::new(),
        }
    }

    /// One more. How many since the last line of the log, where it is time for another.
    pub(super) fn times(&self) -> Option<u64> {
        self.counted.increment(1);
        self.told.times()
    }
}

/// A connection that is open.
struct Open(metrics::Gauge);

impl Open {
    fn count() -> Self {
        let gauge = metrics::gauge!("fresnel_http_connections");
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// How a service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Connections that had not finished at the drain's deadline and were cut.
    pub cut: usize,
}

/// Serves until `drain` begins, then lets requests under way finish until its deadline, and cuts
/// the rest.
pub async fn serve(listener: Listener, handler: Arc<dyn Handler>, mut drain: Drain) -> Served {
    let Listener {
        socket,
        tls,
        config,
    } = listener;
    let mut tasks = Connections::new(&config);
    let server = Arc::new(Server::new(config, handler));
    let unaccepted = Failed::by("accept");
    let deadline = loop {
        tokio::select! {
            deadline = drain.begun() => break deadline,
            Some(ended) = tasks.set.join_next() => report(ended),
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    let tls = tls.as_ref().map(Tls::acceptor);
                    tasks.spawn(&server, tls, stream, peer, &drain);
                }
                Err(error) => pause(&error, &unaccepted).await,
            },
        }
    };
    drop(socket);
    tokio::select! {
        () = tasks.finish() => {}
        () = sleep_until(deadline) => {}
    }
    let cut = tasks.set.len();
    tasks.set.shutdown().await;
    Served { cut }
}

struct Connections {
    set: JoinSet<()>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    full: Failed,
    connections_max: usize,
}

impl Connections {
    fn new(config: &Config) -> Self {
        Self {
            set: JoinSet::new(),
            places: Arc::new(Semaphore::new(config.connections_max)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            full: Failed::by("full"),
            connections_max: config.connections_max,
        }
    }

    fn spawn(
        &mut self,
        server: &Arc<Server>,
        tls: Option<TlsAcceptor>,
        stream: Stream,
        peer: SocketAddr,
        drain: &Drain,
    ) {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            let connected = connection::run(server.clone(), tls, stream, peer, drain.clone());
            let open = Open::count();
            self.set.spawn(async move {
                connected.await;
                drop((place, open));
            });
            return;
        }
        if let Some(times) = self.full.times() {
            let connections_max = self.connections_max;
            tracing::warn!(%peer, times, connections_max, "Refused a connection: there are as many as there may be");
        }
        if let (Ok(permit), None) = (self.refusals.clone().try_acquire_owned(), tls) {
            match stream {
                Stream::Tcp(stream) => self.set.spawn(refuse(stream, permit)),
                Stream::Unix(stream) => self.set.spawn(refuse(stream, permit)),
            };
        }
    }

    async fn finish(&mut self) {
        while let Some(ended) = self.set.join_next().await {
            report(ended);
        }
    }
}

/// Says that the house is full, and waits a little so that the word arrives.
async fn refuse(mut stream: impl AsyncRead + AsyncWrite + Unpin, _permit: OwnedSemaphorePermit) {
    let said = async {
        stream.write_all(REFUSAL).await?;
        stream.shutdown().await?;
        let mut scratch = [0; 4096];
        while stream.read(&mut scratch).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whether the client hears it is its own affair.
    let _ = timeout(REFUSAL_TIME, said).await;
}

/// Out of descriptors or memory: accepting again at once would spin.
async fn pause(error: &io::Error, failed: &Failed) {
    if error.kind() != io::ErrorKind::ConnectionAborted {
        if let Some(times) = failed.times() {
            tracing::warn!(%error, times, "Could not accept a connection");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "A connection's task failed");
    }
}
