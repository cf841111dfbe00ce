//! `fresnel cache`: what an operator does to the images on a node's disk. A node that runs is asked by its
//! socket, where it has one; else all but the list wants the directory for itself, and a service that runs
//! has an API for the same.

use std::collections::HashMap;

use ::http::Method;
use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    cache::{self, Cache},
    client::admin::Admin,
    config::Config,
    model::ImageId,
};

pub use crate::cache::{Owner, Removed, Shown, Verified};

/// What there is.
#[derive(Debug)]
pub struct List {
    /// On disk, the largest first.
    pub shown: Vec<Shown>,
    /// Images that wait to be cached; none where no node was asked, and then hits are not known either.
    pub waiting: Option<Vec<String>>,
}

/// What is there, and what waits.
///
/// # Errors
/// Without a cache, when its directory cannot be read, and when the node does not answer.
pub async fn list(config: Config) -> anyhow::Result<List> {
    let admin = running(&config)?;
    let mut shown = Cache::look(&of(config)?.dir)?;
    shown.sort_by_key(|entry| std::cmp::Reverse(entry.filled_bytes));
    let Some(admin) = admin else {
        let waiting = None;
        return Ok(List { shown, waiting });
    };
    let told = admin.ask(Method::GET, "/v2/cache").await?;
    let hits = hits(&told["cached_images"]);
    for entry in &mut shown {
        if let Some(hits) = hits.get(entry.key.image()) {
            entry.hits = *hits;
            // The node tells of whole ones; its record on disk follows in seconds.
            entry.filled_bytes = entry.size_bytes;
        }
    }
    let waiting = told["queued_images"].as_array().into_iter().flatten();
    let waiting = waiting.filter_map(Value::as_str).map(str::to_owned);
    Ok(List {
        shown,
        waiting: Some(waiting.collect()),
    })
}

/// Has images cached before anybody asks, by the node that runs.
///
/// # Errors
/// Without one, and what it says of the first that it does not take.
pub async fn prefetch(config: &Config, images: &[String]) -> anyhow::Result<()> {
    let Some(admin) = running(config)? else {
        bail!(
            "no node listens on [fresnel] admin_socket; a service that runs has PUT /v2/cache/ID"
        );
    };
    for image in images {
        if !ImageId::new(image).is_uuid_shaped() {
            bail!("{image:?} is not the id of an image");
        }
        let asked = admin.ask(Method::PUT, &format!("/v2/cache/{image}")).await;
        asked.with_context(|| format!("image {image} is not cached"))?;
    }
    Ok(())
}

/// Reads everything and compares it with what was written; what differs is fetched again when somebody
/// wants it. `tell` hears of each image how many of its bytes were read.
///
/// # Errors
/// Without a cache, and when a process has it.
pub fn verify(config: Config, tell: impl Fn(&ImageId, u64)) -> anyhow::Result<Verified> {
    let cache = open(config)?;
    let verified = cache.verify(tell);
    cache.save();
    Ok(verified)
}

/// Removes what is beyond the limit.
///
/// # Errors
/// As [`verify`], and when a node that runs does not answer.
pub async fn prune(config: Config) -> anyhow::Result<Removed> {
    match running(&config)? {
        Some(admin) => {
            let told = admin.ask(Method::POST, "/v2/cache/prune").await?;
            let total = |name: &str| told[name].as_u64().unwrap_or_default();
            Ok(Removed {
                entries: total("total_files_pruned"),
                bytes: total("total_bytes_pruned"),
            })
        }
        None => {
            // To open it is to bring it within its limit.
            let before = Cache::look(&of(config.clone())?.dir)?;
            Ok(difference(&before, &open(config)?.entries()))
        }
    }
}

/// Removes everything.
///
/// # Errors
/// As [`prune`].
pub async fn clear(config: Config) -> anyhow::Result<Removed> {
    match running(&config)? {
        Some(admin) => {
            // It does not say how much: what its records lack afterwards is gone.
            let dir = of(config)?.dir;
            let before = Cache::look(&dir)?;
            admin.ask(Method::DELETE, "/v2/cache").await?;
            Ok(difference(&before, &Cache::look(&dir)?))
        }
        None => Ok(open(config)?.clear()),
    }
}

fn difference(before: &[Shown], after: &[Shown]) -> Removed {
    let bytes = |entries: &[Shown]| entries.iter().map(|entry| entry.filled_bytes).sum::<u64>();
    Removed {
        entries: before.len().saturating_sub(after.len()) as u64,
        bytes: bytes(before).saturating_sub(bytes(after)),
    }
}

fn hits(cached: &Value) -> HashMap<ImageId, u64> {
    let cached = cached.as_array().into_iter().flatten();
    let hits = cached.filter_map(|image| {
        let id = ImageId::new(image["image_id"].as_str()?);
        Some((id, image["hits"].as_u64()?))
    });
    hits.collect()
}

/// The node that runs, where there is one with a socket.
fn running(config: &Config) -> anyhow::Result<Option<Admin>> {
    match &config.gateway.admin_socket {
        Some(path) => Admin::at(path).context("[fresnel] admin_socket"),
        None => Ok(None),
    }
}

fn open(config: Config) -> anyhow::Result<Cache> {
    Cache::open(of(config)?).context(
        "a service that runs has an API for this, /v2/cache, and a node [fresnel] admin_socket",
    )
}

fn of(config: Config) -> anyhow::Result<cache::Config> {
    match config.cache {
        Some(cache) => Ok(cache.bytes),
        None => bail!("there is no cache: [DEFAULT] image_cache_dir is not set"),
    }
}
