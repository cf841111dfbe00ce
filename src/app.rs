//! The only place that names concrete types: puts the layers together and runs them.

pub mod admin;

use crate::config::Config;

/// Runs the image service until it is told to stop.
pub async fn serve(_config: Config) -> anyhow::Result<()> {
    anyhow::bail!("the service is not there yet")
}

/// Shows the whole path on a scratch directory.
pub async fn demo(_config: Config) -> anyhow::Result<()> {
    anyhow::bail!("the service is not there yet")
}
