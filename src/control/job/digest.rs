//! The digests of an image whose bytes a service has registered (`do_secure_hash`, reference B.4).
//!
//! Without an expected digest the image is active already and gets its digests when they are known.
//! With one it is `importing`, and active if its bytes are those; else its location is taken off
//! and it is `queued` again. The bytes stay where they are: they are the service's, not ours. A location
//! of the web stays too, as Glance's http store removes none.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::Outcome;
use crate::{
    control::{
        Control, Error, Result,
        db::{self, Job, NodeId, Viewer},
        image::{ATTEMPTS_MAX, now},
        location::is_of_web,
    },
    data::{self, Plane, ReadPlan, rehash},
    model::{ByteRange, Digests, HashAlgorithm, Image, ImageId, Status},
};

/// What a row of the kind `digest` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestInput {
    /// Where the bytes are.
    pub url: String,
    /// The algorithm of `os_hash_value`.
    pub algorithm: String,
    /// The digest that they must have.
    pub expected: Option<String>,
}

impl DigestInput {
    /// The text of the row.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("three texts are JSON")
    }
}

/// Whether this node can read the bytes.
pub(super) fn is_possible(control: &Control, job: &Job) -> bool {
    let input = read(job);
    input.is_none_or(|(input, _)| control.stores.by_url(&input.url).is_some())
}

/// Computes and records the digests.
pub(super) async fn run(
    control: &Control,
    plane: &Plane,
    job: &Job,
    node: NodeId,
) -> Result<Outcome> {
    let Some((input, algorithm)) = read(job) else {
        // Its address may have a password.
        warn!(image.id = %job.image, job.id = %job.id, "A job that makes no sense");
        control.db.job_drop(job.id, node).await?;
        return Ok(Outcome::Done);
    };
    let Some(image) = load(control, &job.image).await? else {
        return gone(control, job, node).await;
    };
    control.db.task_progress(job.id, None).await?;
    let digests = compute(control, plane, &image, &input, algorithm).await?;
    let fits = input
        .expected
        .as_ref()
        .is_none_or(|value| *value == digests.os_hash_value);
    if fits {
        let result = Ok(json!({"image_id": job.image.as_str()}));
        let outcome = record(control, job, node, |image| found(image, &digests), result).await?;
        info!(image.id = %job.image, "Computed the digests of image {}", job.image);
        return Ok(outcome);
    }
    warn!(image.id = %job.image, found = digests.os_hash_value, "The bytes are not what they were said to be");
    let told = format!(
        "os_hash_value: ({}) not matched with actual os_hash_value: ({})",
        input.expected.unwrap_or_default(),
        digests.os_hash_value
    );
    record(control, job, node, refused, Err(told)).await
}

/// The end of a job that failed too often.
pub(super) async fn give_up(
    control: &Control,
    job: &Job,
    node: NodeId,
    error: &Error,
) -> Result<()> {
    let change = |image: &mut Image| {
        if image.status == Status::Importing {
            refused(image);
        }
    };
    let told = Err(error.to_string());
    record(control, job, node, change, told).await.map(drop)
}

/// The image was deleted, and with it what was to be done.
async fn gone(control: &Control, job: &Job, node: NodeId) -> Result<Outcome> {
    let told = format!("No image found with ID {}", job.image);
    control.db.job_drop(job.id, node).await?;
    control
        .db
        .task_end(job.id, &control.ended(Err(told)))
        .await?;
    Ok(Outcome::Done)
}

fn read(job: &Job) -> Option<(DigestInput, HashAlgorithm)> {
    let input: DigestInput = serde_json::from_str(&job.input).ok()?;
    let algorithm = input.algorithm.parse().ok()?;
    Some((input, algorithm))
}

pub(super) async fn load(control: &Control, id: &ImageId) -> Result<Option<Image>> {
    match control.db.image(id, &Viewer::everything()).await {
        Ok(found) => Ok(Some(found.image)),
        Err(db::Error::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn compute(
    control: &Control,
    plane: &Plane,
    image: &Image,
    input: &DigestInput,
    algorithm: HashAlgorithm,
) -> Result<Digests> {
    let store = control.stores.by_url(&input.url);
    let store = store.ok_or_else(|| data::Error::Lost(image.id.clone()))?;
    let size_bytes = store.size(&input.url).await?;
    let plan = ReadPlan {
        image: image.id.clone(),
        locations: vec![(store.id().clone(), input.url.clone())],
        range: ByteRange::whole(size_bytes),
    };
    Ok(rehash::digests(plane, &plan, algorithm).await?)
}

/// Changes the image and ends the job. Whoever else changes the image at the same time, it is
/// their change that is changed.
async fn record(
    control: &Control,
    job: &Job,
    node: NodeId,
    change: impl Fn(&mut Image),
    result: Result<Value, String>,
) -> Result<Outcome> {
    let ended = control.ended(result);
    for _ in 0..ATTEMPTS_MAX {
        let Some(before) = load(control, &job.image).await? else {
            return gone(control, job, node).await;
        };
        let mut after = before.clone();
        change(&mut after);
        after.updated_at = now();
        let images = (&before, &after);
        match control.db.job_finish(job.id, node, images, &ended).await {
            Ok(()) => return Ok(Outcome::Done),
            Err(db::Error::Conflict) => {}
            Err(db::Error::Lost) => return Ok(Outcome::Lost),
            Err(db::Error::NotFound) => return Ok(Outcome::Done),
            Err(error) => return Err(error.into()),
        }
    }
    Err(db::Error::Busy.into())
}

fn found(image: &mut Image, digests: &Digests) {
    image.checksum = Some(digests.checksum.clone());
    image.os_hash_algo = Some(digests.os_hash_algo.to_string());
    image.os_hash_value = Some(digests.os_hash_value.clone());
    if image.status == Status::Importing {
        image.status = Status::Active;
    }
}

/// As the image was before its location was registered.
fn refused(image: &mut Image) {
    image.status = Status::Queued;
    image.locations.retain(|location| is_of_web(&location.url));
    image.size_bytes = None;
    image.virtual_size_bytes = None;
    image.checksum = None;
    image.os_hash_algo = None;
    image.os_hash_value = None;
}
