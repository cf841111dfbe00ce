//! `fresnel demo`

use std::sync::Arc;

use super::{
    Failure, block_on,
    progress::{Progress, Unit},
    sources::ConfigArgs,
};
use crate::app;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let progress = Progress::new(Unit::Bytes, true);
    let watch = Arc::new(
        move |what: &str, done: u64, whole: u64| match done < whole {
            true => progress.at(what, done, Some(whole)),
            false => progress.hide(),
        },
    );
    block_on(app::demo(config, watch))
}
