//! An upload: `queued` to `saving` before the first byte, `saving` to `active` after the last, and
//! back to `queued` when it fails at any step by any cause. Staging is an upload into the staging
//! store, from `queued` to `uploading`.

mod steward;

use std::sync::Arc;

use metrics::histogram;
use serde_json::{Map, Value};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, Span, info, warn};

use super::{
    Caller, Control, Error, Result, Rule,
    attempts::Attempts,
    db::{self, Bounds, NewWrite, Reservation},
    encryption,
    image::now,
    lease::{Covered, Transfer},
    quota::Growth,
    sweep,
};
use crate::{
    base::secret::Secret,
    data::{
        self, DeclaredSize, Encryption, Expect, Known, Plane, Receipt, Source, StopReason,
        WritePlan, ingress, signature::Signature,
    },
    model::{Attempt, Image, ImageId, Location, LocationStatus, Status, StoreId},
    store::{self, Intent},
};

pub use steward::UploadSteward;

/// What a client said of an upload.
#[derive(Clone, Debug)]
pub struct UploadRequest {
    /// The image.
    pub image: ImageId,
    /// Its bytes.
    pub size: DeclaredSize,
    /// Where they go.
    pub to: Destination,
    /// The bytes are plain, and are to be stored encrypted as the image says.
    pub is_plain: bool,
    /// In whose name the key manager is asked for certificates and keys.
    pub token: Option<Secret>,
}

/// Where the bytes of a request go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Into the store that it asked for, or the default; ignored in single-store mode.
    Store(Option<String>),
    /// Into staging, for an import to come.
    Staging,
}

/// An upload on a task of its own, because a handler's future dies with the connection and could
/// not clean up. Dropping this tells the upload that its client is gone.
#[derive(Debug)]
pub struct Running<T = ()> {
    task: JoinHandle<Result<T>>,
    _gone: DropGuard,
}

/// What bytes must be, who must have signed them, and what they have to do with encryption.
pub(super) struct Demands {
    pub(super) expect: Expect,
    pub(super) signature: Option<Signature>,
    pub(super) encryption: Encryption,
}

/// An image in `saving` or `uploading`, and the right to move it on.
#[derive(Debug)]
pub struct Upload {
    control: Arc<Control>,
    is_staging: bool,
    saving: Image,
    plan: WritePlan,
    covered: Covered,
    growth: Option<Arc<Growth>>,
}

impl Running {
    /// Starts an upload: decides, moves the bytes, records.
    pub fn start(
        control: Arc<Control>,
        plane: Arc<Plane>,
        caller: Caller,
        request: UploadRequest,
        source: Box<dyn Source>,
    ) -> Self {
        let gone = CancellationToken::new();
        let upload = whole(control, plane, caller, request, source, gone.clone());
        Self::of(gone, upload)
    }
}

impl<T: Send + 'static> Running<T> {
    /// Of an upload that hears by `gone` that its client is.
    pub(super) fn of(
        gone: CancellationToken,
        upload: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Self {
        Self {
            task: tokio::spawn(upload.instrument(Span::current())),
            _gone: gone.drop_guard(),
        }
    }

    /// How it ended.
    ///
    /// # Errors
    /// The upload's; [`Error::Crashed`] when its task panicked.
    pub async fn outcome(mut self) -> Result<T> {
        (&mut self.task).await.unwrap_or(Err(Error::Crashed))
    }
}

async fn whole(
    control: Arc<Control>,
    plane: Arc<Plane>,
    caller: Caller,
    request: UploadRequest,
    mut source: Box<dyn Source>,
    gone: CancellationToken,
) -> Result<()> {
    let upload = match request.to.clone() {
        Destination::Store(store) => {
            let begun = control.upload_begin(&caller, &request, store);
            begun.await?
        }
        Destination::Staging => {
            let begun = control.stage_begin(&caller, &request);
            begun.await?
        }
    };
    let transfer = upload.covered.transfer().clone();
    let growth = upload.growth.clone();
    let steward = UploadSteward::new(control.clone(), transfer.clone(), growth, gone);
    let outcome = match ingress::ingest(&plane, &upload.plan, source.as_mut(), &steward).await {
        Ok(receipts) => {
            let image = upload.saving.clone();
            let finished = upload.finish(&receipts).await;
            if finished.is_ok() && matches!(request.to, Destination::Store(_)) {
                control.need_key(&image, request.token.as_ref()).await;
            }
            finished
        }
        Err(error) => Err(upload.fail(error).await),
    };
    record(&caller, &transfer, &outcome);
    outcome
}

impl Control {
    /// Decides on an upload and moves its image to `saving`, in Glance's order of checks.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::UnknownStore`], [`Error::ImageNotFound`], [`Error::Denied`],
    /// [`Error::NotQueued`], [`Error::FormatsUnset`], [`Error::Signature`], [`Error::Encryption`], [`Error::StorageQuotaFull`],
    /// [`Error::LimitExceeded`], [`Error::GoneDuringUpload`] when another upload was first, and the store's and the database's.
    pub async fn upload_begin(
        self: &Arc<Self>,
        caller: &Caller,
        request: &UploadRequest,
        store: Option<String>,
    ) -> Result<Upload> {
        caller.may_change()?;
        let id = request.image.clone();
        let store = self.store_for(store.as_deref())?;
        let queued = self.load(caller, &id, Error::ImageNotFound).await?;
        let denied = || Error::UploadDenied(id.clone());
        let allowed = self.allow(Rule::UploadImage, caller, &queued);
        allowed.map_err(|error| match error {
            Error::NotOwner => denied(),
            other => other,
        })?;
        let mut saving = queued.clone();
        let moved = queued.status.transition(Status::Saving);
        saving.status = moved.map_err(Error::NotQueued)?;
        saving.updated_at = now();
        let expect = self.expect(&queued)?;
        if !caller.owns(&queued) {
            return Err(denied());
        }
        let demands = self.demands(&queued, expect, request).await?;
        let size = self.settings.presized(request.size, &queued);
        let stored = demands.encryption.stored(size);
        let intent = self.intend(&store, &queued, stored).await?;
        let bounds = self.bounds(caller).await?.map(Bounds::of_upload);
        let Attempts {
            covered,
            targets,
            writes,
        } = self.attempts(vec![(store, intent)], true);
        let plan = WritePlan {
            image: id.clone(),
            size,
            limit_bytes: self.settings.image_size_cap_bytes,
            targets,
            os_hash_algo: Some(self.settings.hashing_algorithm),
            more_digests: Vec::new(),
            expect: Some(demands.expect),
            known: Known::default(),
            signature: demands.signature,
            encryption: demands.encryption,
        };
        let begun = self.begin(
            (&queued, &saving),
            &writes,
            bounds,
            Bounds::of_upload,
            stored,
        );
        self.begun(begun.await, covered, |covered, growth| Upload {
            control: self.clone(),
            is_staging: false,
            saving,
            plan,
            covered,
            growth,
        })
    }

    /// What the bytes of a request must be, whose image may expect that of them.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::CertificateId`], [`Error::Encryption`].
    pub(super) async fn demands(
        &self,
        image: &Image,
        expect: Expect,
        request: &UploadRequest,
    ) -> Result<Demands> {
        let token = request.token.as_ref();
        let signature = self.signature(image, token).await?;
        let encryption = self.encryption(image, request.is_plain, token).await?;
        let expect = match encryption {
            Encryption::Seal(_) => encryption::of_plain(expect),
            Encryption::None | Encryption::Check(_) => expect,
        };
        Ok(Demands {
            expect,
            signature,
            encryption,
        })
    }

    /// An upload, if its records could be written.
    pub(super) fn begun(
        &self,
        begun: Result<Option<Arc<Growth>>>,
        covered: Covered,
        upload: impl FnOnce(Covered, Option<Arc<Growth>>) -> Upload,
    ) -> Result<Upload> {
        match begun {
            Ok(growth) => Ok(upload(covered, growth)),
            Err(Error::Db(db::Error::Conflict | db::Error::NotFound)) => {
                let image = covered.transfer().writes().first().map(|w| w.image.clone());
                covered.settle();
                Err(Error::GoneDuringUpload(image.expect("it has an attempt")))
            }
            // Perhaps it was written: the sweep looks.
            Err(error @ Error::Db(_)) => Err(error),
            Err(error) => {
                covered.settle();
                Err(error)
            }
        }
    }

    /// Records the writes, and reserves for them where the caller's project has a quota.
    pub(super) async fn begin(
        &self,
        (queued, saving): (&Image, &Image),
        writes: &[NewWrite],
        mut bounds: Option<Bounds>,
        narrow: fn(Bounds) -> Bounds,
        size: DeclaredSize,
    ) -> Result<Option<Arc<Growth>>> {
        let size_bytes = size.exact();
        let attempts: Vec<Attempt> = writes.iter().map(|write| write.attempt).collect();
        loop {
            let reservation = bounds.clone();
            let reservation = reservation.map(|bounds| Reservation { bounds, size_bytes });
            let begun = self
                .db
                .write_begin(queued, saving, writes, reservation.as_ref());
            match begun.await {
                Ok(()) => {
                    return Ok(reservation.and_then(|r| Growth::of(&self.db, r, attempts)));
                }
                Err(error) => self.try_again(&mut bounds, narrow, error).await?,
            }
        }
    }

    /// The store that an upload goes to.
    pub(super) fn store_for(&self, asked: Option<&str>) -> Result<StoreId> {
        match asked {
            Some(name) if self.settings.multistore => {
                let id = StoreId::new(name);
                match self.is_target(&id) {
                    true => Ok(id),
                    false => Err(Error::UnknownStore(id)),
                }
            }
            _ => Ok(self.stores.default_id().clone()),
        }
    }

    /// Whether images may be put there: it is configured, and not for staging alone.
    pub(super) fn is_target(&self, id: &StoreId) -> bool {
        self.stores.get(id).is_some() && *id != self.settings.import.staging.store
    }

    pub(super) async fn intend(
        &self,
        store: &StoreId,
        image: &Image,
        size: DeclaredSize,
    ) -> Result<Intent> {
        let store = self.stores.get(store).expect("the store was looked up");
        let attempt = Attempt::random();
        let intent = store.intend(&image.id, attempt, size.exact()).await;
        let intent = intent.map_err(|error| told(image.id.clone(), error.into()))?;
        Ok(Intent {
            owner: image.owner.clone(),
            ..intent
        })
    }

    /// What the content must be. An image without formats takes no data.
    pub(super) fn expect(&self, image: &Image) -> Result<Expect> {
        match (&image.disk_format, &image.container_format) {
            (Some(disk_format), Some(container_format)) => Ok(Expect {
                disk_format: disk_format.clone(),
                container_format: container_format.clone(),
                require_match: self.settings.require_image_format_match,
                gpt_safety_checks_nonfatal: self.settings.gpt_safety_checks_nonfatal.clone(),
                encrypted: encryption::declared(image),
            }),
            (Some(_), None) => Err(Error::FormatsUnset("Property container_format")),
            (None, Some(_)) => Err(Error::FormatsUnset("Property disk_format")),
            (None, None) => Err(Error::FormatsUnset(
                "Properties disk_format, container_format",
            )),
        }
    }
}

impl Upload {
    /// Of an image in `uploading`.
    pub(super) fn staging(
        control: Arc<Control>,
        uploading: Image,
        plan: WritePlan,
        covered: Covered,
        growth: Option<Arc<Growth>>,
    ) -> Self {
        Self {
            control,
            is_staging: true,
            saving: uploading,
            plan,
            covered,
            growth,
        }
    }

    /// What the data plane is to do.
    pub fn plan(&self) -> &WritePlan {
        &self.plan
    }

    /// Moves the image to `active`. The last word is the database's: an image that was deleted
    /// meanwhile, or a lease that was lost, leaves nothing in the stores.
    ///
    /// # Errors
    /// [`Error::GoneDuringUpload`], [`Error::Data`] with a lost lease, and the database's. After
    /// the last it is not known whether the move was recorded: nothing is removed, and the sweep
    /// ends what was not.
    pub async fn finish(self, receipts: &[Receipt]) -> Result<()> {
        let active = match self.is_staging {
            true => self.staged(receipts),
            false => self.active(receipts),
        };
        if let (Some(growth), Some(size_bytes)) = (&self.growth, active.size_bytes)
            && let Err(error) = growth.complete(size_bytes).await
        {
            self.undo().await;
            return Err(error);
        }
        let writes = self.covered.transfer().writes();
        let attempts: Vec<Attempt> = writes.iter().map(|write| write.attempt).collect();
        let node = self.covered.transfer().node();
        let db = &self.control.db;
        let finished = match self.is_staging {
            true => {
                let data = self.control.staged_at(&self.saving, &receipts[0]);
                let finish = db.stage_finish(&attempts, node, &self.saving, &active, &data);
                finish.await
            }
            false => {
                let finish = db.write_finish(&attempts, node, &self.saving, &active);
                finish.await
            }
        };
        match finished {
            Ok(()) => {
                self.covered.settle();
                Ok(())
            }
            Err(db::Error::Conflict | db::Error::NotFound) => {
                let gone = self.gone();
                self.undo().await;
                Err(gone)
            }
            Err(db::Error::Lost) => {
                // The row went to another node, which may have looked for our object before we
                // published it.
                for write in self.covered.transfer().writes() {
                    if let Err(error) = sweep::discard(&self.control, &write).await {
                        warn!(attempt = %write.attempt, %error, "Could not remove a lost upload's bytes");
                    }
                }
                self.covered.settle();
                Err(data::Error::Stopped(StopReason::LeaseLost).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what there is and moves the image back to `queued`. Returns what the client is told.
    pub async fn fail(self, error: data::Error) -> Error {
        let id = self.saving.id.clone();
        let refused = self.growth.as_ref().and_then(|growth| growth.refused());
        if !self.is_staging {
            self.control.not_stored(&id, &error, refused.as_ref());
        }
        let told = match (self.is_staging, error) {
            (true, data::Error::Stopped(StopReason::Deleted)) => self.gone(),
            (true, data::Error::Store(store::Error::AlreadyExists(_))) => Error::StagedTwice(id),
            (_, error) => told(id, error),
        };
        self.undo().await;
        refused.unwrap_or(told)
    }

    /// What is told when the image was deleted, or another was first.
    fn gone(&self) -> Error {
        let id = self.saving.id.clone();
        match self.is_staging {
            true => Error::ImageNotFound(id),
            false => Error::GoneDuringUpload(id),
        }
    }

    async fn undo(self) {
        self.control.undo(self.covered).await;
    }

    /// Staged data has a size, and is hashed when it is imported.
    fn staged(&self, receipts: &[Receipt]) -> Image {
        let mut image = self.saving.clone();
        image.updated_at = now();
        image.size_bytes = receipts.first().map(|receipt| receipt.size_bytes);
        self.control.mark_staged(&mut image);
        image
    }

    fn active(&self, receipts: &[Receipt]) -> Image {
        let mut image = self.saving.clone();
        image.status = Status::Active;
        image.updated_at = now();
        self.control.add_stored(&mut image, receipts);
        image
    }
}

impl Control {
    /// Adds to an image what was stored of it.
    pub(super) fn add_stored(&self, image: &mut Image, receipts: &[Receipt]) {
        if let Some(first) = receipts.first() {
            image.size_bytes = Some(first.size_bytes);
            image.virtual_size_bytes = first.virtual_size_bytes.or(image.virtual_size_bytes);
        }
        if let Some(plain) = receipts.first().and_then(|first| first.plain.as_ref()) {
            encryption::record(image, plain);
        }
        encryption::complete(image);
        if let Some(digests) = receipts.first().and_then(|first| first.digests.as_ref()) {
            image.checksum = Some(digests.checksum.clone());
            image.os_hash_algo = Some(digests.os_hash_algo.to_string());
            image.os_hash_value = Some(digests.os_hash_value.clone());
        }
        image.locations.extend(receipts.iter().map(|receipt| {
            let mut metadata = Map::new();
            if self.settings.multistore {
                metadata.insert("store".to_owned(), Value::from(receipt.store.as_str()));
            }
            Location {
                id: None,
                url: receipt.url.clone(),
                metadata,
                status: LocationStatus::Active,
            }
        }));
    }
}

/// A failed transfer, in Glance's words for uploads (reference A.5.1).
pub(super) fn told(image: ImageId, error: data::Error) -> Error {
    match error {
        data::Error::Stopped(StopReason::Deleted) => Error::GoneDuringUpload(image),
        data::Error::TooLarge { .. } => Error::ImageTooLarge,
        data::Error::Signature(refusal) => Error::Signature(image, refusal),
        // What was being written is gone: another node has fenced this one.
        data::Error::Store(store::Error::NotFound(_)) => {
            data::Error::Stopped(StopReason::LeaseLost).into()
        }
        data::Error::Store(store::Error::Full(_)) => Error::MediaFull,
        data::Error::Store(error @ store::Error::TooLarge { .. }) => Error::Store(error),
        data::Error::Store(store::Error::Denied(_)) => Error::MediaDenied,
        data::Error::Store(store::Error::ReadOnly(_)) => Error::AddDisabled,
        other => other.into(),
    }
}

/// The one line and the numbers that an upload leaves.
fn record(caller: &Caller, transfer: &Transfer, outcome: &Result<()>) {
    let id = caller.request_id.as_str();
    let image = transfer.image();
    let image = image.as_ref().map(ImageId::as_str);
    let received_bytes = transfer.received_bytes();
    let seconds = transfer.started().elapsed().as_secs_f64();
    let bytes_per_second = received_bytes as f64 / seconds;
    let label = match outcome {
        Ok(()) => {
            info!(
                request.id = id,
                image.id = image,
                received_bytes,
                seconds,
                bytes_per_second,
                "Uploaded"
            );
            "active"
        }
        Err(error) => {
            warn!(request.id = id, image.id = image, received_bytes, seconds, %error, "Upload failed");
            "failed"
        }
    };
    histogram!("fresnel_upload_seconds", "outcome" => label).record(seconds);
}
