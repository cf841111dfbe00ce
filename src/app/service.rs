//! The image service: every layer, put together and running.

use std::{fs, net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Running, encrypted, plugins, staging};
use crate::{
    api::Api,
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
        self, Auth, Control, Db, ImageCache, Leases, Policy, Protections, auth, db, job,
        notify::{Settings, Teller, send},
        sweep,
    },
    data::{Plane, cached, digest::Engine, encrypt::Vault},
    http::Listener,
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

/// Listens first, so that a taken port is told before anything is touched; then opens the stores and
/// the database, enters the node's lease and serves.
pub(super) async fn start(mut config: Config) -> anyhow::Result<Running> {
    let listener = Listener::bind(&config.http).await?;
    let address = listener.local_addr()?;
    let listeners = [Some(address), config.metrics_bind];
    let listeners = listeners.map(Vec::from_iter).concat();
    let mut running = Running::new();
    running.serve_metrics(config.metrics_bind).await?;
    let facts = Facts::of(&config, address);
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
        ..Control::new(db, stores, config.control, leases)
    });
    staging::clean(&control).await;
    let api = Arc::new(Api::new(control.clone(), plane.clone(), config.api)?);
    running.cache = control.cache.as_ref().map(|images| images.cache.clone());
    running.control = Some(control.clone());
    keep(&mut running, &control, plane, config.notifications);
    running.serve(listener, api);
    facts.tell(&control);
    Ok(running)
}

/// What an operator wants to know of a service that is ready.
struct Facts {
    address: String,
    database: String,
    flavor: String,
}

impl Facts {
    fn of(config: &Config, address: SocketAddr) -> Self {
        let scheme = match config.http.tls {
            Some(_) => "https",
            None => "http",
        };
        Self {
            address: format!("{scheme}://{address}"),
            database: config.shown("database", "connection"),
            flavor: config.shown("paste_deploy", "flavor"),
        }
    }

    fn tell(&self, control: &Control) {
        let Self {
            address,
            database,
            flavor,
        } = self;
        let stores = control.stores.iter();
        let stores = stores.map(|store| format!("{} ({})", store.id(), store.kind()));
        let stores = stores.collect::<Vec<_>>().join(", ");
        let node = control.leases.node();
        info!(
            node.id = %node, database, flavor, stores,
            "Ready on {address}; try: curl {address}/v2/images"
        );
    }
}

fn open_cache(config: config::Cache) -> anyhow::Result<ImageCache> {
    let cache = Cache::open(config.bytes).context("[DEFAULT] image_cache_dir")?;
    Ok(ImageCache::new(cache, config.images))
}

/// What goes on behind the cache, where there is one.
fn keep_cache(running: &mut Running, control: &Arc<Control>, plane: &Arc<Plane>) {
    let Some(images) = &control.cache else {
        return;
    };
    running.keep(images.cache.clone().keep());
    running.keep(cached::prove_all(
        images.cache.clone(),
        plane.engine.clone(),
    ));
    running.keep(control::cache::prefetch(control.clone(), plane.clone()));
    running.keep(control::cache::record(control.clone()));
}

/// What goes on beside the requests.
fn keep(
    running: &mut Running,
    control: &Arc<Control>,
    plane: Arc<Plane>,
    notifications: Option<Settings>,
) {
    let [leasing, sweeping, deciding, telling] = [(); 4].map(|()| control.clone());
    keep_cache(running, control, &plane);
    running.keep(async move { leasing.leases.keep().await });
    running.keep(job::run(control.clone(), plane));
    running.keep(async move { sweep::run(&sweeping, sweep::SWEEP_EVERY).await });
    running.keep(async move { deciding.policy.watch().await });
    if let Some(settings) = notifications {
        running.keep(async move {
            send::run(telling.db.clone(), &telling.leases, &settings).await;
        });
    }
}

/// Which database, for errors.
pub(super) fn database(config: &Config) -> String {
    format!("[database] connection = {}", db::masked(&config.db.url))
}

/// The database, which tells its changes where notifications are on.
async fn connect(config: &Config) -> anyhow::Result<Db> {
    let db = found(&config.db).await;
    let db = db.with_context(|| database(config))?;
    let teller = config.notifications.as_ref();
    let teller = teller.map(|settings| Teller::new(settings, config.control.multistore));
    Ok(match teller {
        Some(teller) => db.telling(teller),
        None => db,
    })
}

/// The database, once it answers.
async fn found(config: &db::Config) -> db::Result<Db> {
    let mut tries = 0;
    loop {
        let opened = Db::connect(config).await;
        let goes_on = config.start_retries_max.is_none_or(|max| tries < max);
        if !goes_on || !matches!(opened, Err(db::Error::Unavailable)) {
            return opened;
        }
        tries += 1;
        let database = db::masked(&config.url);
        warn!(
            database,
            tries, "Cannot start without the database; trying again"
        );
        sleep(config.start_retry_interval).await;
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
