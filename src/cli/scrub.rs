//! `fresnel scrub`

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::anyhow;
use serde_json::json;

use super::{
    Failure, age, block_on,
    progress::{Progress, Unit},
    sources::ConfigArgs,
};
use crate::app::repair::{self, Found, Outcome, Scrub, Told, Why};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this store
    store: Option<String>,
    /// Also remove what no image has, if it bears the id of an image that is deleted, and both are
    /// older than --older-than
    #[arg(long, requires = "older_than")]
    adopt: bool,
    /// How old: a number with s, m, h or d
    #[arg(long, value_name = "AGE", value_parser = age::parse, requires = "adopt")]
    older_than: Option<Duration>,
    /// Remove nothing, and print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let asked = Scrub {
        store: args.store.clone(),
        adopt: args.older_than.filter(|_| args.adopt),
        dry_run: args.dry_run,
    };
    let mut out = io::stdout();
    let mut printed = Ok(());
    let progress = Progress::new(Unit::Pieces("objects"), !args.json);
    let mut tell = |told: Told<'_>| {
        let found = match told {
            Told::Looked(store, count) => return progress.at(store.as_str(), count, None),
            Told::Found(found) => found,
        };
        progress.hide();
        let line = match args.json {
            true => as_json(found),
            false => as_text(found),
        };
        if printed.is_ok() {
            printed = writeln!(out, "{line}");
        }
    };
    let summary = block_on(repair::scrub(config, asked, &mut tell))?;
    progress.hide();
    printed?;
    if !args.json {
        let word = if args.dry_run {
            "to be removed"
        } else {
            "removed"
        };
        let (removed, unowned) = (summary.removed, summary.unowned);
        writeln!(out, "{removed} {word}, {unowned} that no image has")?;
    }
    for (store, reason) in &summary.unlisted {
        writeln!(io::stderr(), "{store}: not looked at: {reason}")?;
    }
    match summary.kept {
        0 => Ok(()),
        kept => Err(anyhow!("{kept} could not be removed").into()),
    }
}

fn as_text(found: &Found) -> String {
    let size = found.stat.map_or_else(
        || "size unknown".to_owned(),
        |stat| format!("{} B", stat.size_bytes),
    );
    let age = found.stat.and_then(|stat| repair::age(&stat));
    let age = age.map_or_else(|| "age unknown".to_owned(), |age| age::show(age) + " old");
    let image = match (&found.image, found.fate) {
        (None, _) => "no image's name".to_owned(),
        (Some(_), None) => "of an image that we do not know".to_owned(),
        (Some(_), Some(fate)) => format!("of an image that is {}", fate.status),
    };
    let outcome = match &found.outcome {
        Outcome::Removed(why) => format!("removed: {}", reason(*why)),
        Outcome::Removable(why) => format!("to be removed: {}", reason(*why)),
        Outcome::Unowned => "left: no image has it".to_owned(),
        Outcome::Kept(error) => format!("not removed: {error}"),
    };
    let (store, address) = (&found.store, &found.address);
    format!("{store}: {address} ({size}, {age}, {image}) {outcome}")
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::Journal => "a dead upload",
        Why::PendingDelete => "given up by its image",
        Why::Adopted => "its image is deleted",
    }
}

fn as_json(found: &Found) -> String {
    let (outcome, why, error) = match &found.outcome {
        Outcome::Removed(why) => ("removed", Some(*why), None),
        Outcome::Removable(why) => ("removable", Some(*why), None),
        Outcome::Unowned => ("unowned", None, None),
        Outcome::Kept(error) => ("kept", None, Some(error)),
    };
    let why = why.map(|why| match why {
        Why::Journal => "journal",
        Why::PendingDelete => "pending_delete",
        Why::Adopted => "adopted",
    });
    let age = found.stat.and_then(|stat| repair::age(&stat));
    let deleted_at = found.fate.and_then(|fate| fate.deleted_at);
    json!({
        "store": found.store.as_str(),
        "address": found.address,
        "image": found.image.as_ref().map(|image| image.as_str()),
        "image_status": found.fate.map(|fate| fate.status.as_str()),
        "image_deleted_at": deleted_at.map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        "size_bytes": found.stat.map(|stat| stat.size_bytes),
        "age_seconds": age.map(|age| age.as_secs()),
        "outcome": outcome,
        "why": why,
        "error": error,
    })
    .to_string()
}
