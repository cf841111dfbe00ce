//! `fresnel image sign` and `fresnel image verify`

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use crate::{
    app::signature::{self, Order},
    cli::{
        Failure,
        progress::{Progress, Unit},
    },
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Sign {
    /// The image
    file: PathBuf,
    /// File with the private key, in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File with the key's passphrase in its first line
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// File with the key's certificate, in PEM or DER
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The certificate's id in the key manager
    #[arg(long, value_name = "UUID")]
    certificate_id: String,
    /// SHA-224, SHA-256, SHA-384 or SHA-512
    #[arg(long, default_value = "SHA-512")]
    hash_method: String,
    /// Print JSON, one object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Verify {
    /// The image
    file: PathBuf,
    /// File with the certificate, in PEM or DER
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// File with the image's properties: what `sign` prints, or the image itself in JSON
    #[arg(long, value_name = "FILE")]
    properties: PathBuf,
    /// Print JSON, one object
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn sign(args: &Sign) -> Result<(), Failure> {
    let order = Order {
        image: &args.file,
        key: &args.key,
        passphrase: args.passphrase_file.as_deref(),
        certificate: &args.certificate,
        certificate_id: &args.certificate_id,
        hash_method: &args.hash_method,
    };
    let properties = signature::sign(order, &mut reading(&args.file, args.json))?;
    let mut out = io::stdout();
    if args.json {
        let named = properties.map(|(name, value)| (name.to_owned(), Value::from(value)));
        writeln!(out, "{}", Value::Object(named.into_iter().collect()))?;
        return Ok(());
    }
    for (name, value) in properties {
        writeln!(out, "{name}={value}")?;
    }
    Ok(())
}

pub(in crate::cli) fn verify(args: &Verify) -> Result<(), Failure> {
    let properties = properties(&args.properties)?;
    let mut watch = reading(&args.file, args.json);
    signature::verify(&args.file, &args.certificate, &properties, &mut watch)?;
    let file = args.file.display();
    let line = match args.json {
        true => json!({"file": file.to_string(), "signature": "good"}).to_string(),
        false => format!("the signature of {file} is good"),
    };
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}

/// Shows how far the reading of the file is.
fn reading(path: &Path, json: bool) -> impl FnMut(u64, u64) {
    let progress = Progress::new(Unit::Bytes, !json);
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    move |read_bytes, size_bytes| match read_bytes < size_bytes {
        true => progress.at(&name, read_bytes, Some(size_bytes)),
        false => progress.hide(),
    }
}

/// Lines of `name=value`, or an object of JSON.
fn properties(path: &Path) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    if !text.trim_start().starts_with('{') {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let own = pairs.map(|(name, value)| (name.trim().to_owned(), Some(value.to_owned())));
        return Ok(own.collect());
    }
    let json: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let object = json
        .as_object()
        .ok_or_else(|| anyhow!("{}: no object", path.display()))?;
    let own = object.iter().filter_map(|(name, value)| {
        let value = Some(value.as_str()?.to_owned());
        Some((name.clone(), value))
    });
    Ok(own.collect())
}
