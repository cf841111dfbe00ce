//! An import (reference B.3): the source is read once and goes to all stores at once.
//!
//! ```text
//! claim -> end what a dead node began -> source -> plugins -> attempts -> data::ingest -> record -> unstage
//! ```
//!
//! It begins again from its source when its node dies, and then goes to the stores that do not have
//! the image yet. One that fails leaves an image that can be staged again.

mod plugins;
mod record;
mod source;
mod steward;

use std::{convert::identity, io, pin::pin, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Outcome, digest::load};
use crate::{
    control::{
        Control, Result,
        attempts::Attempts,
        db::{self, Bounds, Job, NodeId, Reservation, Stored},
        encryption,
        import::{LOCK, Method, Web},
        lease::Covered,
        quota::Growth,
        signature::{self, Certified},
        sweep,
        upload::{Demands, told},
    },
    data::{self, DeclaredSize, Encryption, Plane, Receipt, StopReason, WritePlan, ingress},
    model::{HashAlgorithm, Image, ImageId, ProjectId, StoreId},
    store::{self, Intent},
};

use source::{Change, Coming};
use steward::{ImportSteward, SPEAK_EVERY};

pub(super) use source::{is_ours_to_come, is_possible};

/// What a row of the kind `import` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportInput {
    /// How the bytes come.
    pub method: Method,
    /// From where, for some methods.
    pub web: Option<Web>,
    /// From which image of another service, for some methods.
    #[serde(default)]
    pub remote: Option<RemoteInput>,
    /// Where they go; empty in single-store mode.
    pub stores: Vec<String>,
    /// Whether one store that fails fails all.
    pub must_succeed: bool,
    /// The project that asked, whose quota it is.
    pub project: Option<String>,
    /// Whether the image gets the operator's properties.
    #[serde(default)]
    pub inject: bool,
    /// Whether the image is the task's own, and goes with its failure.
    #[serde(default)]
    pub creates: bool,
    /// The certificate of the image's signature.
    #[serde(default)]
    pub(in crate::control) certified: Option<Certified>,
}

/// An image of another service. The token with which it is asked for is in one node's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteInput {
    /// The service's address; none where the user's catalog has none.
    pub endpoint: Option<String>,
    /// The image's id there.
    pub image: String,
    /// The node that has the token.
    pub node: String,
}

impl ImportInput {
    /// The text of the row.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an input is JSON")
    }

    /// What a row says, if it makes sense.
    pub(super) fn of(job: &Job) -> Option<Self> {
        serde_json::from_str(&job.input).ok()
    }
}

/// An import that this node has.
struct Import<'a> {
    control: &'a Arc<Control>,
    job: &'a Job,
    node: NodeId,
    input: ImportInput,
    /// Stores that do not have the image yet.
    targets: Vec<StoreId>,
    /// What the image is, beside its data, once a store has it.
    change: Change,
    /// Reserves for bytes whose number nobody said.
    growth: Option<Arc<Growth>>,
}

/// How an import went wrong.
struct Failed {
    /// What the task says.
    message: String,
    /// Stores that are to blame; none where all or the first are (reference B.3).
    stores: Vec<StoreId>,
}

/// Does it, or fails it.
///
/// # Errors
/// The database's: nothing is known to be recorded, and it is begun again; so it is without buffers.
pub(super) async fn run(
    control: &Arc<Control>,
    plane: &Plane,
    job: &Job,
    node: NodeId,
) -> Result<Outcome> {
    let Some(input) = ImportInput::of(job) else {
        // Its input may name an address with credentials.
        warn!(image.id = %job.image, job.id = %job.id, "A job that makes no sense");
        return drop_it(control, job, node, "Task failed due to Internal Error").await;
    };
    let Some(image) = load(control, &job.image).await? else {
        let text = "Image has been deleted, aborting import.";
        return drop_it(control, job, node, text).await;
    };
    let is_locked = image.properties.get(LOCK) == Some(&Some(job.id.to_string()));
    if !is_locked || !control.db.task_progress(job.id, None).await? {
        warn!(image.id = %job.image, task = %job.id, "Another task has the image");
        return drop_it(control, job, node, "Task lost the lock of its image").await;
    }
    sweep::end_dead(control, node, &image.id).await?;
    let import = Import::of(control, job, node, input, &image);
    import.carry_out(plane, image).await
}

/// The end of an import that was begun too often.
pub(super) async fn give_up(control: &Arc<Control>, job: &Job, node: NodeId) -> Result<Outcome> {
    let (Some(input), Some(image)) = (ImportInput::of(job), load(control, &job.image).await?)
    else {
        return drop_it(control, job, node, "Task failed due to Internal Error").await;
    };
    let import = Import::of(control, job, node, input, &image);
    let failed = Failed::of("Task was begun too often and never ended");
    import.fail(failed).await
}

async fn drop_it(control: &Control, job: &Job, node: NodeId, message: &str) -> Result<Outcome> {
    let ended = control.ended(Err(message.to_owned()));
    control.db.import_drop(job.id, node, &ended).await?;
    Ok(Outcome::Done)
}

/// The stores that do not have the image yet.
fn missing(control: &Control, input: &ImportInput, image: &Image) -> Vec<StoreId> {
    if !control.settings.multistore {
        return vec![control.stores.default_id().clone()];
    }
    let has = |store: &StoreId| {
        let mut stores = image
            .locations
            .iter()
            .filter_map(|location| location.store());
        stores.any(|other| other == *store)
    };
    let stores = input.stores.iter().map(|name| StoreId::new(name));
    stores.filter(|store| !has(store)).collect()
}

impl<'a> Import<'a> {
    fn of(
        control: &'a Arc<Control>,
        job: &'a Job,
        node: NodeId,
        input: ImportInput,
        image: &Image,
    ) -> Self {
        Self {
            targets: missing(control, &input, image),
            control,
            job,
            node,
            input,
            change: Change::default(),
            growth: None,
        }
    }

    async fn carry_out(mut self, plane: &Plane, image: Image) -> Result<Outcome> {
        let prepared = Box::pin(self.prepare(plane, &image));
        let (coming, demands) = match self.heard(prepared).await? {
            Some(Ok(prepared)) => prepared,
            Some(Err(failed)) => return self.fail(failed).await,
            None => return Ok(Outcome::Lost),
        };
        self.change = coming.change.clone();
        let (intents, lost) = match self.intents(&image, coming.size).await {
            Ok(intents) => intents,
            Err(failed) => return self.fail(failed).await,
        };
        if intents.is_empty() {
            return self.fail(Failed::without_stores(lost)).await;
        }
        let attempts = self.control.attempts(intents, self.input.must_succeed);
        match self.record_writes(&attempts, coming.size).await {
            Ok(growth) => self.growth = growth,
            Err(db::Error::Lost) => {
                attempts.covered.settle();
                return Ok(Outcome::Lost);
            }
            Err(error @ db::Error::OverQuota(_)) => {
                attempts.covered.settle();
                let told = self.over_quota(coming.size, error).await;
                return self.fail(Failed::of(told)).await;
            }
            // Perhaps it was written: the sweep looks.
            Err(error) => return Err(error.into()),
        }
        let plan = WritePlan {
            image: image.id.clone(),
            size: coming.size,
            limit_bytes: self.control.settings.image_size_cap_bytes,
            targets: attempts.targets,
            os_hash_algo: Some(self.algorithm(&image, coming.is_copy)),
            more_digests: Vec::new(),
            expect: Some(demands.expect),
            known: coming.known.clone(),
            signature: demands.signature,
            encryption: demands.encryption,
        };
        self.transfer(plane, &plan, coming, attempts.covered, lost)
            .await
    }

    /// The bytes as they go into the stores, and what they must be.
    async fn prepare(
        &self,
        plane: &Plane,
        image: &Image,
    ) -> Result<Result<(Coming, Demands), Failed>> {
        let coming = match source::open(self, plane, image).await? {
            Ok(coming) => coming,
            Err(failed) => return Ok(Err(failed)),
        };
        let with = |coming: &Coming| {
            let mut image = image.clone();
            coming.change.apply(&mut image);
            image
        };
        let before = with(&coming);
        let coming = match self.plugged(plane, coming, &before).await? {
            Ok(coming) => coming,
            Err(failed) => return Ok(Err(failed)),
        };
        let demands = self.demands(&with(&coming), &coming).map_err(Failed::of);
        Ok(demands.map(|demands| (coming, demands)))
    }

    /// Does what may take long while the task says that it lives. None: somebody took its lock for
    /// stale.
    async fn heard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        let mut work = pin!(work);
        loop {
            match timeout(SPEAK_EVERY, &mut work).await {
                Ok(done) => return done.map(Some),
                Err(_) if self.control.db.task_progress(self.job.id, None).await? => {}
                Err(_) => return Ok(None),
            }
        }
    }

    async fn record_writes(
        &self,
        attempts: &Attempts,
        size: DeclaredSize,
    ) -> db::Result<Option<Arc<Growth>>> {
        let (db, writes) = (&self.control.db, &attempts.writes);
        let (id, image) = (self.job.id, &self.job.image);
        let reservation = self.reservation(size);
        db.import_writes(id, image, self.node, writes, reservation.as_ref())
            .await?;
        let attempts = writes.iter().map(|write| write.attempt).collect();
        Ok(reservation.and_then(|reservation| Growth::of(db, reservation, attempts)))
    }

    /// What a task says whose project has no room.
    async fn over_quota(&self, size: DeclaredSize, error: db::Error) -> String {
        let mut bounds = self.reservation(size).map(|reservation| reservation.bounds);
        let told = self.control.try_again(&mut bounds, identity, error).await;
        let told = told.err();
        told.map_or_else(String::new, |error| error.to_string())
    }

    async fn transfer(
        self,
        plane: &Plane,
        plan: &WritePlan,
        mut coming: Coming,
        covered: Covered,
        lost: Vec<StoreId>,
    ) -> Result<Outcome> {
        // How fast its own stores are read is not the source's fault.
        let mut plane = plane.clone();
        if coming.is_ours {
            plane.settings.min_rate_bytes_per_second = 0;
        }
        let steward = ImportSteward::new(&self, covered.transfer().clone(), lost);
        let source = coming.source.as_mut();
        let moved = ingress::ingest(&plane, plan, source, &steward).await;
        let lost = steward.finish();
        // Files of plugins go before the end is recorded.
        drop(coming.source);
        self.settle(moved, covered, lost, coming.is_ours).await
    }

    /// What the bytes must be. A copy is of what was checked when it came, and of what was encrypted as it
    /// was staged the signature was.
    fn demands(&self, image: &Image, coming: &Coming) -> Result<Demands, String> {
        let expect = self.control.expect(image);
        let certified = self.input.certified.as_ref();
        Ok(Demands {
            expect: expect.map_err(|error| error.to_string())?,
            signature: match coming.is_sealed {
                true => None,
                false => signature::of_import(image, certified)?,
            },
            encryption: match coming.is_copy {
                true => Encryption::None,
                false => encryption::of_import(image),
            },
        })
    }

    /// What is recorded of how the bytes went.
    async fn settle(
        self,
        moved: data::Result<Vec<Receipt>>,
        covered: Covered,
        lost: Vec<StoreId>,
        is_ours: bool,
    ) -> Result<Outcome> {
        match moved {
            Ok(receipts) if self.input.must_succeed => self.record_all(&receipts, covered).await,
            // The steward has recorded each as it came.
            Ok(_) => {
                self.control.undo(covered).await;
                self.finish(&lost).await
            }
            Err(data::Error::Stopped(
                reason @ (StopReason::LeaseLost | StopReason::Draining | StopReason::Deleted),
            )) => {
                info!(image.id = %self.job.image, %reason, "An import stops here");
                self.control.undo(covered).await;
                Ok(Outcome::Lost)
            }
            // Of the data and of the stores that says nothing.
            Err(error) if error.is_busy() => {
                self.control.undo(covered).await;
                Err(error.into())
            }
            Err(error) => {
                warn!(image.id = %self.job.image, %error, cause = ?std::error::Error::source(&error), "An import failed");
                self.control.undo(covered).await;
                let refused = self.growth.as_ref().and_then(|growth| growth.refused());
                // A store that failed was told of when it did.
                if lost.is_empty() {
                    let control = self.control;
                    control.not_stored(&self.job.image, &error, refused.as_ref());
                }
                let message = match refused {
                    Some(refused) => refused.to_string(),
                    None => words(&self.job.image, error, is_ours),
                };
                let stores = lost;
                self.fail(Failed { message, stores }).await
            }
        }
    }

    /// Where in each store the bytes go, and the stores that cannot even say that.
    async fn intents(
        &self,
        image: &Image,
        size: DeclaredSize,
    ) -> Result<(Vec<(StoreId, Intent)>, Vec<StoreId>), Failed> {
        let (mut intents, mut lost) = (Vec::new(), Vec::new());
        for store in &self.targets {
            let intent = match self.control.stores.get(store) {
                Some(_) => {
                    let intent = self.control.intend(store, image, size);
                    intent.await
                }
                None => Err(store::Error::Unavailable(store.clone()).into()),
            };
            match intent {
                Ok(intent) => intents.push((store.clone(), intent)),
                Err(error) => {
                    warn!(image.id = %self.job.image, %store, %error, "An import cannot begin in store {store}");
                    lost.push(store.clone());
                    if self.input.must_succeed {
                        let message = error.to_string();
                        let stores = lost;
                        return Err(Failed { message, stores });
                    }
                }
            }
        }
        Ok((intents, lost))
    }

    /// The legacy quota is judged by each write, as in Glance; Keystone's limits were before.
    fn reservation(&self, size: DeclaredSize) -> Option<Reservation> {
        let limit_bytes = match &self.control.limits {
            None => self.control.settings.user_storage_quota_bytes?,
            Some(_) => return None,
        };
        let project = self.input.project.clone().map(ProjectId::new);
        Some(Reservation {
            bounds: Bounds {
                project,
                stored: Some(Stored::UserStorageQuota { limit_bytes }),
                images_max: None,
                uploading_max: None,
                staged_max_mib: None,
            },
            size_bytes: size.hint(),
        })
    }

    /// A copy is hashed as its image was.
    fn algorithm(&self, image: &Image, is_copy: bool) -> HashAlgorithm {
        let own = image.os_hash_algo.as_deref().filter(|_| is_copy);
        let own = own.and_then(|name| name.parse().ok());
        own.unwrap_or(self.control.settings.hashing_algorithm)
    }

    fn is_copy(&self) -> bool {
        self.input.method == Method::CopyImage
    }

    /// Whether a failure is every store's, because Glance undoes with it what it did for all of them.
    fn blames_all(&self) -> bool {
        let converts = self.control.settings.import.plugins.stage.convert.is_some();
        match self.input.method {
            Method::WebDownload | Method::GlanceDownload => true,
            Method::GlanceDirect => converts,
            Method::CopyImage => false,
        }
    }
}

/// What a task says of data that did not arrive. Of our own stores users learn no more.
fn words(image: &ImageId, error: data::Error, is_ours: bool) -> String {
    match error {
        data::Error::Client(cause) if !is_ours || cause.kind() == io::ErrorKind::InvalidData => {
            format!("The data cannot be read: {cause}")
        }
        data::Error::Client(_) => "The data cannot be read".to_owned(),
        data::Error::TooSlow => "The data comes too slowly".to_owned(),
        other => told(image.clone(), other).to_string(),
    }
}

impl Failed {
    fn of(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            stores: Vec::new(),
        }
    }

    fn without_stores(lost: Vec<StoreId>) -> Self {
        Self {
            message: "None of the uploads finished!".to_owned(),
            stores: lost,
        }
    }
}
