//! `fresnel db ...`

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::{Failure, block_on, sources::ConfigArgs};
use crate::app::admin::{self, LoadMode};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create the schema where there is none, and bring our own tables up to date
    Sync(ConfigArgs),
    /// Print the version of the schema
    Version(ConfigArgs),
    /// Say whether the schema is one that this version serves
    Check(ConfigArgs),
    /// Load metadata definitions from Glance's JSON files; a namespace that is there stays as it is
    LoadMetadefs(LoadArgs),
    /// Remove all metadata definitions
    UnloadMetadefs(ConfigArgs),
    /// Write all metadata definitions to JSON files, one a namespace
    ExportMetadefs(ExportArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A file, or a directory of *.json files
    #[arg(long, default_value = DEFAULT_PATH)]
    path: PathBuf,
    /// Give a namespace that is there what it lacks
    #[arg(long)]
    merge: bool,
    /// With --merge: take the file's where both have something
    #[arg(
        long,
        alias = "prefer_new",
        requires = "merge",
        conflicts_with = "overwrite"
    )]
    prefer_new: bool,
    /// With --merge: make a namespace that is there anew
    #[arg(long, requires = "merge")]
    overwrite: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The directory to write to
    #[arg(long, default_value = DEFAULT_PATH)]
    path: PathBuf,
}

/// Where Glance has them.
const DEFAULT_PATH: &str = "/etc/glance/metadefs";

impl LoadArgs {
    fn mode(&self) -> LoadMode {
        match (self.merge, self.prefer_new, self.overwrite) {
            (true, true, _) => LoadMode::PreferNew,
            (true, _, true) => LoadMode::Overwrite,
            (true, ..) => LoadMode::Merge,
            (false, ..) => LoadMode::Skip,
        }
    }
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let said = match command {
        Command::Sync(args) => block_on(admin::db_sync(args.load()?))?,
        Command::Version(args) => block_on(admin::db_version(args.load()?))?,
        Command::Check(args) => block_on(admin::db_check(args.load()?))?,
        Command::LoadMetadefs(args) => block_on(admin::metadefs_load(
            args.config.load()?,
            &args.path,
            args.mode(),
        ))?,
        Command::UnloadMetadefs(args) => block_on(admin::metadefs_unload(args.load()?))?,
        Command::ExportMetadefs(args) => {
            block_on(admin::metadefs_export(args.config.load()?, &args.path))?
        }
    };
    writeln!(io::stdout(), "{said}")?;
    Ok(())
}
