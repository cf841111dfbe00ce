//! An import (reference B.3): the source is read once and goes to all stores at once.
//!
//! ```text
//! claim -> end what a dead node began -> source -> attempts -> data::ingest -> record -> unstage
//! ```
//!
//! It begins again from its source when its node dies, and then goes to the stores that do not have
//! the image yet. One that fails leaves an image that can be staged again.

mod record;
mod source;
mod steward;

use std::{convert::identity, sync::Arc};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{Outcome, digest::load};
use crate::{
    control::{
        Control, Result,
        attempts::Attempts,
        db::{self, Bounds, Job, NodeId, Reservation, Stored},
        import::{LOCK, Method, Web},
        lease::Covered,
        signature::{self, Certified},
        sweep,
        upload::told,
    },
    data::{self, Expect, Plane, Receipt, StopReason, WritePlan, ingress, signature::Signature},
    model::{HashAlgorithm, Image, ProjectId, StoreId},
    store::{self, Intent},
};

use source::Origin;
use steward::ImportSteward;

pub(super) use source::is_possible;

/// What a row of the kind `import` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportInput {
    /// How the bytes come.
    pub method: Method,
    /// From where, for some methods.
    pub web: Option<Web>,
    /// Where they go; empty in single-store mode.
    pub stores: Vec<String>,
    /// Whether one store that fails fails all.
    pub must_succeed: bool,
    /// The project that asked, whose quota it is.
    pub project: Option<String>,
    /// The certificate of the image's signature.
    #[serde(default)]
    pub(in crate::control) certified: Option<Certified>,
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
/// The database's: nothing is known to be recorded, and it is begun again.
pub(super) async fn run(
    control: &Arc<Control>,
    plane: &Plane,
    job: &Job,
    node: NodeId,
) -> Result<Outcome> {
    let Some(input) = ImportInput::of(job) else {
        warn!(image.id = %job.image, input = job.input, "A job that makes no sense");
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
    let import = Import {
        targets: missing(control, &input, &image),
        control,
        job,
        node,
        input,
    };
    import.carry_out(plane, image).await
}

/// The end of an import that was begun too often.
pub(super) async fn give_up(control: &Arc<Control>, job: &Job, node: NodeId) -> Result<()> {
    let (Some(input), Some(image)) = (ImportInput::of(job), load(control, &job.image).await?)
    else {
        return drop_it(control, job, node, "Task failed due to Internal Error")
            .await
            .map(drop);
    };
    let import = Import {
        targets: missing(control, &input, &image),
        control,
        job,
        node,
        input,
    };
    let failed = Failed::of("Task was begun too often and never ended");
    import.fail(failed).await.map(drop)
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

impl Import<'_> {
    async fn carry_out(self, plane: &Plane, image: Image) -> Result<Outcome> {
        let origin = match source::open(&self, &image).await? {
            Ok(origin) => origin,
            Err(failed) => return self.fail(failed).await,
        };
        let (expect, signature) = match self.demands(&image) {
            Ok(demands) => demands,
            Err(message) => return self.fail(Failed::of(message)).await,
        };
        let (intents, lost) = match self.intents(&origin).await {
            Ok(intents) => intents,
            Err(failed) => return self.fail(failed).await,
        };
        if intents.is_empty() {
            return self.fail(Failed::without_stores(lost)).await;
        }
        let Attempts {
            covered,
            targets,
            writes,
        } = self.control.attempts(intents, self.input.must_succeed);
        let reservation = self.reservation(&origin);
        let control = self.control;
        let recorded = control.db.import_writes(
            self.job.id,
            &image.id,
            self.node,
            &writes,
            reservation.as_ref(),
        );
        match recorded.await {
            Ok(()) => {}
            Err(db::Error::Lost) => {
                covered.settle();
                return Ok(Outcome::Lost);
            }
            Err(error @ db::Error::OverQuota(_)) => {
                covered.settle();
                let mut bounds = reservation.map(|reservation| reservation.bounds);
                let told = control.try_again(&mut bounds, identity, error).await;
                let told = told
                    .err()
                    .map_or_else(String::new, |error| error.to_string());
                return self.fail(Failed::of(told)).await;
            }
            // Perhaps it was written: the sweep looks.
            Err(error) => return Err(error.into()),
        }
        let plan = WritePlan {
            image: image.id.clone(),
            size: origin.size(),
            limit_bytes: control.settings.image_size_cap_bytes,
            targets,
            os_hash_algo: Some(self.algorithm(&image)),
            expect: Some(expect),
            known: origin.known(&image),
            signature,
        };
        let steward = ImportSteward::new(&self, covered.transfer().clone(), lost);
        // How fast its own stores are read is not the source's fault.
        let mut plane = plane.clone();
        if origin.is_ours() {
            plane.settings.min_rate_bytes_per_second = 0;
        }
        let moved = {
            let mut source = origin.source(&plane);
            ingress::ingest(&plane, &plan, source.as_mut(), &steward).await
        };
        let lost = steward.finish();
        self.settle(moved, covered, lost).await
    }

    /// What the bytes must be, and who must have signed them.
    fn demands(&self, image: &Image) -> Result<(Expect, Option<Signature>), String> {
        let expect = self.control.expect(image);
        let expect = expect.map_err(|error| error.to_string())?;
        let certified = self.input.certified.as_ref();
        Ok((expect, signature::of_import(image, certified)?))
    }

    /// What is recorded of how the bytes went.
    async fn settle(
        self,
        moved: data::Result<Vec<Receipt>>,
        covered: Covered,
        lost: Vec<StoreId>,
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
            Err(error) => {
                warn!(image.id = %self.job.image, %error, cause = ?std::error::Error::source(&error), "An import failed");
                self.control.undo(covered).await;
                let message = told(self.job.image.clone(), error).to_string();
                let stores = lost;
                self.fail(Failed { message, stores }).await
            }
        }
    }

    /// Where in each store the bytes go, and the stores that cannot even say that.
    async fn intents(
        &self,
        origin: &Origin,
    ) -> Result<(Vec<(StoreId, Intent)>, Vec<StoreId>), Failed> {
        let (mut intents, mut lost) = (Vec::new(), Vec::new());
        for store in &self.targets {
            let intent = match self.control.stores.get(store) {
                Some(_) => {
                    let intent = self.control.intend(store, &self.job.image, origin.size());
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
    fn reservation(&self, origin: &Origin) -> Option<Reservation> {
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
            size_bytes: origin.size().hint(),
        })
    }

    /// A copy is hashed as its image was.
    fn algorithm(&self, image: &Image) -> HashAlgorithm {
        let own = image.os_hash_algo.as_deref();
        let own = own.filter(|_| self.input.method == Method::CopyImage);
        let own = own.and_then(|name| name.parse().ok());
        own.unwrap_or(self.control.settings.hashing_algorithm)
    }

    fn is_copy(&self) -> bool {
        self.input.method == Method::CopyImage
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
