//! What the import plugins make of a staged file: unpacked, converted, or as it is. The result is a
//! source like any other, so the stores get it in the one pass that computes the digests.
//!
//! Nothing is copied where it need not be: what is packed is unpacked while it passes, and the disk of
//! a qcow2 image is read by its tables. A file beside the staged one is made where both are to be done,
//! and where `qemu-img` has to help; it goes with its [`Made`].

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{
    DeclaredSize, Error, Expect, Result, Source,
    convert::{
        RawDisk,
        blocks::{FileBlocks, FileSource},
        qcow2::Damage,
        qemu,
    },
    decompress::{Packing, Unpacked},
    inspect::{Format, FormatError, Inspection, Warning},
};

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

/// A staged file, and what its image says of it.
#[derive(Clone, Debug)]
pub struct Staged {
    /// Where it is.
    pub path: PathBuf,
    /// What it must be.
    pub expect: Expect,
    /// Neither it nor what is made of it may have more bytes.
    pub limit_bytes: u64,
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

/// A file that goes with this.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %self.0.display(), %error, "A file of an import stays behind");
            }
            _ => {}
        }
    }
}

/// Opens a staged file through the plugins. It stays as it is.
///
/// # Errors
/// [`Error::Format`] for an image that is not what it says or not safe, where conversion looks at it;
/// [`Error::TooLarge`]; [`Error::Client`] for what is damaged, and for `qemu-img`'s complaints.
pub async fn open(plugins: Plugins, staged: &Staged) -> Result<Made> {
    let expect = &staged.expect;
    let packed = plugins.decompress
        && expect.container_format != COMPRESSED
        && is_packed(&staged.path).map_err(Error::Client)?;
    let mut made = Made {
        source: Box::new(source(&staged.path)?),
        size: size(&staged.path)?,
        disk_format: expect.disk_format.clone(),
        container_format: expect.container_format.clone(),
        _files: Vec::new(),
    };
    let mut path = staged.path.clone();
    if packed {
        let unpacked = Unpacked::open(source(&path)?).await;
        let unpacked = unpacked.map_err(Error::Client)?;
        if plugins.convert.is_none() {
            made.source = Box::new(unpacked);
            made.size = DeclaredSize::Unknown;
            return Ok(made);
        }
        path = beside(&staged.path, "uc");
        made._files.push(Scratch(path.clone()));
        write(unpacked, &path, staged.limit_bytes).await?;
        made.source = Box::new(source(&path)?);
        made.size = size(&path)?;
    }
    match plugins.convert {
        Some(target) => convert(made, staged, &path, target).await,
        None => Ok(made),
    }
}

/// Converts what is at `path`, if it is not what it should become.
async fn convert(mut made: Made, staged: &Staged, path: &Path, target: Format) -> Result<Made> {
    let detected = inspect(path, &staged.expect).await?;
    if detected == target || detected == Format::Iso {
        return Ok(made);
    }
    made.disk_format = target.name().to_owned();
    made.container_format = BARE.to_owned();
    let limit_bytes = staged.limit_bytes;
    if (detected, target) == (Format::Qcow2, Format::Raw) {
        let blocks = FileBlocks::new(file(path)?);
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
    let converted = beside(&staged.path, target.name());
    made._files.push(Scratch(converted.clone()));
    let done = qemu::convert(path, detected, &converted, target, limit_bytes).await;
    done.map_err(Error::Client)?;
    made.source = Box::new(source(&converted)?);
    made.size = size(&converted)?;
    Ok(made)
}

/// What a file is, if that is what its image says and it is safe to open. A disk with partitions is a
/// raw one.
async fn inspect(path: &Path, expect: &Expect) -> Result<Format> {
    let expect = Expect {
        container_format: BARE.to_owned(),
        require_match: true,
        ..expect.clone()
    };
    let declared = expect.disk_format.clone();
    let mut source = source(path)?;
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
async fn write(mut source: impl Source, path: &Path, limit_bytes: u64) -> Result<()> {
    let mut file = File::create(path).map_err(Error::Client)?;
    let mut written = 0;
    while let Some(bytes) = source.next().await.map_err(Error::Client)? {
        written += bytes.len() as u64;
        if written > limit_bytes {
            return Err(Error::TooLarge { limit_bytes });
        }
        let work = move || io::Write::write_all(&mut file, &bytes).map(|()| file);
        let done = spawn_blocking(work).await;
        file = done
            .expect("writing does not panic, and is not cancelled")
            .map_err(Error::Client)?;
    }
    Ok(())
}

fn is_packed(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    let file = File::open(path)?;
    io::Read::read_to_end(
        &mut io::Read::take(file, Packing::LOOK_BYTES as u64),
        &mut head,
    )?;
    Ok(Packing::of(&head).is_some())
}

/// The damage that an error of a conversion is about.
fn damage(error: &io::Error) -> Option<Damage> {
    error.get_ref()?.downcast_ref::<Damage>().copied()
}

fn file(path: &Path) -> Result<File> {
    File::open(path).map_err(Error::Client)
}

fn source(path: &Path) -> Result<FileSource> {
    Ok(FileSource::new(file(path)?))
}

fn size(path: &Path) -> Result<DeclaredSize> {
    let metadata = fs::metadata(path).map_err(Error::Client)?;
    Ok(DeclaredSize::Exact(metadata.len()))
}

fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(more);
    PathBuf::from(name)
}
