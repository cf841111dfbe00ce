//! What the import plugins make of an image on its way in: unpacked, converted, or as it is. The result
//! is a source like any other, so the stores get it in the one pass that computes the digests.
//!
//! Nothing is copied where it need not be: what is packed is unpacked while it passes, and the disk of
//! a qcow2 image is read by its tables. To be converted, an image must be a file: one that comes as a
//! stream, or is packed, becomes one first, and so does what `qemu-img` makes of it. Such files go with
//! their [`Made`].

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{runtime::Handle, task::spawn_blocking, time::Instant};
use tracing::warn;

use super::{
    DeclaredSize, Error, Expect, Result, Source,
    convert::{
        RawDisk,
        blocks::{FileBlocks, FileSource},
        qcow2::Damage,
        qemu,
    },
    decompress::Unpacked,
    inspect::{Format, FormatError, Inspection, Warning},
};
use crate::base::pace::Pace;

/// The container in which nothing is unpacked.
const COMPRESSED: &str = "compressed";
/// What a converted image is in.
const BARE: &str = "bare";

/// Which plugins are at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plugins {
    /// `image_decompression`
    pub decompress: bool,
    /// `image_conversion`, to that format.
    pub convert: Option<Format>,
}

impl Plugins {
    /// Whether there is anything to do.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// Where an image's bytes are before the plugins.
pub enum Incoming {
    /// In a file, which stays as it is.
    File(PathBuf),
    /// On their way, and how many, if that is known.
    Stream(Box<dyn Source>, DeclaredSize),
}

/// What plugins must know of an image.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it must be.
    pub expect: Expect,
    /// Neither it nor what is made of it may have more bytes.
    pub limit_bytes: u64,
    /// Of a stream that becomes a file: less is [`Error::TooSlow`]; 0 is off.
    pub min_rate_bytes_per_second: u64,
    /// How the names of files begin that are made on the way.
    pub scratch: PathBuf,
}

/// What goes to the stores.
pub struct Made {
    /// The bytes.
    pub source: Box<dyn Source>,
    /// How many, where that is known before.
    pub size: DeclaredSize,
    /// What they are; the image is that from now on.
    pub disk_format: String,
    /// In what.
    pub container_format: String,
    /// Files that are of no use afterwards.
    _files: Vec<Scratch>,
}

#[async_trait]
impl Source for Made {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.source.next().await
    }
}

impl Made {
    /// All of a file, from now on.
    async fn reads(&mut self, path: &Path) -> Result<()> {
        let (source, size) = source(path).await?;
        self.source = Box::new(source);
        self.size = size;
        Ok(())
    }
}

/// A file that goes with this.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.0);
        let remove = move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %path.display(), %error, "A file of an import stays behind");
            }
            _ => {}
        };
        // Its filesystem may hang.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Opens an image through the plugins.
///
/// # Errors
/// [`Error::Format`] for an image that is not what it says or not safe, where conversion looks at it;
/// [`Error::TooLarge`]; [`Error::Client`] for what is damaged or cannot be converted.
pub async fn open(plugins: Plugins, incoming: Incoming, job: &Job) -> Result<Made> {
    let expect = &job.expect;
    let (mut stream, mut size, file): (Box<dyn Source>, _, _) = match incoming {
        Incoming::File(path) => {
            let (source, size) = source(&path).await?;
            (Box::new(source), size, Some(path))
        }
        Incoming::Stream(stream, size) => (stream, size, None),
    };
    let mut is_packed = false;
    if plugins.decompress && expect.container_format != COMPRESSED {
        let unpacked = Unpacked::open(stream).await.map_err(Error::Client)?;
        is_packed = unpacked.is_packed();
        stream = Box::new(unpacked);
    }
    if is_packed {
        size = DeclaredSize::Unknown;
    }
    let mut made = Made {
        source: stream,
        size,
        disk_format: expect.disk_format.clone(),
        container_format: expect.container_format.clone(),
        _files: Vec::new(),
    };
    let Some(target) = plugins.convert else {
        return Ok(made);
    };
    let path = match file {
        Some(path) if !is_packed => path,
        _ => {
            let path = named(&job.scratch, "uc");
            made._files.push(Scratch(path.clone()));
            write(made.source.as_mut(), &path, job).await?;
            path
        }
    };
    made.reads(&path).await?;
    convert(made, job, &path, target).await
}

/// Converts what is at `path`, if it is not what it should become.
async fn convert(mut made: Made, job: &Job, path: &Path, target: Format) -> Result<Made> {
    let detected = inspect(path, &job.expect).await?;
    if detected == target || detected == Format::Iso {
        return Ok(made);
    }
    made.disk_format = target.name().to_owned();
    made.container_format = BARE.to_owned();
    let limit_bytes = job.limit_bytes;
    if (detected, target) == (Format::Qcow2, Format::Raw) {
        let blocks = FileBlocks::new(file(path).await?.0);
        match RawDisk::open(blocks, limit_bytes).await {
            Ok(disk) => {
                made.size = DeclaredSize::Exact(disk.disk_bytes());
                made.source = Box::new(disk);
                return Ok(made);
            }
            Err(error) => match damage(&error) {
                Some(Damage::Unsupported(_)) => {}
                Some(Damage::TooLarge) => return Err(Error::TooLarge { limit_bytes }),
                _ => return Err(Error::Client(error)),
            },
        }
    }
    let converted = named(&job.scratch, target.name());
    made._files.push(Scratch(converted.clone()));
    let done = qemu::convert(path, detected, &converted, target, limit_bytes).await;
    done.map_err(|error| {
        // It names paths of this host, which are not for users.
        warn!(path = %path.display(), %error, "An image cannot be converted");
        Error::Client(io::Error::new(
            io::ErrorKind::InvalidData,
            NotConverted(target),
        ))
    })?;
    made.reads(&converted).await?;
    Ok(made)
}

/// `qemu-img` has failed; the log says why.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the image cannot be converted to {}", .0.name())]
struct NotConverted(Format);

/// What a file is, if that is what its image says and it is safe to open. A disk with partitions is a
/// raw one.
async fn inspect(path: &Path, expect: &Expect) -> Result<Format> {
    let expect = Expect {
        container_format: BARE.to_owned(),
        require_match: true,
        ..expect.clone()
    };
    let declared = expect.disk_format.clone();
    let (mut source, _) = source(path).await?;
    let mut inspection = Inspection::new(&expect);
    while let Some(bytes) = source.next().await.map_err(Error::Client)? {
        inspection = fed(inspection, bytes).await;
    }
    let verdict = inspection.finish()?;
    for warning in verdict.warnings {
        match warning {
            Warning::DeclaredRaw(detected) if detected != Format::Gpt => {
                return Err(FormatError::Mismatch { declared, detected }.into());
            }
            other => warn!("{other}"),
        }
    }
    match Format::from_name(&declared) {
        Some(Format::Gpt) => Ok(Format::Raw),
        Some(format) => Ok(format),
        // ami and its like: whatever is none of the others.
        None => Ok(Format::Raw),
    }
}

/// On a thread that may compute.
async fn fed(mut inspection: Inspection, bytes: Bytes) -> Inspection {
    let work = move || {
        inspection.feed(&bytes);
        inspection
    };
    let fed = spawn_blocking(work).await;
    fed.expect("inspecting does not panic, and is not cancelled")
}

/// Writes all of a source into a file, in place of what a crash may have left there.
async fn write(source: &mut dyn Source, path: &Path, job: &Job) -> Result<()> {
    let to = path.to_owned();
    let mut file = on_disk(move || File::create(to)).await?;
    let (mut written, limit_bytes) = (0, job.limit_bytes);
    let mut pace = Pace::new(job.min_rate_bytes_per_second);
    loop {
        let asked_at = Instant::now();
        let bytes = source.next().await.map_err(Error::Client)?;
        let Some(bytes) = bytes else {
            return Ok(());
        };
        pace.waited(asked_at.elapsed(), bytes.len())?;
        written += bytes.len() as u64;
        if written > limit_bytes {
            return Err(Error::TooLarge { limit_bytes });
        }
        let work = move || io::Write::write_all(&mut file, &bytes).map(|()| file);
        file = on_disk(work).await?;
    }
}

/// The damage that an error of a conversion is about.
fn damage(error: &io::Error) -> Option<Damage> {
    error.get_ref()?.downcast_ref::<Damage>().copied()
}

/// On a thread that may wait.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = spawn_blocking(work).await;
    let done = done.expect("using a file does not panic, and is not cancelled");
    done.map_err(Error::Client)
}

/// A file, and how long it is.
async fn file(path: &Path) -> Result<(File, DeclaredSize)> {
    let path = path.to_owned();
    let open = move || {
        let file = File::open(path)?;
        let size = DeclaredSize::Exact(file.metadata()?.len());
        Ok((file, size))
    };
    on_disk(open).await
}

async fn source(path: &Path) -> Result<(FileSource, DeclaredSize)> {
    let (file, size) = file(path).await?;
    Ok((FileSource::new(file), size))
}

fn named(scratch: &Path, more: &str) -> PathBuf {
    let mut name = scratch.as_os_str().to_owned();
    name.push(".");
    name.push(more);
    PathBuf::from(name)
}
