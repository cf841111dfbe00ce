//! The cache node: the gateway, put together and running.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinHandle, spawn_blocking},
};
use tracing::{info, warn};

use super::metrics;
use crate::{
    base::telemetry,
    cache::Cache,
    client::upstream::{Own, Upstream},
    config::Config,
    data::digest::Engine,
    gateway::{Admin, Gateway},
    http::{self, Drain, Listener, Served},
};

/// Runs a cache node in front of `upstream` until SIGTERM or SIGINT, then drains it as
/// [`serve`](super::serve) does.
pub async fn node(config: Config, upstream: &str) -> anyhow::Result<()> {
    telemetry::start_logs(&config.logs)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let patience = config.drain;
    let scheme = match config.http.tls {
        Some(_) => "https",
        None => "http",
    };
    let listener = Listener::bind(&config.http).await?;
    let address = listener.local_addr()?;
    let (metrics_bind, socket) = (config.metrics_bind, config.gateway.admin_socket.clone());
    let (gateway, cache) = open(config, upstream)?;
    let (shutdown, drain) = http::drain();
    let [keeping, fetching, proving] = [(); 3].map(|()| gateway.clone());
    let mut background = vec![
        tokio::spawn(cache.clone().keep()),
        tokio::spawn(async move { keeping.keep().await }),
        tokio::spawn(async move { fetching.prefetch().await }),
        tokio::spawn(async move { proving.prove().await }),
    ];
    let mut served = Vec::new();
    if let Some(address) = metrics_bind {
        let counted = telemetry::start_metrics()?;
        background.push(tokio::spawn(counted.clone().upkeep()));
        served.push(serve_metrics(address, counted, drain.clone()).await?);
    }
    if let Some(path) = &socket {
        served.push(serve_admin(path, gateway.clone(), drain.clone())?);
    }
    served.push(tokio::spawn(http::serve(listener, gateway, drain)));
    info!("Ready on {scheme}://{address}, in front of {upstream}");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!(drain_seconds = patience.as_secs(), "Draining");
    shutdown.begin(patience);
    let drained = async {
        for task in served {
            // Its panics are logged where they happen.
            drop(task.await);
        }
    };
    tokio::select! {
        () = drained => info!("Stopped"),
        _ = terminate.recv() => warn!("Stopped at once"),
        _ = interrupt.recv() => warn!("Stopped at once"),
    }
    for task in background {
        task.abort();
    }
    // One that stays is known for nobody's.
    drop(socket.map(fs::remove_file));
    // What is not saved is fetched again.
    drop(spawn_blocking(move || cache.save()).await);
    Ok(())
}

fn open(config: Config, upstream: &str) -> anyhow::Result<(Arc<Gateway>, Cache)> {
    let Some(kept) = config.cache else {
        bail!("a node needs a directory for what it keeps: [DEFAULT] image_cache_dir");
    };
    let cache = Cache::open(kept.bytes).context("[DEFAULT] image_cache_dir")?;
    let engine = Engine::sized_for_machine(config.digest_engine);
    let engine = engine.context("cannot start [fresnel] digest_engine")?;
    let above = Upstream::new(upstream, &config.upstream)?;
    let own = Own::new(config.keystone.own).context("[keystone_authtoken]")?;
    let gateway = Gateway::new(above, own, cache.clone(), engine, config.gateway);
    Ok((Arc::new(gateway), cache))
}

async fn serve_metrics(
    address: SocketAddr,
    counted: telemetry::Metrics,
    drain: Drain,
) -> anyhow::Result<JoinHandle<Served>> {
    let listener = Listener::bind(&metrics::listener(address)).await?;
    info!("Metrics on http://{}/metrics", listener.local_addr()?);
    let page = Arc::new(metrics::Page::new(counted));
    Ok(tokio::spawn(http::serve(listener, page, drain)))
}

fn serve_admin(
    path: &Path,
    gateway: Arc<Gateway>,
    drain: Drain,
) -> anyhow::Result<JoinHandle<Served>> {
    let listener = Listener::bind_unix(path).context("[fresnel] admin_socket")?;
    info!("The node's own cache on {}", path.display());
    let admin = Arc::new(Admin::new(gateway));
    Ok(tokio::spawn(http::serve(listener, admin, drain)))
}
