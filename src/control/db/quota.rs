//! Quotas of projects: bytes and counts, reserved before they are used (reference C.7).
//!
//! Whoever reserves for a project locks its row of `fresnel_quota`, then sums up what Glance's
//! tables and `fresnel_writes` say, then records. So reservations of one project come one after the
//! other, on any number of nodes, and what they see is never older than the lock. On Galera two
//! nodes lock the same row at once; the later of them fails its certification and tries again.
//!
//! Within a process who waits for his turn holds no connection, so that a project that uploads a lot
//! leaves the others theirs.
//!
//! A reservation is a column of the write's row. The transaction that takes the row away also
//! records the image's size and location: the bytes move from reserved to used at once, and those
//! of a write that fails, or whose node died, return when its row goes.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::{
    Db,
    conn::Row,
    dialect::Dialect,
    error::{Error, Result},
    pool::{Transaction, transact},
    rows::cell,
    save,
    sql::Sql,
};
use crate::model::{Attempt, Image, ProjectId};

/// What a project uses and what there may be of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The project; none is that of callers without one.
    pub project: Option<ProjectId>,
    /// Bytes in stores.
    pub stored: Option<Stored>,
    /// Images.
    pub images_max: Option<u64>,
    /// Images that are uploaded or imported.
    pub uploading_max: Option<u64>,
    /// Keystone's `image_stage_total`: MiB in staging, rounded down.
    pub staged_max_mib: Option<u64>,
}

/// A limit of bytes: Glance has two, and judges by each in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// `user_storage_quota`: no upload may pass it.
    UserStorageQuota {
        /// The most.
        limit_bytes: u64,
    },
    /// Keystone's `image_size_total`, in whole MiB, rounded down. An upload whose size nobody said
    /// begins and goes on while what others use is within the limit: it may itself pass it, but
    /// never two at once.
    ImageSizeTotal {
        /// The most.
        limit_mib: u64,
    },
}

/// What a project uses: Glance's own sums, and what is reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The size of each image times its locations.
    pub stored_bytes: u64,
    /// Reserved by uploads that go on.
    pub reserved_bytes: u64,
    /// In staging.
    pub staged_bytes: u64,
    /// Images.
    pub images: u64,
    /// Images that are uploaded, imported or copied.
    pub uploading: u64,
}

/// A limit that is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// `user_storage_quota`.
    Storage {
        /// Of the image, where it is known.
        size_bytes: Option<u64>,
        /// Left without the image; negative where more than the quota is in use.
        remaining_bytes: i64,
    },
    /// A limit of Keystone's, in its unit.
    Limit {
        /// The limit's name.
        resource: &'static str,
        /// The limit.
        limit: u64,
        /// What is in use.
        usage: u64,
        /// What was asked for.
        delta: u64,
    },
}

/// What an upload reserves at its start, for each of its writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Whose, within what.
    pub bounds: Bounds,
    /// None: nobody said; it reserves as it grows.
    pub size_bytes: Option<u64>,
}

impl Reservation {
    /// What each write reserves in the stores.
    pub(super) fn reserved_bytes(&self) -> u64 {
        match self.bounds.stored {
            Some(_) => self.size_bytes.unwrap_or(0),
            None => 0,
        }
    }
}

/// The names of Keystone's limits.
pub const IMAGE_SIZE_TOTAL: &str = "image_size_total";
/// See [`IMAGE_SIZE_TOTAL`].
pub const IMAGE_STAGE_TOTAL: &str = "image_stage_total";
/// See [`IMAGE_SIZE_TOTAL`].
pub const IMAGE_COUNT_TOTAL: &str = "image_count_total";
/// See [`IMAGE_SIZE_TOTAL`].
pub const IMAGE_COUNT_UPLOADING: &str = "image_count_uploading";

impl Db {
    /// What the project uses now.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn usage(&self, project: Option<&ProjectId>) -> Result<Usage> {
        let sql = usage_select(self.pool.dialect(), project, &SUMS);
        read_usage(&self.pool.fetch(&sql).await?)
    }

    /// [`Db::image_create`] if the project may have one more image.
    ///
    /// # Errors
    /// As there, and [`Error::OverQuota`].
    pub async fn image_create_within(&self, image: &Image, bounds: &Bounds) -> Result<()> {
        let Some(limit) = bounds.images_max else {
            return self.image_create(image).await;
        };
        let inserts = save::insert(self.pool.dialect(), image);
        let project = bounds.project.as_ref();
        let _turn = self.turns.take(project).await;
        let created = transact!(self.pool, |t| {
            one_more(t, project, limit).await?;
            for insert in &inserts {
                t.execute(insert).await?;
            }
            t.tell(|teller| teller.image("image.create", image)).await
        });
        created.map_err(|error| save::taken(error, &image.id))
    }

    /// Reserves for an upload of unknown size, of which so much has arrived, for each of its
    /// writes. `reserved_bytes` is what each had reserved before.
    ///
    /// # Errors
    /// [`Error::OverQuota`]; [`Error::Lost`] when an attempt was fenced.
    pub async fn write_grow(
        &self,
        attempts: &[Attempt],
        bounds: &Bounds,
        reserved_bytes: u64,
        received_bytes: u64,
    ) -> Result<()> {
        let copies = attempts.len() as u64;
        let mut update = Sql::new(
            "UPDATE fresnel_writes SET reserved_bytes = ? WHERE fenced_by IS NULL AND attempt IN ",
        );
        update.bind(received_bytes.cast_signed());
        update.push_list(attempts.iter().map(Attempt::to_string));
        let project = bounds.project.as_ref();
        let _turn = self.turns.take(project).await;
        transact!(self.pool, |t| {
            lock(t, project).await?;
            let used = usage(t, project, &[Sum::Stored, Sum::Reserved]).await?;
            bounds.growth(&used, reserved_bytes * copies, received_bytes, copies)?;
            if t.execute(&update).await? != copies {
                return Err(Error::Lost);
            }
            Ok(())
        })
    }
}

/// One at a time of each project, or of whatever has a name, first come, first served.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Turns {
    /// Waits for the project's turn, which lasts until the guard is dropped.
    pub(super) async fn take(&self, project: Option<&ProjectId>) -> OwnedMutexGuard<()> {
        self.take_named(key(project)).await
    }

    /// The same for what is no project.
    pub(super) async fn take_named(&self, name: &str) -> OwnedMutexGuard<()> {
        self.of(name).lock_owned().await
    }

    fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut waiting = self.waiting.lock();
        if let Some(turn) = waiting.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        waiting.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        waiting.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

/// Takes the project's lock; fails if it may not have one more image.
pub(super) async fn one_more(
    t: &mut Transaction,
    project: Option<&ProjectId>,
    limit: u64,
) -> Result<()> {
    lock(t, project).await?;
    let used = usage(t, project, &[Sum::Images]).await?;
    within(IMAGE_COUNT_TOTAL, limit, used.images, 1)
}

/// Makes a reservation, as a part of the transaction that records the writes.
pub(super) async fn reserve(
    t: &mut Transaction,
    reservation: &Reservation,
    copies: u64,
) -> Result<()> {
    lock(t, reservation.bounds.project.as_ref()).await?;
    judge(t, reservation, copies, 1).await
}

/// Judges a reservation for an image that the transaction has moved already, under the lock that it
/// has taken before.
pub(super) async fn judge_moved(t: &mut Transaction, reservation: &Reservation) -> Result<()> {
    judge(t, reservation, 1, 0).await
}

/// `new` is how many images are about to be uploaded that are not yet.
async fn judge(
    t: &mut Transaction,
    reservation: &Reservation,
    copies: u64,
    new: u64,
) -> Result<()> {
    let bounds = &reservation.bounds;
    let mut sums = Vec::new();
    if bounds.stored.is_some() {
        sums.extend([Sum::Stored, Sum::Reserved]);
    }
    if bounds.uploading_max.is_some() {
        sums.push(Sum::Uploading);
    }
    if bounds.staged_max_mib.is_some() {
        sums.push(Sum::Staged);
    }
    let mut used = usage(t, bounds.project.as_ref(), &sums).await?;
    used.uploading += new;
    bounds.upload(&used, reservation.size_bytes, copies)
}

/// How `fresnel_quota` and `fresnel_writes` name the project.
pub(super) fn key(project: Option<&ProjectId>) -> &str {
    project.map_or("", ProjectId::as_str)
}

impl Bounds {
    /// What an upload is judged by.
    pub fn of_upload(self) -> Self {
        Self {
            staged_max_mib: None,
            ..self
        }
    }

    /// What staging is judged by: only Keystone's limits know of it.
    pub fn of_staging(self) -> Self {
        Self {
            stored: None,
            ..self
        }
    }

    /// What the import of staged data is judged by (reference B.3). `user_storage_quota` is asked when
    /// the bytes are written.
    pub fn of_staged_import(self) -> Self {
        let stored = self.stored;
        Self {
            stored: stored.filter(|stored| matches!(stored, Stored::ImageSizeTotal { .. })),
            uploading_max: None,
            staged_max_mib: None,
            ..self
        }
    }

    /// What any other import is judged by: to Glance it is staged.
    pub fn of_import(self) -> Self {
        self.of_staging()
    }

    /// Whether an upload may begin that is among those which go on.
    fn upload(&self, usage: &Usage, size_bytes: Option<u64>, copies: u64) -> Result<()> {
        let used_bytes = usage.stored_bytes + usage.reserved_bytes;
        match self.stored {
            Some(Stored::UserStorageQuota { limit_bytes }) => {
                let remaining_bytes = limit_bytes.cast_signed() - used_bytes.cast_signed();
                let needs_bytes = size_bytes.unwrap_or(1).saturating_mul(copies);
                fits(needs_bytes, size_bytes, remaining_bytes)?;
            }
            Some(Stored::ImageSizeTotal { limit_mib }) => {
                let delta_mib = mib(size_bytes.unwrap_or(0).saturating_mul(copies));
                within(IMAGE_SIZE_TOTAL, limit_mib, mib(used_bytes), delta_mib)?;
            }
            None => {}
        }
        if let Some(limit) = self.staged_max_mib {
            let delta_mib = mib(size_bytes.unwrap_or(0));
            within(IMAGE_STAGE_TOTAL, limit, mib(usage.staged_bytes), delta_mib)?;
        }
        match self.uploading_max {
            // Glance counts when the image is one of them already.
            Some(limit) => within(IMAGE_COUNT_UPLOADING, limit, usage.uploading, 0),
            None => Ok(()),
        }
    }

    /// Whether an upload that nobody said the size of may have so much.
    fn growth(
        &self,
        usage: &Usage,
        own_bytes: u64,
        received_bytes: u64,
        copies: u64,
    ) -> Result<()> {
        let others_bytes = (usage.stored_bytes + usage.reserved_bytes).saturating_sub(own_bytes);
        match self.stored {
            Some(Stored::UserStorageQuota { limit_bytes }) => {
                let remaining_bytes = limit_bytes.cast_signed() - others_bytes.cast_signed();
                let needs_bytes = received_bytes.saturating_mul(copies);
                fits(needs_bytes, Some(received_bytes), remaining_bytes)
            }
            Some(Stored::ImageSizeTotal { limit_mib }) => {
                within(IMAGE_SIZE_TOTAL, limit_mib, mib(others_bytes), 0)
            }
            None => Ok(()),
        }
    }
}

fn fits(needs_bytes: u64, size_bytes: Option<u64>, remaining_bytes: i64) -> Result<()> {
    if i64::try_from(needs_bytes).is_ok_and(|needs| needs <= remaining_bytes) {
        return Ok(());
    }
    Err(Error::OverQuota(Over::Storage {
        size_bytes,
        remaining_bytes,
    }))
}

fn within(resource: &'static str, limit: u64, usage: u64, delta: u64) -> Result<()> {
    if usage + delta <= limit {
        return Ok(());
    }
    Err(Error::OverQuota(Over::Limit {
        resource,
        limit,
        usage,
        delta,
    }))
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

/// Keeps all other reservations for the project waiting until this transaction ends.
pub(super) async fn lock(t: &mut Transaction, project: Option<&ProjectId>) -> Result<()> {
    let mut update =
        Sql::new("UPDATE fresnel_quota SET reservations = reservations + 1 WHERE project = ?");
    if t.execute(update.bind(key(project))).await? == 1 {
        return Ok(());
    }
    let mut insert = Sql::new("INSERT INTO fresnel_quota (project, reservations) VALUES (?, 1)");
    match t.execute(insert.bind(key(project))).await {
        Ok(_) => Ok(()),
        // Another was first: now there is a row to lock.
        Err(Error::Duplicate(_)) => Err(Error::Busy),
        Err(error) => Err(error),
    }
}

/// What is summed up; only what is asked for is, because each reads all images of the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sum {
    Stored,
    Reserved,
    Staged,
    Images,
    Uploading,
}

/// All, in the order of [`read_usage`].
const SUMS: [Sum; 5] = [
    Sum::Stored,
    Sum::Reserved,
    Sum::Staged,
    Sum::Images,
    Sum::Uploading,
];

impl Sum {
    /// The sum in SQL, of the images `i` for which `alive` holds; as Glance has it.
    fn select(self, dialect: Dialect, alive: &str) -> String {
        /// Images that are copied to more stores, from staging, have such a `p`.
        const COPIED: &str = "LEFT JOIN image_properties p ON p.image_id = i.id \
             AND p.name = 'os_glance_importing_to_stores' AND p.value <> ''";
        let sum = |column| {
            let whole = dialect.integer_type();
            format!("SELECT CAST(COALESCE(SUM({column}), 0) AS {whole})")
        };
        match self {
            Self::Stored => format!(
                "{} FROM images i JOIN image_locations l ON l.image_id = i.id \
                 AND l.status <> 'deleted' WHERE {alive} AND i.size > 0",
                sum("i.size")
            ),
            Self::Reserved => format!(
                "{} FROM fresnel_writes w WHERE w.project = ?",
                sum("w.reserved_bytes")
            ),
            Self::Staged => format!(
                "{} FROM images i {COPIED} WHERE {alive} AND i.size > 0 \
                 AND (i.status IN ('uploading', 'importing') OR p.id IS NOT NULL)",
                sum("i.size")
            ),
            Self::Images => format!("SELECT COUNT(*) FROM images i WHERE {alive}"),
            Self::Uploading => format!(
                "SELECT COUNT(*) FROM images i {COPIED} WHERE {alive} \
                 AND (i.status IN ('saving', 'uploading', 'importing') OR p.id IS NOT NULL)"
            ),
        }
    }
}

/// The sums asked for in one statement, which sees one moment; the others are 0.
fn usage_select(dialect: Dialect, project: Option<&ProjectId>, asked: &[Sum]) -> Sql {
    let owner = match project {
        Some(_) => "i.owner = ?",
        None => "i.owner IS NULL",
    };
    let alive = format!("{owner} AND i.status NOT IN ('killed', 'deleted', 'pending_delete')");
    let mut sql = Sql::new("SELECT ");
    for (index, sum) in SUMS.into_iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" });
        if !asked.contains(&sum) {
            let whole = dialect.integer_type();
            sql.push(&format!("SELECT CAST(0 AS {whole}))"));
            continue;
        }
        sql.push(&sum.select(dialect, &alive)).push(")");
        match (sum, project) {
            (Sum::Reserved, _) => {
                sql.bind(key(project));
            }
            (_, Some(project)) => {
                sql.bind(project.as_str());
            }
            (_, None) => {}
        }
    }
    sql
}

async fn usage(t: &mut Transaction, project: Option<&ProjectId>, asked: &[Sum]) -> Result<Usage> {
    let sql = usage_select(t.dialect(), project, asked);
    read_usage(&t.fetch(&sql).await?)
}

fn read_usage(rows: &[Row]) -> Result<Usage> {
    let row = rows.first().ok_or(Error::NotFound)?;
    let number = |index| cell(row.int(index), "images", "sum").map(i64::unsigned_abs);
    Ok(Usage {
        stored_bytes: number(0)?,
        reserved_bytes: number(1)?,
        staged_bytes: number(2)?,
        images: number(3)?,
        uploading: number(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn used(stored_bytes: u64, reserved_bytes: u64) -> Usage {
        Usage {
            stored_bytes,
            reserved_bytes,
            uploading: 3,
            ..Usage::default()
        }
    }

    fn bounds(stored: Stored) -> Bounds {
        Bounds {
            project: None,
            stored: Some(stored),
            images_max: None,
            uploading_max: None,
            staged_max_mib: None,
        }
    }

    fn over(outcome: Result<()>) -> Over {
        match outcome {
            Err(Error::OverQuota(over)) => over,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_storage_quota_is_exact_to_the_byte() {
        let bounds = bounds(Stored::UserStorageQuota { limit_bytes: 100 });
        bounds.upload(&used(60, 30), Some(10), 1).unwrap();
        let refused = over(bounds.upload(&used(60, 30), Some(11), 1));
        let expected = Over::Storage {
            size_bytes: Some(11),
            remaining_bytes: 10,
        };
        assert_eq!(refused, expected);
        over(bounds.upload(&used(60, 30), Some(6), 2));
    }

    #[test]
    fn an_unknown_size_begins_while_there_is_room_and_ends_where_there_is_none() {
        let bounds = bounds(Stored::UserStorageQuota { limit_bytes: 100 });
        bounds.upload(&used(99, 0), None, 1).unwrap();
        over(bounds.upload(&used(99, 1), None, 1));
        // 20 of the reserved are its own.
        bounds.growth(&used(60, 30), 20, 30, 1).unwrap();
        over(bounds.growth(&used(60, 30), 20, 31, 1));
    }

    #[test]
    fn a_limit_of_keystone_counts_whole_mebibytes_as_glance_does() {
        let bounds = bounds(Stored::ImageSizeTotal { limit_mib: 10 });
        let usage = used(9 * MIB + 5, 0);
        bounds.upload(&usage, Some(2 * MIB - 1), 1).unwrap();
        let expected = Over::Limit {
            resource: IMAGE_SIZE_TOTAL,
            limit: 10,
            usage: 9,
            delta: 2,
        };
        assert_eq!(over(bounds.upload(&usage, Some(2 * MIB), 1)), expected);
    }

    #[test]
    fn one_upload_of_unknown_size_may_pass_a_limit_of_keystone_and_two_may_not() {
        let bounds = bounds(Stored::ImageSizeTotal { limit_mib: 10 });
        let full = used(10 * MIB, 0);
        bounds.upload(&full, None, 1).unwrap();
        bounds.growth(&full, 0, 5 * MIB, 1).unwrap();
        let first_has_grown = used(10 * MIB, 5 * MIB);
        over(bounds.upload(&first_has_grown, None, 1));
        over(bounds.growth(&first_has_grown, 0, 5 * MIB, 1));
        bounds
            .growth(&first_has_grown, 5 * MIB, 9 * MIB, 1)
            .unwrap();
    }

    #[test]
    fn the_upload_itself_counts_among_those_that_go_on() {
        let mut bounds = bounds(Stored::ImageSizeTotal { limit_mib: 10 });
        bounds.uploading_max = Some(3);
        bounds.upload(&used(0, 0), None, 1).unwrap();
        bounds.uploading_max = Some(2);
        let expected = Over::Limit {
            resource: IMAGE_COUNT_UPLOADING,
            limit: 2,
            usage: 3,
            delta: 0,
        };
        assert_eq!(over(bounds.upload(&used(0, 0), None, 1)), expected);
    }
}
