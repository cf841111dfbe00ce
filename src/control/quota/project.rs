//! Quotas of a project (reference C.7.2, C.7.3): which are in force, and uploads that reserve as they
//! grow. The sums and the judgement are in `control::db`, under the project's lock.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tracing::warn;

use crate::{
    control::{
        Caller, Control, Error, Result,
        db::{self, Bounds, Db, Over, Reservation, Stored},
    },
    data::StopReason,
    model::Attempt,
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
    pub(in crate::control) async fn bounds(&self, caller: &Caller) -> Result<Option<Bounds>> {
        let quota = self.settings.user_storage_quota_bytes;
        Ok(quota.map(|limit_bytes| Bounds {
            project: caller.project.clone(),
            stored: Some(Stored::UserStorageQuota { limit_bytes }),
            images_max: None,
            uploading_max: None,
        }))
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
            Err(error) => Err(told(Some(&self.bounds), error)),
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

/// A failure of the database, which may be a quota's.
pub(in crate::control) fn told(bounds: Option<&Bounds>, error: db::Error) -> Error {
    match (bounds, error) {
        (Some(bounds), db::Error::OverQuota(over)) => refused(bounds, over),
        (_, error) => error.into(),
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
