//! `fresnel key`: the keys of encrypted images in the directory `[fresnel] keyring_dir`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::{Failure, sources::ConfigArgs};
use crate::app::key;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Keep a passphrase under an id, for images whose os_encrypt_key_id it is
    Import(Import),
    /// Print the ids of all keys
    List(List),
    /// Destroy a key: no image that needs it can be read any more
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    #[command(flatten)]
    config: ConfigArgs,
    /// The id, which has no key yet
    #[arg(long, value_name = "UUID")]
    id: String,
    /// File with the passphrase: all of it, but for one line end at its end
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    #[command(flatten)]
    config: ConfigArgs,
    /// The id
    id: String,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Import(args) => {
            let config = args.config.load()?;
            key::import(&config, &args.id, &args.passphrase_file)?;
        }
        Command::List(args) => {
            let mut out = io::stdout();
            for id in key::list(&args.config.load()?)? {
                writeln!(out, "{id}")?;
            }
        }
        Command::Delete(args) => key::delete(&args.config.load()?, &args.id)?,
    }
    Ok(())
}
