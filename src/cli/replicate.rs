//! `fresnel replicate ...`

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, anyhow};
use serde_json::json;

use super::{
    Failure, block_on,
    progress::{Progress, Unit},
};
use crate::{
    app::replicate::{self, Options, Origin, Outcome, Service, Told},
    base::secret::Secret,
};

/// A service is named by what stands before `/v2` of its addresses, as http://images:9292.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say how many images a service has, and how many bytes a dump would be
    Size {
        /// The service
        from: String,
        #[command(flatten)]
        more: Args,
    },
    /// Write the images of a service to a directory that does not have them yet
    Dump {
        /// The service
        from: String,
        /// The directory
        folder: PathBuf,
        #[command(flatten)]
        more: Args,
    },
    /// Bring the images of a directory to a service
    Load {
        /// The service
        to: String,
        /// The directory
        folder: PathBuf,
        #[command(flatten)]
        more: Args,
    },
    /// Bring the images of one service to another
    Livecopy {
        /// The service that has them
        from: String,
        /// The service that is to have them
        to: String,
        #[command(flatten)]
        more: Args,
    },
    /// Say what one service has and another has not, or otherwise; exit code 1 if there is any
    Compare {
        /// The one
        from: String,
        /// The other
        to: String,
        #[command(flatten)]
        more: Args,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file with the token for the service that is read; else FRESNEL_SOURCE_TOKEN or OS_TOKEN
    #[arg(long, value_name = "PATH")]
    source_token_file: Option<PathBuf>,
    /// A file with the token for the service that is written; else FRESNEL_TARGET_TOKEN or OS_TOKEN
    #[arg(long, value_name = "PATH")]
    target_token_file: Option<PathBuf>,
    /// A PEM file with the only authorities to trust
    #[arg(long, value_name = "PATH")]
    ca_file: Option<PathBuf>,
    /// No image data
    #[arg(long)]
    meta_only: bool,
    /// Leave this attribute or property as it is at the target: owner, where projects have other ids
    #[arg(long = "leave-out", value_name = "NAME")]
    left_out: Vec<String>,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Size { from, more } => {
            let (count, bytes) = block_on(replicate::size(&more.source(from)?))?;
            let line = match more.json {
                true => json!({"images": count, "bytes": bytes}).to_string(),
                false => format!("{count} images, {bytes} bytes"),
            };
            writeln!(io::stdout(), "{line}")?;
            Ok(())
        }
        Command::Dump { from, folder, more } => {
            let from = more.source(from)?;
            more.each(async |options, tell| {
                replicate::dump(&from, folder.clone(), options, tell).await
            })
        }
        Command::Load { to, folder, more } => {
            let (from, to) = (Origin::Folder(folder.clone()), more.target(to)?);
            more.each(async |options, tell| replicate::copy(&from, &to, options, tell).await)
        }
        Command::Livecopy { from, to, more } => {
            let (from, to) = (Origin::Service(more.source(from)?), more.target(to)?);
            more.each(async |options, tell| replicate::copy(&from, &to, options, tell).await)
        }
        Command::Compare { from, to, more } => {
            let (from, to) = (more.source(from)?, more.target(to)?);
            more.each(async |options, tell| replicate::compare(&from, &to, options, tell).await)
        }
    }
}

impl Args {
    fn source(&self, url: &str) -> anyhow::Result<Service> {
        self.service(
            url,
            self.source_token_file.as_deref(),
            "FRESNEL_SOURCE_TOKEN",
        )
    }

    fn target(&self, url: &str) -> anyhow::Result<Service> {
        self.service(
            url,
            self.target_token_file.as_deref(),
            "FRESNEL_TARGET_TOKEN",
        )
    }

    fn service(&self, url: &str, file: Option<&Path>, variable: &str) -> anyhow::Result<Service> {
        let token = match file {
            Some(path) => {
                let text = fs::read_to_string(path);
                Some(text.with_context(|| format!("cannot read {}", path.display()))?)
            }
            None => env::var(variable).or_else(|_| env::var("OS_TOKEN")).ok(),
        };
        let token = token.map(|token| token.trim().to_owned());
        Ok(Service {
            url: url.to_owned(),
            token: token.filter(|token| !token.is_empty()).map(Secret::new),
            ca_file: self.ca_file.clone(),
        })
    }

    /// Prints what became of each image.
    fn each(
        &self,
        work: impl AsyncFnOnce(&Options, replicate::Tell<'_>) -> anyhow::Result<()>,
    ) -> Result<(), Failure> {
        let progress = Progress::new(Unit::Bytes, !self.json);
        let line = progress.clone();
        let options = Options {
            meta_only: self.meta_only,
            left_out: self.left_out.clone(),
            progress: Arc::new(move |image: &str, passed_bytes, size_bytes| {
                line.at(image, passed_bytes, Some(size_bytes));
            }),
        };
        let (mut printed, mut out, mut wrong) = (Ok(()), io::stdout(), 0);
        let mut tell = |told: &Told| {
            wrong += u32::from(is_wrong(&told.outcome));
            let line = match self.json {
                true => as_json(told),
                false => as_text(told),
            };
            progress.hide();
            if printed.is_ok() {
                printed = writeln!(out, "{line}");
            }
        };
        block_on(work(&options, &mut tell))?;
        printed?;
        match wrong {
            0 => Ok(()),
            wrong => Err(anyhow!("{wrong} images are not as they should be").into()),
        }
    }
}

fn is_wrong(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Differs(_) | Outcome::Failed(_) | Outcome::Missing => true,
        Outcome::Copied | Outcome::Left(_) | Outcome::Same | Outcome::Updated(_) => false,
    }
}

/// The outcome in a word, and what there is to say of it.
fn words(outcome: &Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Copied => ("copied", None),
        Outcome::Differs(names) => ("differs", Some(names.join(", "))),
        Outcome::Failed(error) => ("failed", Some(error.clone())),
        Outcome::Left(why) => ("left", Some(why.clone())),
        Outcome::Missing => ("missing", None),
        Outcome::Same => ("same", None),
        Outcome::Updated(names) => ("updated", Some(names.join(", "))),
    }
}

fn as_text(told: &Told) -> String {
    let (word, details) = words(&told.outcome);
    let name = told.name.as_deref().unwrap_or("no name");
    let details = details.map_or(String::new(), |details| format!(": {details}"));
    format!("{} ({name}) {word}{details}", told.image)
}

fn as_json(told: &Told) -> String {
    let (word, details) = words(&told.outcome);
    json!({"image": told.image, "name": told.name, "outcome": word, "details": details}).to_string()
}
