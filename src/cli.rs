//! The command line: `fresnel <command>`. Exit codes: 0, 1 for failure, 2 for wrong usage or
//! configuration.

mod age;
mod bench;
mod cache;
mod config;
mod db;
mod demo;
mod generate;
mod image;
mod key;
mod node;
mod policy;
mod progress;
mod purge;
mod replicate;
mod scrub;
mod serve;
mod sources;
mod store;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::config::Errors;

/// The image service of OpenStack, fast.
#[derive(Debug, Parser)]
#[command(name = "fresnel", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the image service
    Serve(serve::Args),
    /// Run a cache node in front of an image service
    Node(node::Args),
    /// Start on a scratch directory, upload, download, verify, and print what it measured
    Demo(demo::Args),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Look at who may do what
    #[command(subcommand)]
    Policy(policy::Command),
    /// Look after the database
    #[command(subcommand)]
    Db(db::Command),
    /// Look at the stores
    #[command(subcommand)]
    Store(store::Command),
    /// Look after images
    #[command(subcommand)]
    Image(image::Command),
    /// Look after the keys of encrypted images, where they are in a directory
    #[command(subcommand)]
    Key(key::Command),
    /// Remove what is ours and dead from the stores, and list what no image has
    Scrub(scrub::Args),
    /// Look after the images on this node's disk
    #[command(subcommand)]
    Cache(cache::Command),
    /// Bring images from one image service to another, or to files and back
    #[command(subcommand)]
    Replicate(replicate::Command),
    /// Measure this machine
    #[command(subcommand)]
    Bench(bench::Command),
    /// Write the manual, and what shells complete from
    #[command(subcommand)]
    Generate(generate::Command),
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// The configuration is wrong.
    Config(Errors),
    /// Something else.
    Other(anyhow::Error),
}

impl From<Errors> for Failure {
    fn from(errors: Errors) -> Self {
        Self::Config(errors)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Does what the process's arguments say.
pub fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Node(args) => node::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Config(command) => config::run(&command),
        Command::Policy(command) => policy::run(command),
        Command::Db(command) => db::run(&command),
        Command::Store(command) => store::run(&command),
        Command::Image(command) => image::run(&command),
        Command::Key(command) => key::run(&command),
        Command::Scrub(args) => scrub::run(&args),
        Command::Cache(command) => cache::run(&command),
        Command::Replicate(command) => replicate::run(&command),
        Command::Bench(command) => bench::run(&command),
        Command::Generate(command) => generate::run(&command),
    };
    // Nobody is left to tell when standard error is gone.
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(errors)) => {
            let _ = writeln!(io::stderr(), "{errors}");
            ExitCode::from(2)
        }
        Err(Failure::Other(error)) => {
            let _ = writeln!(io::stderr(), "fresnel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command that waits for sockets and disks.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }
}
