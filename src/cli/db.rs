//! `fresnel db sync`, `fresnel db version` and `fresnel db check`

use std::io::{self, Write};

use super::{Failure, block_on, sources::ConfigArgs};
use crate::app::admin;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create the schema where there is none, and bring our own tables up to date
    Sync(ConfigArgs),
    /// Print the version of the schema
    Version(ConfigArgs),
    /// Say whether the schema is one that this version serves
    Check(ConfigArgs),
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let said = match command {
        Command::Sync(args) => block_on(admin::db_sync(args.load()?))?,
        Command::Version(args) => block_on(admin::db_version(args.load()?))?,
        Command::Check(args) => block_on(admin::db_check(args.load()?))?,
    };
    writeln!(io::stdout(), "{said}")?;
    Ok(())
}
