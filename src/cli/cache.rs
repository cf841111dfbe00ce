//! `fresnel cache`

use std::io::{self, Write};

use anyhow::anyhow;

use super::{Failure, age, sources::ConfigArgs};
use crate::app::cache::{self, Removed, Shown};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List what is there, also beside a service that runs
    List(ConfigArgs),
    /// Read everything and compare it with what was written
    Verify(ConfigArgs),
    /// Remove what is beyond image_cache_max_size
    Prune(ConfigArgs),
    /// Remove everything
    Clear(ConfigArgs),
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => {
            let mut out = io::stdout();
            for shown in cache::list(args.load_node()?)? {
                writeln!(out, "{}", line(&shown))?;
            }
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
        Command::Prune(args) => tell(cache::prune(args.load_node()?)?)?,
        Command::Clear(args) => tell(cache::clear(args.load_node()?)?)?,
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
