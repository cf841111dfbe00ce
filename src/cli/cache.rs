//! `fresnel cache`

use std::io::{self, Write};

use anyhow::anyhow;
use serde_json::{Value, json};

use super::{
    Failure, age, block_on,
    progress::{Progress, Unit},
    sources::ConfigArgs,
};
use crate::app::cache::{self, List, Owner, Removed, Shown};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List what is there, also beside a service that runs
    List(Args),
    /// Have images cached before anybody asks, by a node that runs
    Prefetch(Prefetch),
    /// Read everything and compare it with what was written
    Verify(Args),
    /// Remove what is beyond image_cache_max_size
    Prune(Args),
    /// Remove everything
    Clear(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Prefetch {
    #[command(flatten)]
    config: ConfigArgs,
    /// The images' ids
    #[arg(required = true, value_name = "ID")]
    images: Vec<String>,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args),
        Command::Prefetch(args) => {
            let config = args.config.load_node()?;
            Ok(block_on(cache::prefetch(&config, &args.images))?)
        }
        Command::Verify(args) => verify(args),
        Command::Prune(args) => tell(args, block_on(cache::prune(args.config.load_node()?))?),
        Command::Clear(args) => tell(args, block_on(cache::clear(args.config.load_node()?))?),
    }
}

fn list(args: &Args) -> Result<(), Failure> {
    let list = block_on(cache::list(args.config.load_node()?))?;
    let text = match args.json {
        true => format!("{:#}\n", as_json(&list)),
        false => as_text(&list),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn as_text(list: &List) -> String {
    let hits = |shown: &Shown| match list.waiting {
        Some(_) => format!(", {} hits", shown.hits),
        None => String::new(),
    };
    let there = list.shown.iter();
    let there = there.map(|shown| format!("{}{}\n", line(shown), hits(shown)));
    let waiting = list.waiting.iter().flatten();
    let waiting = waiting.map(|image| format!("{image} waits\n"));
    there.chain(waiting).collect()
}

/// Hits and what waits are null where no node was asked.
fn as_json(list: &List) -> Value {
    let of = |owner: Owner, name: &str| {
        let shown = list.shown.iter().filter(|one| one.key.owner() == owner);
        let shown = shown.map(|shown| {
            json!({
                name: shown.key.image().as_str(),
                "state": state(shown),
                "filled_bytes": shown.filled_bytes,
                "size_bytes": shown.size_bytes,
                "grown_seconds_ago": shown.modified.elapsed().unwrap_or_default().as_secs(),
                "hits": list.waiting.is_some().then_some(shown.hits),
            })
        });
        Value::from_iter(shown)
    };
    json!({
        "images": of(Owner::Image, "image"),
        "blobs": of(Owner::Artifact, "blob"),
        "waiting": list.waiting,
    })
}

fn line(shown: &Shown) -> String {
    let Shown {
        key,
        size_bytes,
        filled_bytes,
        modified,
        ..
    } = shown;
    let grown = age::show(modified.elapsed().unwrap_or_default());
    let owner = match key.owner() {
        Owner::Image => "",
        Owner::Artifact => "blob ",
    };
    format!(
        "{owner}{} {} {filled_bytes} of {size_bytes} B, grown {grown} ago",
        key.image(),
        state(shown)
    )
}

fn state(shown: &Shown) -> &'static str {
    match (shown.is_whole(), shown.is_proven) {
        (false, _) => "part",
        (true, false) => "whole",
        (true, true) => "proven",
    }
}

fn verify(args: &Args) -> Result<(), Failure> {
    let progress = Progress::new(Unit::Bytes, !args.json);
    let config = args.config.load_node()?;
    let verified = cache::verify(config, |image, done| {
        progress.at(image.as_str(), done, None);
    })?;
    progress.hide();
    let (good, damaged) = (verified.good_chunks, verified.damaged_chunks);
    let line = match args.json {
        true => json!({"good_chunks": good, "damaged_chunks": damaged}).to_string(),
        false => format!("{good} chunks are good, {damaged} are damaged"),
    };
    writeln!(io::stdout(), "{line}")?;
    match damaged {
        0 => Ok(()),
        _ => Err(anyhow!("{damaged} damaged chunks do not count any more").into()),
    }
}

fn tell(args: &Args, removed: Removed) -> Result<(), Failure> {
    let Removed { entries, bytes } = removed;
    let line = match args.json {
        true => json!({"removed_images": entries, "removed_bytes": bytes}).to_string(),
        false => format!("{entries} removed, {bytes} B"),
    };
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}
