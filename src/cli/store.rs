//! `fresnel store check`

use std::io::{self, Write};

use anyhow::anyhow;

use super::{Failure, block_on, sources::ConfigArgs};
use crate::app::admin::{self, Verdict};

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
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Check(check) = command;
    let config = check.config.load()?;
    let checked = block_on(admin::store_check(config, check.store.as_deref()))?;
    let mut out = io::stdout();
    let mut wrong = 0;
    for (store, findings) in &checked {
        for finding in findings {
            writeln!(out, "{store}: {finding}")?;
            wrong += usize::from(finding.verdict == Verdict::Wrong);
        }
    }
    match wrong {
        0 => Ok(()),
        1 => Err(anyhow!("one thing is wrong").into()),
        many => Err(anyhow!("{many} things are wrong").into()),
    }
}
