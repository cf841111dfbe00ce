//! The digests of an image whose bytes a service has registered (`do_secure_hash`, reference B.4).
//!
//! Without an expected digest the image is active already and gets its digests when they are known.
//! With one it is `importing`, and active if its bytes are those; else its location is taken off
//! and it is `queued` again. The bytes stay where they are: they are the service's, not ours.

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::Outcome;
use crate::{
    control::{
        Control, Result,
        db::{self, Job, NodeId, Viewer},
        image::{ATTEMPTS_MAX, now},
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
        warn!(image.id = %job.image, input = job.input, "A job that makes no sense");
        control.db.job_drop(job.id, node).await?;
        return Ok(Outcome::Done);
    };
    let Some(image) = load(control, &job.image).await? else {
        control.db.job_drop(job.id, node).await?;
        return Ok(Outcome::Done);
    };
    let digests = compute(control, plane, &image, &input, algorithm).await?;
    let fits = input
        .expected
        .as_ref()
        .is_none_or(|value| *value == digests.os_hash_value);
    if fits {
        let outcome = record(control, job, node, |image| found(image, &digests)).await?;
        info!(image.id = %job.image, "Computed the digests of image {}", job.image);
        return Ok(outcome);
    }
    warn!(image.id = %job.image, found = digests.os_hash_value, "The bytes are not what they were said to be");
    record(control, job, node, refused).await
}

/// The end of a job that failed too often.
pub(super) async fn give_up(control: &Control, job: &Job, node: NodeId) -> Result<()> {
    let change = |image: &mut Image| {
        if image.status == Status::Importing {
            refused(image);
        }
    };
    record(control, job, node, change).await.map(drop)
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
) -> Result<Outcome> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(before) = load(control, &job.image).await? else {
            control.db.job_drop(job.id, node).await?;
            return Ok(Outcome::Done);
        };
        let mut after = before.clone();
        change(&mut after);
        after.updated_at = now();
        match control.db.job_finish(job.id, node, &before, &after).await {
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
    image.locations.clear();
    image.size_bytes = None;
    image.virtual_size_bytes = None;
    image.checksum = None;
    image.os_hash_algo = None;
    image.os_hash_value = None;
}
