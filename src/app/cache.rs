//! `fresnel cache`: what an operator does to the images on a node's disk. All but the list wants the
//! directory for itself: a service that runs has an API for the same.

use anyhow::{Context, bail};

use crate::{
    cache::{self, Cache},
    config::Config,
};

pub use crate::cache::{Removed, Shown, Verified};

/// What is there, the largest first.
///
/// # Errors
/// Without a cache, and when its directory cannot be read.
pub fn list(config: Config) -> anyhow::Result<Vec<Shown>> {
    let mut shown = Cache::look(&of(config)?.dir)?;
    shown.sort_by_key(|entry| std::cmp::Reverse(entry.filled_bytes));
    Ok(shown)
}

/// Reads everything and compares it with what was written; what differs is fetched again when somebody
/// wants it.
///
/// # Errors
/// Without a cache, and when a process has it.
pub fn verify(config: Config) -> anyhow::Result<Verified> {
    let cache = open(config)?;
    let verified = cache.verify();
    cache.save();
    Ok(verified)
}

/// Removes what is beyond the limit.
///
/// # Errors
/// As [`verify`].
pub fn prune(config: Config) -> anyhow::Result<Removed> {
    // To open it is to bring it within its limit.
    let before = Cache::look(&of(config.clone())?.dir)?;
    let after = open(config)?.entries();
    let bytes = |entries: &[Shown]| entries.iter().map(|entry| entry.filled_bytes).sum::<u64>();
    Ok(Removed {
        entries: before.len().saturating_sub(after.len()) as u64,
        bytes: bytes(&before).saturating_sub(bytes(&after)),
    })
}

/// Removes everything.
///
/// # Errors
/// As [`verify`].
pub fn clear(config: Config) -> anyhow::Result<Removed> {
    Ok(open(config)?.clear())
}

fn open(config: Config) -> anyhow::Result<Cache> {
    Cache::open(of(config)?).context("a service that runs has an API for this: /v2/cache")
}

fn of(config: Config) -> anyhow::Result<cache::Config> {
    match config.cache {
        Some(cache) => Ok(cache.bytes),
        None => bail!("there is no cache: [DEFAULT] image_cache_dir is not set"),
    }
}
