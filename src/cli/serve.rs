//! `fresnel serve`

use super::{Failure, block_on, sources::ConfigArgs};
use crate::app;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    block_on(app::serve(config))
}
