//! `fresnel key`: the keys of encrypted images in the directory `[fresnel] keyring_dir`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde_json::json;
use uuid::Uuid;

use super::{Failure, sources::ConfigArgs};
use crate::{app::key, model::ImageId};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Keep a passphrase under an id, for images whose os_encrypt_key_id it is
    Import(Import),
    /// Keep a key's passphrase under another id too, for images that are to have a key of their own
    Copy(Copy),
    /// Print the ids of all keys
    List(List),
    /// Destroy a key: no image that needs it can be read any more
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    #[command(flatten)]
    config: ConfigArgs,
    /// The id, which has no key yet
    #[arg(long, value_name = "UUID")]
    id: String,
    /// File with the passphrase: all of it, but for one line end at its end
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
    /// The one image that it is for: the key is destroyed with it, if its
    /// os_encrypt_key_deletion_policy is on_image_deletion
    #[arg(long, value_name = "UUID")]
    image: Option<Uuid>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Copy {
    #[command(flatten)]
    config: ConfigArgs,
    /// The id that has the key
    from: String,
    /// The other id, which has no key yet
    to: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    #[command(flatten)]
    config: ConfigArgs,
    /// The id
    id: String,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Import(args) => {
            let config = args.config.load()?;
            let image = args.image.map(|image| ImageId::new(image.to_string()));
            key::import(&config, &args.id, &args.passphrase_file, image.as_ref())?;
        }
        Command::Copy(args) => key::copy(&args.config.load()?, &args.from, &args.to)?,
        Command::List(args) => {
            let mut out = io::stdout();
            for id in key::list(&args.config.load()?)? {
                match args.json {
                    true => writeln!(out, "{}", json!({"id": id}))?,
                    false => writeln!(out, "{id}")?,
                }
            }
        }
        Command::Delete(args) => key::delete(&args.config.load()?, &args.id)?,
    }
    Ok(())
}
