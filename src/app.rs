//! The only place that names concrete types: puts the layers together and runs them.

pub mod admin;
pub mod bench;
pub mod cache;
mod demo;
mod encrypted;
pub mod key;
mod metrics;
mod node;
mod plugins;
pub mod policy;
pub mod repair;
pub mod replicate;
mod service;
pub mod signature;
mod staging;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::{base::telemetry, config::Config};

pub use demo::demo;
pub use node::node;
pub use service::Service;

/// Runs the image service until SIGTERM or SIGINT, then drains it: no new requests, and transfers
/// may end within `[fresnel] drain_seconds`. A second signal ends it at once.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::start_logs(&config.logs)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let patience = config.drain;
    let service = Service::start(config).await?;
    info!("{}", service.greeting());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!(drain_seconds = patience.as_secs(), "Draining");
    tokio::select! {
        () = service.drain(patience) => info!("Stopped"),
        _ = terminate.recv() => warn!("Stopped at once"),
        _ = interrupt.recv() => warn!("Stopped at once"),
    }
    Ok(())
}
