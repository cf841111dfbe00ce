//! `fresnel store check`

use std::io::{self, Write};

use anyhow::anyhow;
use serde_json::json;

use super::{Failure, block_on, sources::ConfigArgs};
use crate::app::admin::{self, Finding, Verdict};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Try everything that the service needs of its stores, and say what is wrong
    Check(Check),
}

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this store
    store: Option<String>,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Check(check) = command;
    let config = check.config.load()?;
    let checked = block_on(admin::store_check(config, check.store.as_deref()))?;
    let mut out = io::stdout();
    let mut wrong = 0;
    for (store, findings) in &checked {
        for finding in findings {
            let line = match check.json {
                true => as_json(store, finding),
                false => format!("{store}: {finding}"),
            };
            writeln!(out, "{line}")?;
            wrong += usize::from(finding.verdict == Verdict::Wrong);
        }
    }
    match wrong {
        0 => Ok(()),
        1 => Err(anyhow!("one thing is wrong").into()),
        many => Err(anyhow!("{many} things are wrong").into()),
    }
}

fn as_json(store: &str, finding: &Finding) -> String {
    let verdict = match finding.verdict {
        Verdict::Good => "good",
        Verdict::Doubtful => "doubtful",
        Verdict::Wrong => "wrong",
    };
    json!({"store": store, "verdict": verdict, "finding": finding.text}).to_string()
}
