//! `fresnel db ...`

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::anyhow;
use serde_json::{Value, json};

use super::{Failure, block_on, purge, sources::ConfigArgs};
use crate::app::admin::{self, LoadMode, Looked, Readiness};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create the schema where there is none, and bring our own tables up to date
    Sync(PlainArgs),
    /// Print the version of the schema
    Version(PlainArgs),
    /// Say whether the schema is one that this version serves
    Check(PlainArgs),
    /// Say whether this version can take over: the configuration, the policy, the database and what
    /// others have under way in it
    UpgradeCheck(PlainArgs),
    /// Remove rows that have been deleted for long, of all tables but the images'
    Purge(purge::Args),
    /// Remove rows of the images table that have been deleted for long. Their ids may be used again
    #[command(alias = "purge_images_table")]
    PurgeImagesTable(purge::Args),
    /// Load metadata definitions from Glance's JSON files; a namespace that is there stays as it is
    #[command(alias = "load_metadefs")]
    LoadMetadefs(LoadArgs),
    /// Remove all metadata definitions
    #[command(alias = "unload_metadefs")]
    UnloadMetadefs(UnloadArgs),
    /// Write all metadata definitions to JSON files, one a namespace
    #[command(alias = "export_metadefs")]
    ExportMetadefs(ExportArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct PlainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct UnloadArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Remove nothing, and print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The directory to write to
    #[arg(long, default_value = DEFAULT_PATH)]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
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
    let (json, done) = match command {
        Command::Sync(args) => (args.json, block_on(admin::db_sync(args.config.load()?))?),
        Command::Version(args) => (args.json, block_on(admin::db_version(args.config.load()?))?),
        Command::Check(args) => (args.json, block_on(admin::db_check(args.config.load()?))?),
        Command::UpgradeCheck(args) => return upgrade_check(args),
        Command::Purge(args) => return purge::rows(args),
        Command::PurgeImagesTable(args) => return purge::images(args),
        Command::LoadMetadefs(args) => {
            let (config, path) = (args.config.load()?, &args.path);
            let loaded = block_on(admin::metadefs_load(config, path, args.mode()))?;
            (args.json, loaded)
        }
        Command::UnloadMetadefs(args) => {
            let config = args.config.load()?;
            (
                args.json,
                block_on(admin::metadefs_unload(config, args.dry_run))?,
            )
        }
        Command::ExportMetadefs(args) => {
            let config = args.config.load()?;
            (
                args.json,
                block_on(admin::metadefs_export(config, &args.path))?,
            )
        }
    };
    let line = match json {
        true => done.facts.to_string(),
        false => done.sentence,
    };
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

fn upgrade_check(args: &PlainArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    let looked = block_on(async { Ok(admin::upgrade_check(config).await) })?;
    let text = match args.json {
        true => format!("{:#}\n", Value::from_iter(looked.iter().map(as_json))),
        false => looked.iter().map(as_text).collect(),
    };
    io::stdout().write_all(text.as_bytes())?;
    let is_wrong = |looked: &Looked| matches!(looked.found, Readiness::NotReady(_));
    match looked.iter().any(is_wrong) {
        true => Err(anyhow!("this version cannot take over").into()),
        false => Ok(()),
    }
}

fn as_text(looked: &Looked) -> String {
    let (word, details) = words(&looked.found);
    match details {
        None => format!("{}: {word}\n", looked.what),
        Some(details) => format!("{}: {word}: {details}\n", looked.what),
    }
}

fn as_json(looked: &Looked) -> Value {
    let (word, details) = words(&looked.found);
    json!({"check": looked.what, "result": word, "details": details})
}

fn words(found: &Readiness) -> (&'static str, Option<&str>) {
    match found {
        Readiness::Ready => ("ready", None),
        Readiness::Warning(text) => ("warning", Some(text)),
        Readiness::NotReady(text) => ("not ready", Some(text)),
    }
}
