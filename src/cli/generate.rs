//! `fresnel generate man` and `fresnel generate completions`

use std::{fs, io, path::PathBuf};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write the manual, a page for each command: fresnel.1, fresnel-db.1, ...
    Man {
        /// The directory to write to
        folder: PathBuf,
    },
    /// Print a script with which a shell completes what is typed
    Completions {
        /// Which shell
        shell: Shell,
    },
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Man { folder } => {
            let written = fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
            written.with_context(|| format!("cannot write to {}", folder.display()))?;
        }
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "fresnel", &mut io::stdout());
        }
    }
    Ok(())
}
