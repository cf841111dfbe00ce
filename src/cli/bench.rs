//! `fresnel bench digests`

use std::io::{self, Write};

use super::Failure;
use crate::app::bench;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// How fast one core of this machine computes each digest, by engine and number of streams
    Digests {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Digests { json } = command;
    writeln!(io::stdout(), "{}", bench::digests(*json))?;
    Ok(())
}
