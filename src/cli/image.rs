//! `fresnel image`: mends images, and signs them.

mod signature;

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::anyhow;
use serde_json::{Value, json};

use super::{Failure, age, block_on, sources::ConfigArgs};
use crate::{
    app::repair::{self, Mended, Mending},
    model::ImageId,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Queue images again that somebody left in saving, uploading or importing, and remove what there
    /// is of their data. None of them is this service's own
    Recover(Recover),
    /// Make a deleted image active again whose data still waits for the scrubber (delayed_delete)
    Restore(Restore),
    /// Sign an image file, and print the four properties that its image needs
    Sign(signature::Sign),
    /// Verify the signature of an image file as the service would
    Verify(signature::Verify),
}

#[derive(Debug, clap::Args)]
pub(super) struct Recover {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only images of which nothing has moved for this long: a number with s, m, h or d. Longer than
    /// the longest upload and import
    #[arg(long, value_name = "AGE", value_parser = age::parse)]
    older_than: Duration,
    /// Change nothing, and print what would be changed
    #[arg(long)]
    dry_run: bool,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    #[command(flatten)]
    config: ConfigArgs,
    /// Its id
    image: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Recover(args) => recover(args),
        Command::Sign(args) => signature::sign(args),
        Command::Verify(args) => signature::verify(args),
        Command::Restore(args) => {
            let image = ImageId::new(args.image.as_str());
            block_on(repair::restore(args.config.load()?, &image))?;
            let line = match args.json {
                true => json!({"image": image.as_str(), "status": "active"}).to_string(),
                false => format!("image {image} is active"),
            };
            writeln!(io::stdout(), "{line}")?;
            Ok(())
        }
    }
}

fn recover(args: &Recover) -> Result<(), Failure> {
    let config = args.config.load()?;
    let mut out = io::stdout();
    let mut printed = Ok(());
    let mut failed = 0;
    let mut tell = |mended: &Mended| {
        failed += u32::from(matches!(mended.outcome, Mending::Failed(_)));
        let line = match args.json {
            true => as_json(mended),
            false => as_text(mended),
        };
        if printed.is_ok() {
            printed = writeln!(out, "{line}");
        }
    };
    block_on(repair::recover(
        config,
        args.older_than,
        args.dry_run,
        &mut tell,
    ))?;
    printed?;
    match failed {
        0 => Ok(()),
        failed => Err(anyhow!("{failed} could not be mended").into()),
    }
}

fn as_text(mended: &Mended) -> String {
    let outcome = match &mended.outcome {
        Mending::Queued => "is queued again".to_owned(),
        Mending::Mendable => "would be queued again".to_owned(),
        Mending::Moves(what) => format!("is left: {what} moved not long ago"),
        Mending::Failed(error) => format!("is left: {error}"),
    };
    let mut text = format!("{} was {} and {outcome}", mended.image, mended.was);
    for (place, size_bytes) in &mended.bytes {
        let size = size_bytes.map_or("unknown".to_owned(), |bytes| bytes.to_string());
        text += &format!("; {place} ({size} B)");
    }
    for store in &mended.unlisted {
        text += &format!("; {store} cannot be looked into");
    }
    text
}

fn as_json(mended: &Mended) -> String {
    let (outcome, reason) = match &mended.outcome {
        Mending::Queued => ("queued", None),
        Mending::Mendable => ("mendable", None),
        Mending::Moves(what) => ("left", Some(format!("{what} moved not long ago"))),
        Mending::Failed(error) => ("failed", Some(error.clone())),
    };
    let bytes = mended.bytes.iter();
    let bytes = bytes.map(|(place, size_bytes)| json!({"place": place, "size_bytes": size_bytes}));
    let unlisted = mended.unlisted.iter().map(|store| store.as_str());
    json!({
        "image": mended.image.as_str(),
        "was": mended.was.as_str(),
        "outcome": outcome,
        "reason": reason,
        "bytes": Value::from_iter(bytes),
        "unlisted": Value::from_iter(unlisted),
    })
    .to_string()
}
