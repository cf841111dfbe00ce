//! `fresnel replicate`: images of one service brought to another, or to files and back. What
//! `glance-replicator` did over an API that is no more, this does over v2, between any two services.
//!
//! Bytes are hashed on their way and compared with what the source says of them, before the last of
//! them is handed on: what came damaged is nowhere taken for the image.

mod folder;
mod transit;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use futures_util::stream::BoxStream;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    client::remote::{self, Remote},
    data::digest::Engine,
};
use folder::Folder;
use transit::{Checked, Piece};

pub use crate::client::remote::Config as Service;

/// The images of one page of a list.
const PAGE: u32 = 100;

/// What a service says of an image and nobody sets.
const READ_ONLY: [&str; 14] = [
    "checksum",
    "created_at",
    "direct_url",
    "file",
    "locations",
    "os_hash_algo",
    "os_hash_value",
    "schema",
    "self",
    "size",
    "status",
    "stores",
    "updated_at",
    "virtual_size",
];
/// How names of properties begin that are a service's own.
const RESERVED: &str = "os_glance";

/// Hears of an image how many of its bytes have passed, and how many they are.
pub type Progress = Arc<dyn Fn(&str, u64, u64) + Send + Sync>;

/// Hears what became of an image.
pub type Tell<'a> = &'a mut (dyn FnMut(&Told) + Send);

/// What the operator wants.
#[derive(Clone)]
pub struct Options {
    /// No image data.
    pub meta_only: bool,
    /// Attributes and properties that are left as they are at the target.
    pub left_out: Vec<String>,
    /// Hears how far it is.
    pub progress: Progress,
}

/// An end from which images come.
pub enum Origin {
    /// A service.
    Service(Service),
    /// A directory that [`dump`] has written.
    Folder(PathBuf),
}

/// What became of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its id.
    pub image: String,
    /// Its name.
    pub name: Option<String>,
    /// What.
    pub outcome: Outcome,
}

/// What became of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is at the target now.
    Copied,
    /// It was there, and these of its attributes are the source's now.
    Updated(Vec<String>),
    /// It was there, as it is.
    Same,
    /// These of its attributes differ at the target.
    Differs(Vec<String>),
    /// It is not at the target.
    Missing,
    /// It is in this status at one of the ends, and left.
    Left(String),
    /// Why it could not be done.
    Failed(String),
}

/// How many images a service has that a dump would have, and how many bytes they are.
///
/// # Errors
/// The service's.
pub async fn size(service: &Service) -> anyhow::Result<(u64, u64)> {
    let mut source = Source::of(&Origin::Service(service.clone()))?;
    let (mut count, mut sum_bytes) = (0, 0);
    while let Some(image) = source.next().await? {
        if image["status"] == "active" {
            count += 1;
            sum_bytes += size_of(&image);
        }
    }
    Ok((count, sum_bytes))
}

/// Writes what the directory does not have yet.
///
/// # Errors
/// The source's. What fails with one image is told.
pub async fn dump(
    from: &Service,
    to: PathBuf,
    options: &Options,
    tell: Tell<'_>,
) -> anyhow::Result<()> {
    let engine = Engine::new(1).context("no thread for digests")?;
    let mut source = Source::of(&Origin::Service(from.clone()))?;
    let folder = Folder::make(to)?;
    while let Some(image) = source.next().await? {
        let outcome = match folder.has(&image, options.meta_only) {
            true => Ok(Outcome::Same),
            false => Box::pin(write(&source, &folder, &image, options, &engine)).await,
        };
        tell(&told(&image, outcome));
    }
    Ok(())
}

/// Brings the images to a service that it does not have, and what has changed of those that it has.
///
/// # Errors
/// The source's. What fails with one image is told.
pub async fn copy(
    from: &Origin,
    to: &Service,
    options: &Options,
    tell: Tell<'_>,
) -> anyhow::Result<()> {
    let engine = Engine::new(1).context("no thread for digests")?;
    let mut source = Source::of(from)?;
    let target = Remote::new(to)?;
    while let Some(image) = source.next().await? {
        let outcome = Box::pin(bring(&source, &target, &image, options, &engine)).await;
        tell(&told(&image, outcome));
    }
    Ok(())
}

/// Says what differs, and changes nothing.
///
/// # Errors
/// The source's. What fails with one image is told.
pub async fn compare(
    from: &Service,
    to: &Service,
    options: &Options,
    tell: Tell<'_>,
) -> anyhow::Result<()> {
    let mut source = Source::of(&Origin::Service(from.clone()))?;
    let target = Remote::new(to)?;
    while let Some(image) = source.next().await? {
        let outcome = match find(&target, &image).await {
            Err(error) => Err(error),
            Ok(None) => Ok(match image["status"] == "active" {
                true => Outcome::Missing,
                false => left("source", &image),
            }),
            Ok(Some(there)) => {
                let mut names = difference(&image, &there, options);
                names.extend(other_data(&image, &there));
                Ok(match names.is_empty() {
                    true => Outcome::Same,
                    false => Outcome::Differs(names),
                })
            }
        };
        tell(&told(&image, outcome));
    }
    Ok(())
}

fn told(image: &Value, outcome: anyhow::Result<Outcome>) -> Told {
    let text = |name: &str| image[name].as_str().map(str::to_owned);
    Told {
        image: text("id").unwrap_or_default(),
        name: text("name"),
        outcome: outcome.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}"))),
    }
}

/// Images, one after the other.
enum Source {
    /// The service, its page, and where the next one is. Hidden images come after the others.
    Service {
        remote: Remote,
        page: Vec<Value>,
        next: Vec<String>,
    },
    Folder {
        folder: Folder,
        ids: Vec<String>,
    },
}

impl Source {
    fn of(from: &Origin) -> anyhow::Result<Self> {
        Ok(match from {
            Origin::Service(service) => {
                let list = |hidden: bool| {
                    format!("/v2/images?limit={PAGE}&sort=id:asc&visibility=all&os_hidden={hidden}")
                };
                Self::Service {
                    remote: Remote::new(service)?,
                    page: Vec::new(),
                    next: vec![list(true), list(false)],
                }
            }
            Origin::Folder(path) => {
                let folder = Folder::open(path.clone());
                let ids = folder.ids()?;
                Self::Folder { folder, ids }
            }
        })
    }

    async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        match self {
            Self::Folder { folder, ids } => ids.pop().map(|id| folder.read(&id)).transpose(),
            Self::Service { remote, page, next } => loop {
                if let Some(image) = page.pop() {
                    return Ok(Some(image));
                }
                let Some(path) = next.pop() else {
                    return Ok(None);
                };
                let mut list = remote.get(&path).await.context("the source's list")?;
                next.extend(list["next"].as_str().map(str::to_owned));
                if let Value::Array(images) = list["images"].take() {
                    page.extend(images.into_iter().rev());
                }
            },
        }
    }

    async fn open(&self, image: &Value) -> anyhow::Result<BoxStream<'static, Piece>> {
        Ok(match self {
            Self::Folder { folder, .. } => folder.bytes(id_of(image)).await?,
            Self::Service { remote, .. } => {
                let path = format!("{}/file", path_of(image));
                Box::pin(remote.read(&path).await.context("the source")?)
            }
        })
    }
}

/// Brings one image to the target.
async fn bring(
    source: &Source,
    target: &Remote,
    image: &Value,
    options: &Options,
    engine: &Engine,
) -> anyhow::Result<Outcome> {
    if image["status"] != "active" {
        return Ok(left("source", image));
    }
    let there = match find(target, image).await? {
        None if options.meta_only => return Ok(Outcome::Missing),
        None => {
            let new = settable(image, options, true);
            let made = target.post("/v2/images", &Value::Object(new)).await;
            made.context("the target takes no such image")?
        }
        Some(there) => there,
    };
    match there["status"].as_str() {
        // New, or what a copy has left that was ended in the middle.
        Some("queued") if !options.meta_only => {}
        Some("active" | "deactivated") => return update(target, image, &there, options).await,
        _ => return Ok(left("target", &there)),
    }
    let bytes = Checked::new(source.open(image).await?, image, engine, &options.progress)?;
    let path = path_of(image);
    let file = format!("{path}/file");
    let sent = target.write(&file, size_of(image), bytes.stream());
    sent.await.context("the data was not taken")?;
    let now = target.get(&path).await.context("the target")?;
    anyhow::ensure!(
        now["status"] == "active" && other_data(image, &now).is_none(),
        "the target has other data: {} {}",
        now["status"],
        now["checksum"]
    );
    Ok(Outcome::Copied)
}

async fn update(
    target: &Remote,
    image: &Value,
    there: &Value,
    options: &Options,
) -> anyhow::Result<Outcome> {
    if let Some(name) = other_data(image, there) {
        return Ok(Outcome::Differs(vec![name]));
    }
    let names = difference(image, there, options);
    if names.is_empty() {
        return Ok(Outcome::Same);
    }
    let change = |name: &String| {
        let op = match there.get(name) {
            Some(_) => "replace",
            None => "add",
        };
        json!({"op": op, "path": format!("/{}", escaped(name)), "value": image[name]})
    };
    let changes: Value = names.iter().map(change).collect();
    let changed = target.patch(&path_of(image), &changes).await;
    changed.context("the target takes no such change")?;
    Ok(Outcome::Updated(names))
}

/// Writes one image to the directory: what is said of it last, so that it counts as there with its
/// data.
async fn write(
    source: &Source,
    folder: &Folder,
    image: &Value,
    options: &Options,
    engine: &Engine,
) -> anyhow::Result<Outcome> {
    let id = id_of(image);
    anyhow::ensure!(Uuid::try_parse(id).is_ok(), "its id is no UUID");
    if image["status"] == "active" && !options.meta_only {
        let bytes = Checked::new(source.open(image).await?, image, engine, &options.progress)?;
        folder.write_bytes(id, bytes.stream()).await?;
    }
    folder.write(id, image)?;
    Ok(Outcome::Copied)
}

/// The image at the target, if it is there for us.
async fn find(target: &Remote, image: &Value) -> anyhow::Result<Option<Value>> {
    match target.get(&path_of(image)).await {
        Ok(there) => Ok(Some(there)),
        Err(error) if remote::Error::is_missing(&error) => Ok(None),
        Err(error) => Err(error).context("the target"),
    }
}

/// What of an image may be set, by whoever makes it or changes it.
fn settable(image: &Value, options: &Options, new: bool) -> Map<String, Value> {
    let own = |name: &str| {
        READ_ONLY.contains(&name)
            || name.starts_with(RESERVED)
            || options.left_out.iter().any(|other| other == name)
            || (name == "id" && !new)
    };
    let members = image.as_object().into_iter().flatten();
    let members = members.filter(|(name, value)| !own(name) && !value.is_null());
    let members = members.map(|(name, value)| (name.clone(), value.clone()));
    members.collect()
}

/// What the source says and the target does not, or otherwise.
fn difference(image: &Value, there: &Value, options: &Options) -> Vec<String> {
    let same = |one: &Value, other: &Value| match (one, other) {
        // Tags have no order.
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().all(|tag| other.contains(tag))
        }
        _ => one == other,
    };
    let members = settable(image, options, false).into_iter();
    let members = members.filter(|(name, value)| !same(value, &there[name]));
    members.map(|(name, _)| name).collect()
}

/// What shows that it is the same image by its id alone.
fn other_data(image: &Value, there: &Value) -> Option<String> {
    let name = "checksum";
    let (one, other) = (&image[name], &there[name]);
    (one != other && !one.is_null() && !other.is_null()).then(|| name.to_owned())
}

fn left(which: &str, image: &Value) -> Outcome {
    let status = image["status"].as_str().unwrap_or_default();
    Outcome::Left(format!("{status} at the {which}"))
}

fn id_of(image: &Value) -> &str {
    image["id"].as_str().unwrap_or_default()
}

fn path_of(image: &Value) -> String {
    format!("/v2/images/{}", id_of(image))
}

fn size_of(image: &Value) -> u64 {
    image["size"].as_u64().unwrap_or(0)
}

/// As a step of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
