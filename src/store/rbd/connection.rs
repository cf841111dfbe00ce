//! Connections: one for each cluster and user and purpose, shared by the stores that name the same,
//! made when it is first needed and again when the cluster has shut it out.
//!
//! librados itself reconnects when monitors or OSDs come back. What it never recovers from is being
//! shut out, which is what the sweep of another node does to one whose lease is dead.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use fresnel_ceph::{Cluster, Options, Outcome, Pool, Result};
use metrics::counter;
use parking_lot::Mutex;
use tokio::{
    pin, select,
    sync::Semaphore,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::Config;
use crate::{
    model::StoreId,
    store::{Error, window::Window},
};

/// Blocking calls of one connection at once: a cluster that is dead holds so many threads and no
/// more.
const CALLS_MAX: usize = 48;
/// Our own patience is longer than the library's by so much: what it gives up is heard of first.
const MARGIN: Duration = Duration::from_secs(30);
/// After so long without a sign of life a connection is looked at.
pub(super) const PING_EVERY: Duration = Duration::from_secs(2);
/// Where the operator waits for ever, so do we, nearly.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// librados asks for a newer map of the cluster when an operation is so late, and looks twice in that
/// time. Where operations are given up before they are late, it would never hear that an OSD is back
/// under another address.
const LATE: Duration = Duration::from_secs(10);

/// What a connection is for: a download never waits behind uploads, nor is it shut out with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Writing attempts.
    Write,
    /// Everything else.
    Read,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// All connections of the process, and the window of all its writes.
#[derive(Debug)]
pub struct Connections {
    pub(super) window: Arc<Window>,
    known: Mutex<HashMap<(Options, Purpose), Arc<Connection>>>,
}

impl Connections {
    /// None yet. `window_bytes` is what all writes together may have in flight.
    pub fn new(window_bytes: usize) -> Self {
        Self {
            window: Arc::new(Window::new(window_bytes, "fresnel_rbd_in_flight_bytes")),
            known: Mutex::default(),
        }
    }

    /// A use of the pool of `config` by a store.
    pub(super) fn link(&self, store: &StoreId, config: &Config, purpose: Purpose) -> Arc<Link> {
        let options = self.options(config);
        let mut known = self.known.lock();
        let connection = known.entry((options.clone(), purpose)).or_insert_with(|| {
            Arc::new(Connection {
                options,
                purpose,
                state: tokio::sync::Mutex::default(),
                calls: Arc::new(Semaphore::new(CALLS_MAX)),
            })
        });
        Arc::new(Link {
            store: store.clone(),
            connection: connection.clone(),
            pool: config.pool.clone(),
            open: Mutex::default(),
            patience: config
                .timeouts
                .operation
                .map_or(FOR_EVER, |operation| operation + MARGIN),
        })
    }

    fn options(&self, config: &Config) -> Options {
        let seconds = |limit: Option<Duration>| limit.unwrap_or_default().as_secs().to_string();
        let operation = seconds(config.timeouts.operation);
        let late = config
            .timeouts
            .operation
            .map_or(LATE, |limit| LATE.min(limit / 3));
        let settings = [
            ("client_mount_timeout", seconds(config.timeouts.connect)),
            ("rados_mon_op_timeout", operation.clone()),
            ("rados_osd_op_timeout", operation),
            ("objecter_timeout", late.as_secs_f64().to_string()),
            (
                "objecter_tick_interval",
                (late / 2).as_secs_f64().to_string(),
            ),
            // Our writes are whole objects, many at once: a cache would copy them and help nobody.
            ("rbd_cache", "false".into()),
            // The library copies every write unless it is told that nobody changes the buffer
            // meanwhile: a third of its CPU time.
            ("rbd_disable_zero_copy_writes", "false".into()),
            // It must never be the library that waits: the window is smaller.
            (
                "objecter_inflight_op_bytes",
                self.window.limit_for_library().to_string(),
            ),
        ];
        Options {
            conf_file: config.ceph_conf.clone(),
            user: config.user.clone(),
            settings: settings
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .chain(config.settings.clone())
                .collect(),
        }
    }
}

/// A connection, or the place for one.
#[derive(Debug)]
struct Connection {
    options: Options,
    purpose: Purpose,
    /// Locked while it is being made.
    state: tokio::sync::Mutex<State>,
    calls: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    cluster: Option<Cluster>,
    failed: Option<(Instant, fresnel_ceph::Error)>,
}

impl Connection {
    /// The connection, made now if there is none. Who waits while another tries, shares its
    /// failure.
    async fn cluster(&self) -> Result<Cluster> {
        let asked_at = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(cluster) = &state.cluster {
            return Ok(cluster.clone());
        }
        if let Some((at, error)) = &state.failed
            && *at >= asked_at
        {
            return Err(error.clone());
        }
        counter!("fresnel_rbd_connections_total", "purpose" => self.purpose.label()).increment(1);
        let options = self.options.clone();
        let connecting = spawn_blocking(move || Cluster::connect(&options));
        match connecting.await.expect("connecting does not panic") {
            Ok(cluster) => {
                info!(purpose = self.purpose.label(), "Connected to Ceph");
                state.cluster = Some(cluster.clone());
                state.failed = None;
                Ok(cluster)
            }
            Err(error) => {
                let Options {
                    conf_file, user, ..
                } = &self.options;
                warn!(purpose = self.purpose.label(), user, conf_file, %error, "Cannot connect to Ceph");
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// The next who asks makes a new one.
    async fn forget(&self, lost: &Pool) {
        let mut state = self.state.lock().await;
        if state
            .cluster
            .as_ref()
            .is_some_and(|cluster| lost.is_on(cluster))
        {
            warn!(
                purpose = self.purpose.label(),
                "The cluster has shut this connection out; the next operation makes a new one"
            );
            state.cluster = None;
        }
    }
}

/// A store's use of a connection: its pool there.
#[derive(Debug)]
pub(super) struct Link {
    store: StoreId,
    connection: Arc<Connection>,
    pool: String,
    open: Mutex<Option<Pool>>,
    /// How long any one operation may take.
    pub(super) patience: Duration,
}

/// Why nothing could be tried, or what came of it.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no connection, or no pool.
    NotConnected(fresnel_ceph::Error),
    /// The operation failed.
    Failed(fresnel_ceph::Error),
    /// It has not ended in time. It may still.
    TooLong,
}

impl Link {
    /// The pool, on a connection that is believed to be alive.
    pub(super) async fn pool(&self) -> Result<Pool, Failure> {
        let cluster = self.connection.cluster().await;
        let cluster = cluster.map_err(Failure::NotConnected)?;
        let open = self.open.lock().clone();
        if let Some(pool) = open.filter(|pool| pool.is_on(&cluster)) {
            return Ok(pool);
        }
        let name = self.pool.clone();
        let open = move || {
            let pool = cluster.pool(&name)?;
            // Where that is not permitted, or there is no room now, deletions may still work.
            drop(pool.prepare_trash());
            Ok(pool)
        };
        let opened = self.run(self.patience, open).await;
        let pool = opened.map_err(|failure| match failure {
            Failure::Failed(error) => Failure::NotConnected(error),
            other => other,
        })?;
        *self.open.lock() = Some(pool.clone());
        Ok(pool)
    }

    /// What a failure means to the caller; `object` is what was worked on.
    pub(super) fn outcome(&self, object: &str, failure: Failure) -> Error {
        let (store, pool) = (&self.store, &self.pool);
        debug!(store.id = %store, object, ?failure, "Ceph failed an operation");
        let backend = |text: String| Error::Backend {
            store: store.clone(),
            source: std::io::Error::other(text),
        };
        let error = match failure {
            Failure::TooLong => return Error::Unavailable(store.clone()),
            // That the user or the pool is missing does not say that the object is.
            Failure::NotConnected(error) => {
                return match error.outcome() {
                    Some(Outcome::Unreachable | Outcome::Blocklisted) => {
                        Error::Unavailable(store.clone())
                    }
                    _ => backend(format!("cannot use pool {pool}: {error}")),
                };
            }
            Failure::Failed(error) => error,
        };
        match error.outcome() {
            Some(Outcome::Blocklisted | Outcome::Unreachable) => Error::Unavailable(store.clone()),
            Some(Outcome::Busy | Outcome::HasSnapshots) => Error::Busy(object.to_owned()),
            Some(Outcome::Denied) => Error::Denied(store.clone()),
            Some(Outcome::Exists) => Error::AlreadyExists(object.to_owned()),
            Some(Outcome::Full) => Error::Full(store.clone()),
            Some(Outcome::NotFound) => Error::NotFound(object.to_owned()),
            Some(Outcome::Invalid | Outcome::Other(_)) | None => backend(error.to_string()),
        }
    }

    /// The address of the connection, if there has been one.
    fn address(&self) -> Option<Result<String>> {
        let open = self.open.lock().clone();
        open.map(|pool| pool.cluster().address())
    }

    /// Calls what blocks, on a thread that may, for at most `patience`. What has taken too long goes
    /// on, and its result is dropped.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce(&Pool) -> Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let pool = self.pool().await?;
        let used = pool.clone();
        let outcome = self.run(patience, move || work(&used)).await;
        if let Err(Failure::Failed(error)) = &outcome {
            self.heard(&pool, error).await;
        }
        outcome
    }

    /// Draws the conclusion from what an operation on `pool` ended with.
    pub(super) async fn heard(&self, pool: &Pool, error: &fresnel_ceph::Error) {
        if error.outcome() == Some(Outcome::Blocklisted) {
            self.connection.forget(pool).await;
        }
    }

    /// Fails when the connection has been shut out, or nothing answers.
    pub(super) async fn ping(&self, pool: &Pool) -> Result<(), Failure> {
        let asked = pool.clone();
        let answered = self.run(self.patience, move || asked.is_prepared()).await;
        if let Err(Failure::Failed(error)) = &answered {
            self.heard(pool, error).await;
        }
        answered.map(drop)
    }

    /// Waits for an operation that is on its way. One that was begun when the connection had just
    /// been shut out may never end (a fault of librbd 16), so that is looked for meanwhile.
    pub(super) async fn wait<T>(
        &self,
        pool: &Pool,
        operation: impl Future<Output = Result<T>>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        pin!(operation);
        while began.elapsed() < self.patience {
            match timeout(PING_EVERY, &mut operation).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => {
                    self.heard(pool, &error).await;
                    return Err(Failure::Failed(error));
                }
                Err(_) => {
                    let pinged = select! {
                        biased;
                        done = &mut operation => return done.map_err(Failure::Failed),
                        pinged = self.ping(pool) => pinged,
                    };
                    if let Err(Failure::Failed(error)) = pinged
                        && error.outcome() == Some(Outcome::Blocklisted)
                    {
                        return Err(Failure::Failed(error));
                    }
                }
            }
        }
        Err(Failure::TooLong)
    }

    async fn run<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let calls = self.connection.calls.clone();
        let done = timeout(patience, async move {
            let permit = calls.acquire_owned().await.expect("never closed");
            let work = move || {
                let _permit = permit;
                work()
            };
            spawn_blocking(work).await
        });
        let done = done.await.map_err(|_| Failure::TooLong)?;
        done.expect("calls do not panic, and are not cancelled")
            .map_err(Failure::Failed)
    }
}

/// The addresses of those connections of ours that there have been.
pub(super) fn addresses(links: [&Link; 2]) -> Result<Vec<String>> {
    links.into_iter().filter_map(Link::address).collect()
}

/// Tries again while the image is in use, until `patience` is over: a watch of a process that has
/// died lasts half a minute, that of one that is closing for milliseconds.
pub(super) async fn while_busy<T, F>(
    patience: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    const PAUSE: Duration = Duration::from_millis(200);
    let began = Instant::now();
    loop {
        match attempt().await {
            Err(Failure::Failed(error))
                if error.outcome() == Some(Outcome::Busy) && began.elapsed() + PAUSE < patience => {
            }
            result => return result,
        }
        sleep(PAUSE).await;
    }
}
