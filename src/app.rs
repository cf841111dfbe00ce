//! The only place that names concrete types: puts the layers together and runs them.

pub mod admin;
pub mod bench;
pub mod cache;
mod demo;
mod descriptors;
mod encrypted;
pub mod key;
mod metrics;
mod node;
mod plugins;
pub mod policy;
pub mod repair;
pub mod replicate;
mod running;
mod service;
mod signals;
pub mod signature;
mod staging;

use std::{pin::pin, time::Instant};

use tokio::select;
use tracing::{error, info, warn};

use crate::{
    base::telemetry::{self, Logs},
    config::Config,
};
use running::Running;
use signals::{Signals, Told};

pub use demo::demo;

/// Runs the image service until SIGTERM or SIGINT, then drains it: no new requests, and transfers
/// may end within `[fresnel] drain_seconds`. A second signal ends it at once. SIGHUP opens the log
/// again and reads certificates and policy again.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    run(config, service::start).await
}

/// Runs a cache node in front of `upstream`, as [`serve`] runs the service.
pub async fn node(config: Config, upstream: &str) -> anyhow::Result<()> {
    run(config, async |config| node::start(config, upstream).await).await
}

/// Whoever starts it sees why it failed; a log in a file has that too.
async fn run(
    config: Config,
    start: impl AsyncFnOnce(Config) -> anyhow::Result<Running>,
) -> anyhow::Result<()> {
    let mut signals = Signals::heed()?;
    let logs = telemetry::start_logs(&config.logs)?;
    if config.logs.follow {
        tokio::spawn(logs.clone().follow());
    }
    let outcome = Box::pin(until_told(config, &mut signals, &logs, start)).await;
    if let Err(cause) = &outcome
        && logs.are_in_a_file()
    {
        error!("{cause:#}");
    }
    outcome
}

async fn until_told(
    mut config: Config,
    signals: &mut Signals,
    logs: &Logs,
    start: impl AsyncFnOnce(Config) -> anyhow::Result<Running>,
) -> anyhow::Result<()> {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        process.id = std::process::id(),
        configuration = config.files.join(", "),
        "Starting"
    );
    for warning in &config.warnings {
        warn!("{warning}");
    }
    descriptors::provide(&mut config.http);
    let patience = config.drain;
    let mut starting = Box::pin(start(config));
    let running = loop {
        select! {
            started = &mut starting => break started?,
            told = signals.next() => match told {
                Told::Stop => {
                    info!("Stopped before it was ready");
                    return Ok(());
                }
                Told::Reload => logs.reopen(),
            }
        }
    };
    while signals.next().await == Told::Reload {
        logs.reopen();
        running.reload();
    }
    info!(drain_seconds = patience.as_secs(), "Draining");
    let began = Instant::now();
    let mut draining = pin!(running.drain(patience));
    loop {
        select! {
            connections_cut = &mut draining => {
                let seconds = began.elapsed().as_secs_f64();
                info!(connections_cut, seconds, "Stopped");
                return Ok(());
            }
            told = signals.next() => match told {
                Told::Stop => {
                    warn!("Stopped at once");
                    return Ok(());
                }
                Told::Reload => logs.reopen(),
            }
        }
    }
}
