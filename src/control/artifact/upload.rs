//! An upload of a blob: an attempt of the journal before its first byte, under a lease; what its node
//! leaves is ended by the sweep of any other. A blob that is uploaded again gets a new id: the old bytes
//! can be read until the new ones are whole.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    BlobPlace, Refusal,
    blob::{field_of, folder_takes},
    create::changeable,
    now_us,
    types::Field,
};
use crate::{
    control::{
        Caller, Control, Error, Result, Rule,
        attempts::Attempts,
        db::{self, NewBlob, NewWrite},
        lease::Covered,
        policy::Target,
        sweep,
        upload::{Running, UploadSteward, told},
    },
    data::{
        self, DeclaredSize, Encryption, Known, Plane, Receipt, Source, StopReason, WritePlan,
        ingress,
    },
    model::{
        Attempt, HashAlgorithm, StoreId,
        artifact::{Artifact, Blob},
    },
    store::Intent,
};

/// How often an upload is begun again that another change of its artifact overtook: a patch, or an upload's
/// begin at another node.
const TRIES_MAX: u32 = 10;

/// An upload that a client asks for.
#[derive(Clone, Debug)]
pub struct BlobRequest {
    /// Where to.
    pub place: BlobPlace,
    /// Its bytes, where it says how many.
    pub size_bytes: Option<u64>,
    /// The media type that it says.
    pub content_type: String,
}

/// A blob in `saving`, and the right to move it on.
#[derive(Debug)]
struct Upload {
    control: Arc<Control>,
    artifact: String,
    blob: Blob,
    plan: WritePlan,
    covered: Covered,
}

/// Starts an upload on a task of its own.
///
/// Its outcome is the artifact with the blob, or [`Refusal`]s for what is asked, and those of an image's
/// upload.
pub fn upload(
    control: Arc<Control>,
    plane: Arc<Plane>,
    caller: Caller,
    request: BlobRequest,
    source: Box<dyn Source>,
) -> Running<Artifact> {
    let gone = CancellationToken::new();
    let upload = whole(control, plane, caller, request, source, gone.clone());
    Running::of(gone, upload)
}

async fn whole(
    control: Arc<Control>,
    plane: Arc<Plane>,
    caller: Caller,
    request: BlobRequest,
    mut source: Box<dyn Source>,
    gone: CancellationToken,
) -> Result<Artifact> {
    let upload = control.blob_begin(&caller, &request).await?;
    let (id, blob) = (upload.artifact.clone(), upload.blob.id.clone());
    let transfer = upload.covered.transfer().clone();
    let steward = UploadSteward::new(control.clone(), transfer.clone(), None, gone);
    let ended = match ingress::ingest(&plane, &upload.plan, source.as_mut(), &steward).await {
        Ok(receipts) => upload.finish(&receipts).await,
        Err(error) => Err(upload.fail(error).await),
    };
    let request_id = caller.request_id.as_str();
    let received_bytes = transfer.received_bytes();
    let seconds = transfer.started().elapsed().as_secs_f64();
    match &ended {
        Ok(()) => {
            info!(request.id = request_id, artifact.id = id, blob.id = %blob, received_bytes, seconds, "Uploaded a blob");
        }
        Err(error) => {
            warn!(request.id = request_id, artifact.id = id, blob.id = %blob, received_bytes, seconds, %error, "Upload of a blob failed");
        }
    }
    ended?;
    control.artifact_as_it_is(&id).await
}

impl Control {
    /// Decides on an upload, and records it and its blob.
    async fn blob_begin(
        self: &Arc<Self>,
        caller: &Caller,
        request: &BlobRequest,
    ) -> Result<Upload> {
        let _turn = self.db.blob_turn(&request.place.id).await;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.blob_begin_once(caller, request).await {
                Err(Error::Artifact(Refusal::Overtaken)) if tries < TRIES_MAX => {}
                begun => return begun,
            }
        }
    }

    async fn blob_begin_once(
        self: &Arc<Self>,
        caller: &Caller,
        request: &BlobRequest,
    ) -> Result<Upload> {
        let place = &request.place;
        let (artifact, most) = self.may_fill(caller, request).await?;
        let limits = self.artifact_limits(&artifact).await?;
        let blob = place.blob(Some(request.content_type.clone()));
        let store = self.settings.artifacts.store.clone();
        let store = store.unwrap_or_else(|| self.stores.default_id().clone());
        let intent = self
            .intend_blob(&store, &artifact, &blob, request.size_bytes)
            .await?;
        let Attempts {
            covered,
            targets,
            writes,
        } = self.attempts(vec![(store, intent)], true);
        let new = NewBlob {
            artifact: &artifact,
            blob: &blob,
            wanted: request.size_bytes,
            most,
            limits: &limits.bytes,
        };
        let begun = self.db.blob_begin(&new, first(&writes)).await;
        let limit_bytes = match begun {
            Ok(limit_bytes) => limit_bytes,
            Err(error) => {
                let error = match error {
                    db::Error::Conflict => Refusal::Overtaken.into(),
                    db::Error::OverArtifacts(counted) => {
                        limits.too_large(&counted, request.size_bytes.unwrap_or_default())
                    }
                    // Perhaps it was written: the sweep looks.
                    error => return Err(error.into()),
                };
                covered.settle();
                return Err(error);
            }
        };
        Ok(Upload {
            control: self.clone(),
            artifact: artifact.id,
            plan: WritePlan {
                image: blob.id.clone(),
                size: request
                    .size_bytes
                    .map_or(DeclaredSize::Unknown, DeclaredSize::Exact),
                limit_bytes,
                targets,
                os_hash_algo: Some(HashAlgorithm::Sha256),
                more_digests: vec![HashAlgorithm::Sha1],
                expect: None,
                known: Known::default(),
                signature: None,
                encryption: Encryption::None,
            },
            blob,
            covered,
        })
    }

    /// The artifact, and the bytes that its type leaves to the upload.
    async fn may_fill(&self, caller: &Caller, request: &BlobRequest) -> Result<(Artifact, u64)> {
        let place = &request.place;
        let kind = self.artifact_type(&place.type_name)?;
        let artifact = self.artifact_to_change(caller, kind, &place.id).await?;
        self.allow_artifact(Rule::ArtifactUpload, caller, Target::Artifact(&artifact))?;
        let field = field_of(kind, place)?;
        if artifact.is_filling(&place.field, place.key.as_deref()) {
            let (field, id) = (&place.field, &artifact.id);
            let text = format!("Blob {field} already exists for artifact and itis in saving {id}");
            return Err(Refusal::Taken(text).into());
        }
        changeable(&artifact, &place.field, field)?;
        folder_takes(&artifact, field, place)?;
        let most = room(&artifact, field, request)?;
        Ok((artifact, most))
    }

    async fn intend_blob(
        &self,
        store: &StoreId,
        artifact: &Artifact,
        blob: &Blob,
        size_bytes: Option<u64>,
    ) -> Result<Intent> {
        let found = self.stores.get(store);
        let found = found.ok_or_else(|| Error::UnknownStore(store.clone()))?;
        let intent = found.intend(&blob.id, Attempt::random(), size_bytes).await;
        let intent = intent.map_err(|error| told(blob.id.clone(), error.into()))?;
        Ok(Intent {
            owner: Some(artifact.owner.clone()),
            ..intent
        })
    }
}

impl Upload {
    async fn finish(mut self, receipts: &[Receipt]) -> Result<()> {
        let receipt = receipts.first().expect("an upload has a target");
        let digests = receipt.digests.clone().expect("they were asked for");
        let sha1 = receipt.more_digests.first().cloned().unwrap_or_default();
        self.blob.store = Some(receipt.store.clone());
        self.blob
            .complete(receipt.url.clone(), receipt.size_bytes, digests, sha1);
        let transfer = self.covered.transfer().clone();
        let writes = transfer.writes();
        let attempt = writes.first().expect("it has an attempt").attempt;
        let db = &self.control.db;
        let finished = db
            .blob_finish(
                &self.artifact,
                &self.blob,
                attempt,
                transfer.node(),
                now_us(),
            )
            .await;
        match finished {
            Ok(replaced) => {
                self.covered.settle();
                if let Some(replaced) = replaced {
                    self.control.forget_blob(&replaced).await;
                }
                Ok(())
            }
            Err(db::Error::NotFound) => {
                self.control.undo(self.covered).await;
                Err(Refusal::Overtaken.into())
            }
            Err(db::Error::Lost) => {
                // The row went to another node, which may have looked for our object before we
                // published it.
                for write in &writes {
                    if let Err(error) = sweep::discard(&self.control, write).await {
                        warn!(attempt = %write.attempt, %error, "Could not remove a lost upload's bytes");
                    }
                }
                self.covered.settle();
                Err(data::Error::Stopped(StopReason::LeaseLost).into())
            }
            // Perhaps it was written: the sweep ends what was not.
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what there is. Returns what the client is told.
    async fn fail(self, error: data::Error) -> Error {
        self.control.undo(self.covered).await;
        match error {
            data::Error::TooLarge { limit_bytes } => Refusal::TooLarge(format!(
                "The server is refusing to process a request because the request entity is larger \
                 than the server is willing or able to process - {limit_bytes} bytes."
            ))
            .into(),
            error => told(self.blob.id, error),
        }
    }
}

/// The bytes that the type leaves to an upload.
fn room(artifact: &Artifact, field: &Field, request: &BlobRequest) -> Result<u64, Refusal> {
    let place = &request.place;
    let mut most = field.blob_bytes_max;
    if place.key.is_some() {
        let there = artifact
            .blobs
            .iter()
            .filter(|blob| blob.field == place.field);
        let bytes: u64 = there.filter_map(|blob| blob.size_bytes).sum();
        most = most.min(field.folder_bytes_max.saturating_sub(bytes));
    }
    match request.size_bytes {
        Some(bytes) if bytes > most => Err(Refusal::TooLarge(format!(
            "Can't upload {bytes} bytes of data to blob {}. Its max allowed size is {most}",
            place.name()
        ))),
        Some(_) | None => Ok(most),
    }
}

fn first(writes: &[NewWrite]) -> &NewWrite {
    writes.first().expect("one attempt is one write")
}
