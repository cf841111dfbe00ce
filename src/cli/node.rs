//! `fresnel node`

use super::{Failure, block_on, sources::ConfigArgs};
use crate::app;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The image service that this node stands in front of, as https://image.example:9292
    #[arg(long, value_name = "URL")]
    upstream: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load_node()?;
    block_on(app::node(config, &args.upstream))
}
