//! Where the bytes of an import are.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde_json::Value;
use tracing::warn;

use super::{Failed, Import, ImportInput};
use crate::{
    client::glance,
    control::{
        Control, Result,
        db::{self, Job, Staged},
        encryption::{self, Sealed},
        import::Method,
        trust::Acting,
    },
    data::{DeclaredSize, Known, Plane, ReadPlan, Source, stored::Stored},
    model::{ByteRange, Image, Location, LocationStatus, StoreId},
    store,
};

/// Staged data that nobody sees who lives, and stores that nobody has, are given up after so long.
const STRANDED: Duration = Duration::from_secs(600);
/// A node without hands speaks for what it sees before that, after so long.
const SPOKEN_FOR: Duration = Duration::from_secs(300);
/// Properties that begin so are ours.
const RESERVED: &str = "os_glance";

/// Bytes on their way, and what is known of them.
pub(super) struct Coming {
    /// The bytes.
    pub(super) source: Box<dyn Source>,
    /// How many there will be.
    pub(super) size: DeclaredSize,
    /// What they must hash to.
    pub(super) known: Known,
    /// Whether they are in a store of ours.
    pub(super) is_ours: bool,
    /// Whether the image is in a store already, as it is to be in the others.
    pub(super) is_copy: bool,
    /// Whether they were encrypted as they were staged, and judged and verified before.
    pub(super) is_sealed: bool,
    /// Where they are a file of this host.
    pub(super) file: Option<PathBuf>,
    /// What the image is once it has them.
    pub(super) change: Change,
}

/// What an import changes of its image beside the data.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    /// `disk_format` and `container_format`.
    pub(super) formats: Option<(Option<String>, Option<String>)>,
    /// Properties that are set.
    pub(super) properties: BTreeMap<String, Option<String>>,
}

impl Change {
    pub(super) fn apply(&self, image: &mut Image) {
        if let Some((disk_format, container_format)) = &self.formats {
            image.disk_format.clone_from(disk_format);
            image.container_format.clone_from(container_format);
        }
        image.properties.extend(self.properties.clone());
    }
}

/// Whether this node can do the job. What nobody can do for too long, everybody can fail who has been
/// there as long: after all have been away, not the first to come.
pub(in crate::control::job) async fn is_possible(control: &Control, job: &Job) -> bool {
    job.waits.min(control.leases.age()) >= STRANDED || sees(control, job).await
}

/// Whether this node can do a job that has waited for long.
pub(in crate::control::job) async fn is_ours_to_come(control: &Control, job: &Job) -> bool {
    job.waits >= SPOKEN_FOR && sees(control, job).await
}

/// Whether the stores, and the data or the right to ask for it, are here.
async fn sees(control: &Control, job: &Job) -> bool {
    let Some(input) = ImportInput::of(job) else {
        return true;
    };
    let has = |name: &String| control.stores.get(&StoreId::new(name)).is_some();
    if !input.stores.iter().all(has) {
        return false;
    }
    match input.method {
        Method::GlanceDirect => sees_staged(control, job).await,
        Method::GlanceDownload => may_ask(control, job, &input).await,
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

/// Whether the user has entrusted us, or their token is here, or lost with its node.
async fn may_ask(control: &Control, job: &Job, input: &ImportInput) -> bool {
    let node = input.remote.as_ref().map(|remote| remote.node.parse());
    let (None, Some(Ok(node))) = (control.held.of(job.id), node) else {
        return true;
    };
    let looked = async {
        let trusted = control.db.trust_of(job.id).await?.is_some();
        Ok(trusted || !control.db.node_lives(node).await?)
    };
    looked.await.unwrap_or_else(|error: db::Error| {
        warn!(image.id = %job.image, %error, "Could not look for the node that has a token");
        false
    })
}

async fn size(control: &Control, staged: &Staged) -> store::Result<u64> {
    match control.stores.get(&staged.store) {
        Some(store) => store.size(&staged.url).await,
        None => Err(store::Error::Unavailable(staged.store.clone())),
    }
}

/// Finds the bytes. What a node that died has put into a store is where the others get it from.
///
/// # Errors
/// The database's; what else is wrong fails the import.
pub(super) async fn open(
    import: &Import<'_>,
    plane: &Plane,
    image: &Image,
) -> Result<Result<Coming, Failed>> {
    if image.locations.iter().any(is_active) {
        return Ok(copied(import.control, plane, image));
    }
    match import.input.method {
        Method::CopyImage => Ok(copied(import.control, plane, image)),
        Method::GlanceDirect => staged(import, plane, image).await,
        Method::WebDownload => Ok(fetched(import).await),
        Method::GlanceDownload => {
            let acting = import.control.acting(import.job.id).await?;
            Ok(downloaded(import, acting).await)
        }
    }
}

async fn staged(
    import: &Import<'_>,
    plane: &Plane,
    image: &Image,
) -> Result<Result<Coming, Failed>> {
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
    let change = match staged.sealed.as_deref().map(|text| sealed(text, image)) {
        Some(Ok(change)) => Some(change),
        Some(Err(told)) => return Ok(Err(Failed::of(told))),
        None => None,
    };
    let staging = &control.settings.import.staging;
    let local = staging.local.as_ref();
    let local = local.filter(|_| staged.store == staging.store);
    let plan = ReadPlan {
        image: image.id.clone(),
        locations: vec![(staged.store, staged.url)],
        range: ByteRange::whole(size_bytes),
    };
    Ok(Ok(Coming {
        file: local.map(|local| local.path.join(image.id.as_str())),
        is_sealed: change.is_some(),
        change: change.unwrap_or_default(),
        ..Coming::stored(plane, plan)
    }))
}

/// What an image becomes whose data was encrypted as it was staged.
fn sealed(text: &str, image: &Image) -> Result<Change, String> {
    let sealed = Sealed::of(text).ok_or("What was staged is not known.")?;
    let mut after = image.clone();
    encryption::record(&mut after, &sealed.plain(image)?);
    // No others: whoever changes one of them meanwhile is not undone.
    let is_new =
        |name: &String, value: &mut Option<String>| image.properties.get(name) != Some(value);
    after.properties.retain(is_new);
    Ok(Change {
        formats: Some((after.disk_format, after.container_format)),
        properties: after.properties,
    })
}

/// From the default store, if it has the image, else from wherever it is.
fn copied(control: &Control, plane: &Plane, image: &Image) -> Result<Coming, Failed> {
    let active = image
        .locations
        .iter()
        .filter(|location| is_active(location));
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
    let plan = ReadPlan {
        image: image.id.clone(),
        locations,
        range: ByteRange::whole(size_bytes),
    };
    Ok(Coming {
        is_copy: true,
        known: Known {
            checksum: image.checksum.clone(),
            os_hash_value: image.os_hash_value.clone(),
        },
        ..Coming::stored(plane, plan)
    })
}

/// From the address, as far as the policy still allows it.
async fn fetched(import: &Import<'_>) -> Result<Coming, Failed> {
    let (Some(web), Some(named)) = (&import.control.web, &import.input.web) else {
        return Err(Failed::of("Nothing can be fetched from the web here"));
    };
    let body = web.get(&named.uri, None).await;
    let body = body.map_err(|error| Failed::of(format!("Could not download: {error}")))?;
    let size = body.length();
    Ok(Coming::from_elsewhere(
        Box::new(body),
        size.map_or(DeclaredSize::Unknown, DeclaredSize::Exact),
    ))
}

/// From another image service, as its image is.
async fn downloaded(import: &Import<'_>, acting: Option<Acting>) -> Result<Coming, Failed> {
    let control = import.control;
    let (Some(glance), Some(input)) = (&control.glance, &import.input.remote) else {
        return Err(Failed::of("No other image service can be asked here"));
    };
    let Some(endpoint) = &input.endpoint else {
        return Err(Failed::of("The catalog has no such image service"));
    };
    let Some(Acting { token, service }) = acting else {
        return Err(Failed::of(
            "The token of the user is gone with the node that had it, and there is no trust that is good",
        ));
    };
    let remote = glance::Remote {
        endpoint,
        image: &input.image,
        token: &token,
        service: service.as_ref(),
    };
    let failed = |error: glance::Error| {
        warn!(image.id = %import.job.image, endpoint, %error, cause = ?std::error::Error::source(&error), "Cannot download from another image service");
        Failed::of(format!("Could not download: {error}"))
    };
    let document = glance.show(remote).await.map_err(failed)?;
    let text = |name: &str| document[name].as_str().map(str::to_owned);
    let status = text("status").unwrap_or_default();
    if status != "active" {
        return Err(Failed::of(format!(
            "Source image status should be active instead of {status}"
        )));
    }
    let Some(size_bytes) = document["size"].as_u64() else {
        return Err(Failed::of(format!(
            "Size attribute of remote image {} could not be determined.",
            input.image
        )));
    };
    let body = glance.data(remote, size_bytes).await.map_err(failed)?;
    let mut coming = Coming::from_elsewhere(Box::new(body), DeclaredSize::Exact(size_bytes));
    coming.change = Change {
        formats: Some((text("disk_format"), text("container_format"))),
        properties: taken_along(&document, &control.settings.import.download_properties),
    };
    Ok(coming)
}

/// The properties of an image elsewhere whose names begin so.
fn taken_along(document: &Value, prefixes: &[String]) -> BTreeMap<String, Option<String>> {
    let members = document.as_object().into_iter().flatten();
    let wanted = members.filter(|(name, _)| {
        let mut prefixes = prefixes.iter();
        prefixes.any(|prefix| name.starts_with(prefix)) && !name.starts_with(RESERVED)
    });
    let texts = wanted.filter_map(|(name, value)| {
        let text = value.as_str()?;
        Some((name.clone(), Some(text.to_owned())))
    });
    texts.collect()
}

fn is_active(location: &Location) -> bool {
    location.status == LocationStatus::Active
}

impl Coming {
    fn stored(plane: &Plane, plan: ReadPlan) -> Self {
        Self {
            size: DeclaredSize::Exact(plan.range.len),
            source: Box::new(Stored::new(plane.clone(), plan)),
            known: Known::default(),
            is_ours: true,
            is_copy: false,
            is_sealed: false,
            file: None,
            change: Change::default(),
        }
    }

    fn from_elsewhere(source: Box<dyn Source>, size: DeclaredSize) -> Self {
        Self {
            source,
            size,
            known: Known::default(),
            is_ours: false,
            is_copy: false,
            is_sealed: false,
            file: None,
            change: Change::default(),
        }
    }
}
