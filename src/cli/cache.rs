//! `fresnel cache`

use std::io::{self, Write};

use anyhow::anyhow;

use super::{Failure, age, block_on, sources::ConfigArgs};
use crate::app::cache::{self, Removed, Shown};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List what is there, also beside a service that runs
    List(ConfigArgs),
    /// Have images cached before anybody asks, by a node that runs
    Prefetch(Prefetch),
    /// Read everything and compare it with what was written
    Verify(ConfigArgs),
    /// Remove what is beyond image_cache_max_size
    Prune(ConfigArgs),
    /// Remove everything
    Clear(ConfigArgs),
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
        Command::List(args) => list(args)?,
        Command::Prefetch(args) => {
            let config = args.config.load_node()?;
            block_on(cache::prefetch(&config, &args.images))?;
        }
        Command::Verify(args) => {
            let verified = cache::verify(args.load_node()?)?;
            let (good, damaged) = (verified.good_chunks, verified.damaged_chunks);
            writeln!(
                io::stdout(),
                "{good} chunks are good, {damaged} are damaged"
            )?;
            if damaged > 0 {
                return Err(anyhow!("{damaged} damaged chunks do not count any more").into());
            }
        }
        Command::Prune(args) => tell(block_on(cache::prune(args.load_node()?))?)?,
        Command::Clear(args) => tell(block_on(cache::clear(args.load_node()?))?)?,
    }
    Ok(())
}

fn list(args: &ConfigArgs) -> Result<(), Failure> {
    let list = block_on(cache::list(args.load_node()?))?;
    let mut out = io::stdout();
    for shown in &list.shown {
        write!(out, "{}", line(shown))?;
        match list.waiting {
            Some(_) => writeln!(out, ", {} hits", shown.hits)?,
            None => writeln!(out)?,
        }
    }
    for image in list.waiting.iter().flatten() {
        writeln!(out, "{image} waits")?;
    }
    Ok(())
}

fn line(shown: &Shown) -> String {
    let Shown {
        key,
        size_bytes,
        filled_bytes,
        ..
    } = shown;
    let state = match (filled_bytes == size_bytes, shown.is_proven) {
        (false, _) => "part",
        (true, false) => "whole",
        (true, true) => "proven",
    };
    let grown = shown.modified.elapsed().unwrap_or_default();
    let grown = age::show(grown);
    format!(
        "{} {state} {filled_bytes} of {size_bytes} B, grown {grown} ago",
        key.image()
    )
}

fn tell(removed: Removed) -> io::Result<()> {
    let Removed { entries, bytes } = removed;
    writeln!(io::stdout(), "{entries} removed, {bytes} B")
}
