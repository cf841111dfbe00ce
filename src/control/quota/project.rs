//! Quotas of a project (reference C.7.2, C.7.3): which are in force, and uploads that reserve as they
//! grow. The sums and the judgement are in `control::db`, under the project's lock.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tracing::warn;

use crate::{
    control::{
        Caller, Control, Error, Result,
        db::{
            self, Bounds, Db, IMAGE_COUNT_TOTAL, IMAGE_COUNT_UPLOADING, IMAGE_SIZE_TOTAL,
            IMAGE_STAGE_TOTAL, Over, Reservation, Stored,
        },
    },
    data::StopReason,
    model::{Attempt, ProjectId},
};

/// An upload whose size nobody said: it reserves what has arrived, each time that the data plane
/// reports, and the whole before it is published.
#[derive(Debug)]
pub(in crate::control) struct Growth {
    db: Db,
    bounds: Bounds,
    attempts: Vec<Attempt>,
    reserved_bytes: AtomicU64,
    over: Mutex<Option<Over>>,
}

impl Control {
    /// What bounds the caller's project; none where no quota is in force. As in Glance, it is the
    /// project of the caller and not the image's that is asked.
    ///
    /// # Errors
    /// [`Error::IdentityUnavailable`].
    pub(in crate::control) async fn bounds(&self, caller: &Caller) -> Result<Option<Bounds>> {
        let project = caller.project.clone();
        let Some(limits) = &self.limits else {
            let quota = self.settings.user_storage_quota_bytes;
            return Ok(quota.map(|limit_bytes| Bounds {
                project,
                stored: Some(Stored::UserStorageQuota { limit_bytes }),
                images_max: None,
                uploading_max: None,
                staged_max_mib: None,
            }));
        };
        let found = limits.of(project.as_ref().map(ProjectId::as_str)).await;
        let found = found.map_err(Error::IdentityUnavailable)?;
        Ok(Some(by_limits(project, &found)))
    }

    /// A write did not come about. Where a limit refused it that was raised meanwhile, `bounds` are
    /// the new ones, `narrow`ed to what the write is judged by, and it may try again.
    ///
    /// # Errors
    /// What the client is told.
    pub(in crate::control) async fn try_again(
        &self,
        bounds: &mut Option<Bounds>,
        narrow: fn(Bounds) -> Bounds,
        error: db::Error,
    ) -> Result<()> {
        let (Some(old), db::Error::OverQuota(over)) = (&*bounds, &error) else {
            return Err(error.into());
        };
        let refused = refused(old, *over);
        let Some(limits) = &self.limits else {
            return Err(refused);
        };
        let project = old.project.clone();
        let found = limits
            .renewed(project.as_ref().map(ProjectId::as_str))
            .await;
        let found = found.map_err(Error::IdentityUnavailable)?;
        let newer = narrow(by_limits(project, &found));
        if newer == *old {
            return Err(refused);
        }
        *bounds = Some(newer);
        Ok(())
    }

    /// What the caller's project uses, what uploads that go on have reserved included, and its
    /// limits; nothing without Keystone's limits.
    ///
    /// # Errors
    /// [`Error::IdentityUnavailable`].
    pub async fn usage(&self, caller: &Caller) -> Result<Vec<Used>> {
        let Some(limits) = &self.limits else {
            return Ok(Vec::new());
        };
        let project = caller.project.as_ref();
        let found = limits.of(project.map(ProjectId::as_str)).await;
        let found = found.map_err(Error::IdentityUnavailable)?;
        let usage = self.db.usage(project).await?;
        let used = [
            (
                IMAGE_SIZE_TOTAL,
                (usage.stored_bytes + usage.reserved_bytes) >> 20,
            ),
            (IMAGE_STAGE_TOTAL, usage.staged_bytes >> 20),
            (IMAGE_COUNT_TOTAL, usage.images),
            (IMAGE_COUNT_UPLOADING, usage.uploading),
        ];
        let used = used.into_iter().map(|(resource, usage)| Used {
            resource,
            usage,
            limit: found.get(resource).copied().unwrap_or(0),
        });
        Ok(used.collect())
    }
}

/// A limit of Keystone's, and what is used of it, in its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The limit's name.
    pub resource: &'static str,
    /// What is in use.
    pub usage: u64,
    /// The limit; below zero there is none.
    pub limit: i64,
}

/// A limit that is not registered is 0, as oslo.limit has it.
fn by_limits(project: Option<ProjectId>, limits: &HashMap<String, i64>) -> Bounds {
    let limit = |name| u64::try_from(limits.get(name).copied().unwrap_or(0)).ok();
    Bounds {
        project,
        stored: limit(IMAGE_SIZE_TOTAL).map(|limit_mib| Stored::ImageSizeTotal { limit_mib }),
        images_max: limit(IMAGE_COUNT_TOTAL),
        uploading_max: limit(IMAGE_COUNT_UPLOADING),
        staged_max_mib: limit(IMAGE_STAGE_TOTAL),
    }
}

impl Growth {
    /// Of an upload that has begun; none where it has reserved all already, or nothing bounds it.
    pub(in crate::control) fn of(
        db: &Db,
        reservation: Reservation,
        attempts: Vec<Attempt>,
    ) -> Option<Arc<Self>> {
        let grows = reservation.size_bytes.is_none() && reservation.bounds.stored.is_some();
        grows.then(|| {
            Arc::new(Self {
                db: db.clone(),
                bounds: reservation.bounds,
                attempts,
                reserved_bytes: AtomicU64::new(0),
                over: Mutex::new(None),
            })
        })
    }

    /// So much has arrived. What the database cannot be asked now is asked at the next report.
    ///
    /// # Errors
    /// [`StopReason::QuotaSpent`], [`StopReason::LeaseLost`].
    pub(in crate::control) async fn extend(&self, received_bytes: u64) -> Result<(), StopReason> {
        match self.reserve(received_bytes).await {
            Ok(()) => Ok(()),
            Err(db::Error::OverQuota(over)) => {
                *self.over.lock() = Some(over);
                Err(StopReason::QuotaSpent)
            }
            Err(db::Error::Lost) => Err(StopReason::LeaseLost),
            Err(error) => {
                warn!(%error, "Could not reserve for an upload yet; it goes on until it ends");
                Ok(())
            }
        }
    }

    /// All has arrived: nothing is published that is not reserved.
    ///
    /// # Errors
    /// The quota's and the database's.
    pub(in crate::control) async fn complete(&self, size_bytes: u64) -> Result<()> {
        match self.reserve(size_bytes).await {
            // `write_finish` says so, too, and what is to be done.
            Ok(()) | Err(db::Error::Lost) => Ok(()),
            Err(db::Error::OverQuota(over)) => Err(refused(&self.bounds, over)),
            Err(error) => Err(error.into()),
        }
    }

    /// What stopped it, if it was the quota.
    pub(in crate::control) fn refused(&self) -> Option<Error> {
        let over = *self.over.lock();
        over.map(|over| refused(&self.bounds, over))
    }

    async fn reserve(&self, bytes: u64) -> db::Result<()> {
        let reserved_bytes = self.reserved_bytes.load(Ordering::Relaxed);
        if bytes > reserved_bytes {
            let attempts = &self.attempts;
            let grown = self
                .db
                .write_grow(attempts, &self.bounds, reserved_bytes, bytes);
            grown.await?;
            self.reserved_bytes.store(bytes, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn refused(bounds: &Bounds, over: Over) -> Error {
    match over {
        Over::Storage {
            size_bytes,
            remaining_bytes,
        } => Error::StorageQuotaFull {
            size_bytes,
            remaining_bytes,
        },
        Over::Limit {
            resource,
            limit,
            usage,
            delta,
        } => Error::LimitExceeded {
            project: bounds.project.clone(),
            resource,
            limit,
            usage,
            delta,
        },
    }
}
