//! Where the bytes of an import are.

use std::time::Duration;

use tracing::warn;

use super::{Failed, Import, ImportInput};
use crate::{
    control::{
        Control, Result,
        db::{Job, Staged},
        import::Method,
    },
    data::{DeclaredSize, Known, Plane, ReadPlan, Source, stored::Stored},
    model::{ByteRange, Image, LocationStatus, StoreId},
    store,
};

/// Staged data that nobody sees who lives, and stores that nobody has, are given up after so long.
const STRANDED: Duration = Duration::from_secs(600);

/// Whence the bytes come.
pub(super) enum Origin {
    /// An object in one of our stores.
    Stored {
        /// Which.
        plan: ReadPlan,
        /// Whether it is the image's, so that what it hashes to is known.
        is_copy: bool,
    },
}

/// Whether this node can do the job. What nobody can do for too long, everybody can fail.
pub(in crate::control::job) async fn is_possible(control: &Control, job: &Job) -> bool {
    if job.waits >= STRANDED {
        return true;
    }
    let Some(input) = ImportInput::of(job) else {
        return true;
    };
    let has = |name: &String| control.stores.get(&StoreId::new(name)).is_some();
    if !input.stores.iter().all(has) {
        return false;
    }
    match input.method {
        Method::GlanceDirect => sees_staged(control, job).await,
        Method::CopyImage | Method::WebDownload => true,
    }
}

/// Whether the staged data can be read here, or must be here and is lost.
async fn sees_staged(control: &Control, job: &Job) -> bool {
    let staged = match control.staged(&job.image).await {
        Ok(Some(staged)) => staged,
        Ok(None) => return true,
        Err(error) => {
            warn!(image.id = %job.image, %error, "Could not look for staged data");
            return false;
        }
    };
    match size(control, &staged).await {
        Ok(_) => true,
        Err(store::Error::NotFound(_)) => !control.is_elsewhere(&staged),
        Err(_) => false,
    }
}

async fn size(control: &Control, staged: &Staged) -> store::Result<u64> {
    match control.stores.get(&staged.store) {
        Some(store) => store.size(&staged.url).await,
        None => Err(store::Error::Unavailable(staged.store.clone())),
    }
}

/// Finds the bytes.
///
/// # Errors
/// The database's; what else is wrong fails the import.
pub(super) async fn open(import: &Import<'_>, image: &Image) -> Result<Result<Origin, Failed>> {
    match import.input.method {
        Method::GlanceDirect => staged(import, image).await,
        Method::CopyImage => Ok(copied(import.control, image)),
        Method::WebDownload => Ok(Err(Failed::of("web-download is not available"))),
    }
}

async fn staged(import: &Import<'_>, image: &Image) -> Result<Result<Origin, Failed>> {
    let control = import.control;
    let Some(staged) = control.staged(&image.id).await? else {
        return Ok(Err(Failed::of("There is no staged data")));
    };
    let size_bytes = match size(control, &staged).await {
        Ok(bytes) => bytes,
        Err(error) => {
            warn!(image.id = %image.id, %error, "Cannot read staged data");
            return Ok(Err(Failed::of("The staged data cannot be read")));
        }
    };
    if let Some(expected) = image.size_bytes.filter(|expected| *expected != size_bytes) {
        let id = import.job.id;
        return Ok(Err(Failed::of(format!(
            "Task {id}: Image size mismatch. Expected {expected} but got {size_bytes}"
        ))));
    }
    Ok(Ok(Origin::Stored {
        plan: ReadPlan {
            image: image.id.clone(),
            locations: vec![(staged.store, staged.url)],
            range: ByteRange::whole(size_bytes),
        },
        is_copy: false,
    }))
}

/// From the default store, if it has the image, else from wherever it is.
fn copied(control: &Control, image: &Image) -> Result<Origin, Failed> {
    let active = image.locations.iter();
    let active = active.filter(|location| location.status == LocationStatus::Active);
    let mut locations: Vec<(StoreId, String)> = active
        .filter_map(|location| {
            let store = control.store_of(location)?;
            Some((store.id().clone(), location.url.clone()))
        })
        .collect();
    let default = control.stores.default_id();
    locations.sort_by_key(|(store, _)| store != default);
    let (Some(size_bytes), false) = (image.size_bytes, locations.is_empty()) else {
        return Err(Failed::of("Image not found in any configured store"));
    };
    Ok(Origin::Stored {
        plan: ReadPlan {
            image: image.id.clone(),
            locations,
            range: ByteRange::whole(size_bytes),
        },
        is_copy: true,
    })
}

impl Origin {
    /// The bytes.
    pub(super) fn source<'a>(&'a self, plane: &'a Plane) -> Box<dyn Source + 'a> {
        match self {
            Self::Stored { plan, .. } => Box::new(Stored::new(plane, plan)),
        }
    }

    /// How many there will be.
    pub(super) fn size(&self) -> DeclaredSize {
        match self {
            Self::Stored { plan, .. } => DeclaredSize::Exact(plan.range.len),
        }
    }

    /// What they must hash to.
    pub(super) fn known(&self, image: &Image) -> Known {
        match self {
            Self::Stored { is_copy: true, .. } => Known {
                checksum: image.checksum.clone(),
                os_hash_value: image.os_hash_value.clone(),
            },
            Self::Stored { .. } => Known::default(),
        }
    }

    /// Whether they are in a store of ours.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Stored { .. } => true,
        }
    }
}
