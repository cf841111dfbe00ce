//! The image service: every layer, put together and running.

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinHandle, spawn_blocking},
};

use super::{encrypted, metrics, plugins, staging};
use crate::{
    api::Api,
    base::telemetry,
    buf::{Pool, pool::READER_SHARE_BYTES},
    cache::Cache,
    client::{
        glance::Glance,
        key_manager::{Barbican, KeyManager, Keyring},
        keystone::{self, Endpoint, Limits, Session, Trusts},
        peer::Peer,
        web::{self, Web},
    },
    config::{self, Config, Keys, Keystone, Kind, Tokens},
    control::{
        self, Auth, Control, Db, ImageCache, Leases, Policy, Protections, auth, job,
        notify::{Settings, Teller, send},
        sweep,
    },
    data::{Plane, cached, digest::Engine, encrypt::Vault},
    http::{self, Drain, Listener, Served, Shutdown},
    model::StoreId,
    store::{
        self, Registry, Store,
        cinder::CinderStore,
        file::{self, FileIo, FileStore},
        http::HttpStore,
        rbd::{Connections, RbdStore},
        s3::S3Store,
        swift::SwiftStore,
    },
};

/// A running service. [`Service::drain`] ends it; dropped without, its tasks end with the runtime.
pub struct Service {
    address: SocketAddr,
    scheme: &'static str,
    leases: Arc<Leases>,
    shutdown: Shutdown,
    served: Vec<JoinHandle<Served>>,
    background: Vec<JoinHandle<()>>,
    cache: Option<Cache>,
}

impl Service {
    /// Listens first, so that a taken port is told before anything is touched; then opens the
    /// stores and the database, enters the node's lease and serves.
    pub async fn start(mut config: Config) -> anyhow::Result<Self> {
        let listener = Listener::bind(&config.http).await?;
        let address = listener.local_addr()?;
        let scheme = if config.http.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let listeners = [Some(address), config.metrics_bind];
        let listeners = listeners.map(Vec::from_iter).concat();
        let stores = open_stores(&config, &listeners)?;
        let session = config.keystone.tokens.as_ref().map(session).transpose()?;
        let vault = Vault::new(config.data.vault);
        let stores = encrypted::served(&config, stores, session.as_ref(), &vault).await?;
        let web = web_for_imports(&config, &listeners)?;
        plugins::check(&config.control.import)?;
        let plane = Arc::new(Plane {
            pool: pool(&config, &stores),
            stores: stores.clone(),
            engine: Engine::sized_for_machine(config.digest_engine)
                .context("cannot start [fresnel] digest_engine")?,
            vault,
            settings: config.data,
        });
        let db = connect(&config).await?;
        let leases = Leases::join(db.clone(), config.lease).await?;
        let policy = Policy::load(config.policy)?;
        let protections = config.protections.as_ref();
        let protections = protections.map(|settings| Protections::load(settings, &policy));
        let Keystone { tokens, limits, .. } = config.keystone;
        let auth = tokens.zip(session.clone());
        let auth = auth.map(|(tokens, session)| by_keystone(tokens, session));
        if let Some(local) = &mut config.control.import.staging.local {
            local.host = hostname();
        }
        let control = Arc::new(Control {
            auth: auth.unwrap_or_default(),
            limits: limits.map(of_keystone).transpose()?,
            protections: protections.transpose()?.unwrap_or_default(),
            peer: Some(Peer::new().context("cannot ask other workers")?),
            trusts: session.clone().map(Trusts::new),
            keys: Some(open_keys(config.keys, session)?),
            glance: Some(Glance::new().context("cannot ask other image services")?),
            web: Some(web),
            policy,
            cache: config.cache.map(open_cache).transpose()?,
            ..Control::new(db, stores, config.control, leases.clone())
        });
        staging::clean(&control).await;
        let api = Arc::new(Api::new(control.clone(), plane.clone(), config.api)?);
        let (shutdown, drain) = http::drain();
        let mut service = Self {
            address,
            scheme,
            leases,
            shutdown,
            served: Vec::new(),
            cache: control.cache.as_ref().map(|images| images.cache.clone()),
            background: background(&control, plane, config.notifications)?,
        };
        if let Some(address) = config.metrics_bind {
            service.serve_metrics(address, drain.clone()).await?;
        }
        service
            .served
            .push(tokio::spawn(http::serve(listener, api, drain)));
        Ok(service)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One line for the operator: that it is ready, and what to try.
    pub fn greeting(&self) -> String {
        let Self {
            scheme, address, ..
        } = self;
        format!("Ready on {scheme}://{address}; try: curl {scheme}://{address}/v2/images")
    }

    /// No new requests and no more jobs; those under way, and transfers, may end within `patience`. At last
    /// the lease is given up.
    pub async fn drain(self, patience: Duration) {
        // Uploads that are stopped then are told so before their connections are cut.
        self.shutdown.begin(patience + Leases::CLEAN_UP_WAIT);
        self.leases.drain(patience).await;
        for served in self.served {
            // Its panics are logged where they happen.
            drop(served.await);
        }
        for task in &self.background {
            task.abort();
        }
        for task in self.background {
            drop(task.await);
        }
        self.leases.leave().await;
        if let Some(cache) = self.cache {
            // What is not saved is fetched again.
            drop(spawn_blocking(move || cache.save()).await);
        }
    }

    async fn serve_metrics(&mut self, address: SocketAddr, drain: Drain) -> anyhow::Result<()> {
        let counted = telemetry::start_metrics()?;
        let listener = Listener::bind(&metrics::listener(address)).await?;
        tracing::info!("Metrics on http://{}/metrics", listener.local_addr()?);
        self.background.push(tokio::spawn(counted.clone().upkeep()));
        let handler = Arc::new(metrics::Page::new(counted));
        self.served
            .push(tokio::spawn(http::serve(listener, handler, drain)));
        Ok(())
    }
}

fn open_cache(config: config::Cache) -> anyhow::Result<ImageCache> {
    let cache = Cache::open(config.bytes).context("[DEFAULT] image_cache_dir")?;
    Ok(ImageCache::new(cache, config.images))
}

/// What goes on behind the cache, where there is one.
fn keep_cache(control: &Arc<Control>, plane: &Arc<Plane>) -> Vec<JoinHandle<()>> {
    let Some(images) = &control.cache else {
        return Vec::new();
    };
    vec![
        tokio::spawn(images.cache.clone().keep()),
        tokio::spawn(cached::prove_all(
            images.cache.clone(),
            plane.engine.clone(),
        )),
        tokio::spawn(control::cache::prefetch(control.clone(), plane.clone())),
        tokio::spawn(control::cache::record(control.clone())),
    ]
}

/// What goes on beside the requests.
fn background(
    control: &Arc<Control>,
    plane: Arc<Plane>,
    notifications: Option<Settings>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let [leasing, sweeping, deciding, telling] = [(); 4].map(|()| control.clone());
    let mut background = keep_cache(control, &plane);
    background.extend([
        tokio::spawn(async move { leasing.leases.keep().await }),
        tokio::spawn(job::run(control.clone(), plane)),
        tokio::spawn(async move { sweep::run(&sweeping, sweep::SWEEP_EVERY).await }),
        tokio::spawn(async move { keep_policy(&deciding.policy, hangup).await }),
    ]);
    background.extend(notifications.map(|settings| {
        tokio::spawn(async move {
            send::run(telling.db.clone(), &telling.leases, &settings).await;
        })
    }));
    Ok(background)
}

/// The database, which tells its changes where notifications are on.
async fn connect(config: &Config) -> anyhow::Result<Db> {
    let db = Db::connect(&config.db).await?;
    let teller = config.notifications.as_ref();
    let teller = teller.map(|settings| Teller::new(settings, config.control.multistore));
    Ok(match teller {
        Some(teller) => db.telling(teller),
        None => db,
    })
}

/// The policy's files are read again when they change, and on SIGHUP.
async fn keep_policy(policy: &Policy, mut hangup: Signal) {
    loop {
        tokio::select! {
            () = policy.watch() => {}
            _ = hangup.recv() => policy.reload(),
        }
    }
}

pub(super) fn open_stores(config: &Config, listeners: &[SocketAddr]) -> anyhow::Result<Registry> {
    let stores = each_store(config, listeners)?
        .map(|(id, opened)| opened.with_context(|| format!("cannot open the store {id}")));
    let stores = stores.collect::<anyhow::Result<_>>()?;
    Ok(Registry::new(stores, config.stores.default.clone()))
}

/// Who we are to Keystone.
fn session(config: &Tokens) -> anyhow::Result<Arc<Session>> {
    let session = Session::new(config.session.clone()).context("[keystone_authtoken]")?;
    Ok(Arc::new(session))
}

fn by_keystone(config: Tokens, session: Arc<Session>) -> Auth {
    Auth::Keystone(auth::Keystone {
        tokens: keystone::Tokens::new(session, config.cache_time, config.include_catalog),
        settings: config.settings,
    })
}

fn open_keys(keys: Keys, session: Option<Arc<Session>>) -> anyhow::Result<Arc<dyn KeyManager>> {
    Ok(match keys {
        Keys::Barbican(config) => Arc::new(Barbican::new(config, session).context("[barbican]")?),
        Keys::File(folder) => Arc::new(Keyring::new(folder)),
    })
}

fn of_keystone((config, endpoint): (keystone::Config, Endpoint)) -> anyhow::Result<Limits> {
    let session = Session::new(config).context("[oslo_limit]")?;
    Ok(Limits::new(Arc::new(session), endpoint))
}

/// Opens what is configured, one after the other. Begins their background work: a runtime must
/// run. Nothing is fetched from `listeners`, which are our own.
pub(super) fn each_store(
    config: &Config,
    listeners: &[SocketAddr],
) -> anyhow::Result<impl Iterator<Item = (StoreId, store::Result<Arc<dyn Store>>)>> {
    let io = FileIo::start(config.file_io).context("cannot start file I/O")?;
    let ceph = Arc::new(Connections::new(config.rbd_window_bytes));
    let policy = web_policy(config, listeners);
    let timeouts = config.web_timeouts;
    let stores = &config.stores.stores;
    let staging = config.control.import.staging.local.as_ref();
    let shares = stores.len() + usize::from(staging.is_some()) - readers(config).len();
    let share_bytes = Pool::share_bytes(limit_bytes(config), shares);
    let staging = staging.map(|local| {
        let id = config.control.import.staging.store.clone();
        let files = file::Config::in_dir(&local.path);
        let opened = FileStore::open(id.clone(), files, io.clone());
        let opened: store::Result<Arc<dyn Store>> = opened.map(|opened| Arc::new(opened) as _);
        (id, opened)
    });
    let stores = stores.iter().map(move |store| {
        let id = store.settings.id.clone();
        let opened: store::Result<Arc<dyn Store>> = match &store.kind {
            Kind::Cinder(cinder) => CinderStore::open(id.clone(), (**cinder).clone(), ceph.clone())
                .map(|opened| Arc::new(opened) as _),
            Kind::File(file) => FileStore::open(id.clone(), file.clone(), io.clone())
                .map(|opened| Arc::new(opened) as _),
            Kind::Http(http) => Web::new(
                policy.clone(),
                web::Config {
                    timeouts,
                    ..http.clone()
                },
            )
            .map(|web| Arc::new(HttpStore::new(id.clone(), web)) as _)
            .map_err(|error| store::Error::Backend {
                store: id.clone(),
                source: std::io::Error::other(error),
            }),
            Kind::Rbd(rbd) => RbdStore::open(id.clone(), rbd.clone(), ceph.clone())
                .map(|opened| Arc::new(opened) as _),
            Kind::S3(s3) => S3Store::open(id.clone(), s3.clone(), share_bytes)
                .map(|opened| Arc::new(opened) as _),
            Kind::Swift(swift) => {
                SwiftStore::open(id.clone(), (**swift).clone()).map(|opened| Arc::new(opened) as _)
            }
        };
        (id, opened)
    });
    Ok(stores.chain(staging))
}

/// What users may have fetched, and nothing from our own `listeners`.
fn web_policy(config: &Config, listeners: &[SocketAddr]) -> Arc<web::Policy> {
    Arc::new(web::Policy {
        listeners: listeners.to_vec(),
        ..config.web.clone()
    })
}

/// Trusts the authorities that the system does, as Glance's imports do.
fn web_for_imports(config: &Config, listeners: &[SocketAddr]) -> anyhow::Result<Web> {
    let policy = web_policy(config, listeners);
    let how = web::Config {
        timeouts: config.web_timeouts,
        ..web::Config::default()
    };
    Web::new(policy, how).context("cannot fetch from the web")
}

/// The name of this host: who else sees its directories is not known.
fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

/// The buffers of all transfers.
fn pool(config: &Config, stores: &Registry) -> Pool {
    let readers = readers(config);
    let writers = stores.iter().filter(|store| !readers.contains(store.id()));
    let gathering = writers.map(|store| (store.id().clone(), store.gathers_bytes(None)));
    Pool::with_gathering(limit_bytes(config), gathering.collect()).with_readers(readers.into_iter())
}

/// The stores that take no uploads.
fn readers(config: &Config) -> Vec<StoreId> {
    let stores = config.stores.stores.iter().map(|store| &store.settings);
    let readers = stores.filter(|settings| settings.read_only);
    readers.map(|settings| settings.id.clone()).collect()
}

/// Bytes for the transfers of all other stores.
fn limit_bytes(config: &Config) -> usize {
    let readers_bytes = readers(config).len() * READER_SHARE_BYTES;
    config.memory_limit_bytes.saturating_sub(readers_bytes)
}
