//! `fresnel db purge` and `fresnel db purge-images-table`

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    Failure, block_on,
    progress::{Progress, Unit},
    sources::ConfigArgs,
};
use crate::app::admin::{self, Purge, PurgeOutcome, Purged};

const DAY: Duration = Duration::from_secs(86400);
/// A century: what is older is a mistake.
const DAYS_MAX: i64 = 36500;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Rows that have been deleted for so many days [default: 30, of the images table 180]
    #[arg(long, alias = "age_in_days", value_parser = clap::value_parser!(u32).range(0..=DAYS_MAX))]
    age_in_days: Option<u32>,
    /// No more rows of each table, the oldest first; -1 for all
    #[arg(
        long,
        alias = "max_rows",
        default_value_t = 100,
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(-1..)
    )]
    max_rows: i64,
    /// Remove nothing, and print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Purges all tables but the images'.
pub(super) fn rows(args: &Args) -> Result<(), Failure> {
    run(args, &Purged::WITHOUT_IMAGES, 30)
}

/// Purges the images' table.
pub(super) fn images(args: &Args) -> Result<(), Failure> {
    run(args, &[Purged::Images], 180)
}

fn run(args: &Args, tables: &[Purged], default_days: u32) -> Result<(), Failure> {
    let days = args.age_in_days.unwrap_or(default_days);
    let options = Purge {
        older_than: DAY * days,
        rows_max: u64::try_from(args.max_rows).ok(),
        dry_run: args.dry_run,
    };
    let progress = Progress::new(Unit::Pieces("rows"), !args.json);
    let mut tell = |table: Purged, removed: u64| progress.at(table.table(), removed, None);
    let purged = block_on(admin::db_purge(
        args.config.load()?,
        tables,
        &options,
        &mut tell,
    ))?;
    progress.hide();
    let text = match args.json {
        true => format!("{:#}\n", as_json(&purged, days, args.dry_run)),
        false => purged
            .iter()
            .map(|one| as_text(one, args.dry_run))
            .collect(),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn as_text(one: &PurgeOutcome, dry_run: bool) -> String {
    let done = if dry_run {
        "would be removed"
    } else {
        "removed"
    };
    let why = match (one.kept, one.table) {
        (0, _) => String::new(),
        (kept, Purged::Images) => format!(
            "; {kept} are as old and stay: other tables have rows of them (`fresnel db purge`), or \
             their data waits for `fresnel scrub`"
        ),
        (kept, _) => format!("; {kept} are as old and stay: their data waits for `fresnel scrub`"),
    };
    format!("{}: {} rows {done}{why}\n", one.table.table(), one.removed)
}

fn as_json(purged: &[PurgeOutcome], days: u32, dry_run: bool) -> Value {
    let tables = purged
        .iter()
        .map(|one| json!({"table": one.table.table(), "removed": one.removed, "kept": one.kept}));
    json!({
        "dry_run": dry_run,
        "age_in_days": days,
        "tables": Value::from_iter(tables),
    })
}
