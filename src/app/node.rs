//! The cache node: the gateway, put together and running.

use std::sync::Arc;

use anyhow::{Context, bail};
use tracing::info;

use super::Running;
use crate::{
    cache::Cache,
    client::upstream::{Own, Upstream},
    config::Config,
    data::digest::Engine,
    gateway::{Admin, Gateway},
    http::Listener,
};

/// Opens the cache, and serves in front of `upstream`.
pub(super) async fn start(config: Config, upstream: &str) -> anyhow::Result<Running> {
    let scheme = match config.http.tls {
        Some(_) => "https",
        None => "http",
    };
    let listener = Listener::bind(&config.http).await?;
    let address = listener.local_addr()?;
    let mut running = Running::new();
    running.serve_metrics(config.metrics_bind).await?;
    let socket = config.gateway.admin_socket.clone();
    let directory = config.shown("DEFAULT", "image_cache_dir");
    let (gateway, cache) = open(config, upstream)?;
    let [keeping, fetching, proving] = [(); 3].map(|()| gateway.clone());
    running.keep(cache.clone().keep());
    running.keep(async move { keeping.keep().await });
    running.keep(async move { fetching.prefetch().await });
    running.keep(async move { proving.prove().await });
    running.cache = Some(cache);
    if let Some(path) = socket {
        let listener = Listener::bind_unix(&path).context("[fresnel] admin_socket")?;
        info!("The node's own cache on {}", path.display());
        running.serve(listener, Arc::new(Admin::new(gateway.clone())));
        running.socket = Some(path);
    }
    running.serve(listener, gateway);
    info!(
        cache = directory,
        "Ready on {scheme}://{address}, in front of {upstream}"
    );
    Ok(running)
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
