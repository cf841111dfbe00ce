//! The journal of writes and the leases of nodes (ADR 9): what a crash leaves is found here.
//!
//! Before its first byte a write is a row of `fresnel_writes`; its node is a row of
//! `fresnel_nodes` with a lease that the node renews. Times are the database's clock, so nodes need
//! not agree on the time. A write whose node's lease ran out is dead: some node fences it, after
//! which its owner can publish nothing, cleans up after it, and takes the row away.

use std::{fmt, str::FromStr, time::Duration};

use chrono::Utc;
use uuid::Uuid;

use super::{
    Db, artifact,
    conn::Row,
    dialect::Dialect,
    error::{Error, Result},
    image, job,
    pool::{Transaction, transact},
    quota::{self, Reservation},
    rows::cell,
    save,
    sql::Sql,
};
use crate::{
    control::notify::Event,
    model::{Attempt, Image, ImageId, Status, StoreId},
};

/// A running process. One that lost its lease joins again under a new id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Uuid);

impl NodeId {
    /// A fresh id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NodeId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The intent to write one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWrite {
    /// The try; its row's key.
    pub attempt: Attempt,
    /// Who writes.
    pub node: NodeId,
    /// Where.
    pub store: StoreId,
    /// The store's own name for the bytes until they are published.
    pub object: String,
}

/// A write that is there, and perhaps dead: its node's lease ran out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadWrite {
    /// The try.
    pub attempt: Attempt,
    /// The image that was to have the bytes.
    pub image: ImageId,
    /// Who wrote.
    pub node: NodeId,
    /// Where.
    pub store: StoreId,
    /// The store's own name for the bytes until they are published.
    pub object: String,
}

/// What became of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The lease held all the time.
    InTime,
    /// It had run out. What another node has fenced meanwhile is lost.
    Late,
    /// The node is forgotten: it must join again under a new id.
    Gone,
}

/// Rows of nodes that wrote nothing are forgotten after a day: they are of no use but in a log.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Db {
    /// The database's clock, as the time since 1970.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn clock(&self) -> Result<Duration> {
        let sql = Sql::new(format!("SELECT {}", self.pool.dialect().clock_us()));
        let rows = self.pool.fetch(&sql).await?;
        let row = rows.first().ok_or(Error::NotFound)?;
        let micros = cell(row.int(0), "the database", "clock")?;
        Ok(Duration::from_micros(micros.unsigned_abs()))
    }

    /// Enters a node with a lease.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when that id is or was a node's.
    pub async fn node_join(&self, node: NodeId, lease: Duration) -> Result<()> {
        let now = self.pool.dialect().clock_us();
        let mut sql = Sql::new(format!(
            "DELETE FROM fresnel_nodes WHERE lease_until_us < {now} - ? AND NOT EXISTS \
             (SELECT 1 FROM fresnel_writes w WHERE w.node_id = fresnel_nodes.id \
             OR w.fenced_by = fresnel_nodes.id)"
        ));
        self.pool.execute(sql.bind(micros(FORGET_AFTER))).await?;
        let mut sql = Sql::new(format!(
            "INSERT INTO fresnel_nodes (id, joined_at_us, lease_until_us) \
             VALUES (?, {now}, {now} + ?)"
        ));
        sql.bind(node.to_string()).bind(micros(lease));
        self.pool.execute(&sql).await?;
        Ok(())
    }

    /// Renews the lease, one that has run out, too: writes of this node that no other has fenced
    /// meanwhile are its own again.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn node_beat(&self, node: NodeId, lease: Duration) -> Result<Beat> {
        let now = self.pool.dialect().clock_us();
        let any = format!("UPDATE fresnel_nodes SET lease_until_us = {now} + ? WHERE id = ?");
        let living = format!("{any} AND lease_until_us > {now}");
        for (text, beat) in [(living, Beat::InTime), (any, Beat::Late)] {
            let mut sql = Sql::new(text);
            sql.bind(micros(lease)).bind(node.to_string());
            if self.pool.execute_urgently(&sql).await? == 1 {
                return Ok(beat);
            }
        }
        Ok(Beat::Gone)
    }

    /// Whether a node has a lease.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn node_lives(&self, node: NodeId) -> Result<bool> {
        let now = self.pool.dialect().clock_us();
        let mut sql = Sql::new(format!(
            "SELECT 1 FROM fresnel_nodes WHERE id = ? AND lease_until_us > {now}"
        ));
        Ok(!self
            .pool
            .fetch(sql.bind(node.to_string()))
            .await?
            .is_empty())
    }

    /// Takes a node away that ends in order. Writes that it leaves behind are dead at once, and its
    /// jobs wait for another.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn node_leave(&self, node: NodeId) -> Result<()> {
        let dialect = self.pool.dialect();
        let jobs = job::give_back(dialect, node, job::Back::Unfinished, Duration::ZERO);
        self.pool.execute(&jobs).await?;
        let mut sql = Sql::new("DELETE FROM fresnel_nodes WHERE id = ?");
        self.pool.execute(sql.bind(node.to_string())).await?;
        Ok(())
    }

    /// Records the writes and moves the image, all or nothing: see [`Db::image_save`]. With a
    /// reservation, also reserves what each of the writes needs.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another was first; [`Error::NotFound`] when the image is gone;
    /// [`Error::OverQuota`].
    pub async fn write_begin(
        &self,
        before: &Image,
        after: &Image,
        writes: &[NewWrite],
        reservation: Option<&Reservation>,
    ) -> Result<()> {
        let insert = insert(self.pool.dialect(), &after.id, writes, reservation);
        let _turn = match reservation {
            Some(reservation) => Some(self.turns.take(reservation.bounds.project.as_ref()).await),
            None => None,
        };
        transact!(self.pool, |t| {
            if let Some(reservation) = reservation {
                quota::reserve(t, reservation, writes.len() as u64).await?;
            }
            t.execute(&insert).await?;
            save::save(t, before, after).await?;
            // Staged bytes are not the image's yet.
            match after.status {
                Status::Saving => tell_prepared(t, after, writes).await,
                _ => Ok(()),
            }
        })
    }

    /// Records what an attempt really writes, before its first byte.
    ///
    /// # Errors
    /// [`Error::Lost`] when the attempt was fenced or the node's lease ran out.
    pub async fn write_object(&self, attempt: Attempt, node: NodeId, object: &str) -> Result<()> {
        let mut sql = Sql::new(format!(
            "UPDATE fresnel_writes SET object = ? WHERE attempt = ? AND node_id = ? \
             AND fenced_by IS NULL AND NOT ({})",
            expired(self.pool.dialect(), "node_id")
        ));
        sql.bind(object).bind(attempt.to_string());
        match self.pool.execute(sql.bind(node.to_string())).await? {
            1 => Ok(()),
            _ => Err(Error::Lost),
        }
    }

    /// Publishes: takes the attempts' rows away and moves the image, all or nothing.
    ///
    /// # Errors
    /// [`Error::Lost`] when an attempt was fenced;
    /// [`Error::Conflict`] when the image has moved; [`Error::NotFound`] when it is gone.
    pub async fn write_finish(
        &self,
        attempts: &[Attempt],
        node: NodeId,
        before: &Image,
        after: &Image,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            end(t, attempts, node).await?;
            save::write(t, before, after).await?;
            t.tell(|teller| teller.image_stored(before, after)).await
        })
    }

    /// Takes the attempts' rows away, after their bytes are gone, and releases their image if they
    /// still held it.
    ///
    /// # Errors
    /// Only those of the database; what is gone already is no error.
    pub async fn write_abandon(&self, attempts: &[Attempt], image: &ImageId) -> Result<()> {
        let mut delete = Sql::new("DELETE FROM fresnel_writes WHERE attempt IN ");
        delete.push_list(attempts.iter().map(Attempt::to_string));
        transact!(self.pool, |t| {
            release(t, attempts, image).await?;
            t.execute(&delete).await?;
            Ok(())
        })
    }

    /// Lets go of an image before the bytes of its fenced attempts are gone. The rows stay for
    /// whoever removes those, and no quota counts them any more.
    ///
    /// # Errors
    /// Only those of the database; what is released already is no error.
    pub async fn write_release(&self, attempts: &[Attempt], image: &ImageId) -> Result<()> {
        transact!(self.pool, |t| { release(t, attempts, image).await })
    }

    /// Whether the journal knows of the attempt.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn write_exists(&self, attempt: Attempt) -> Result<bool> {
        let mut sql = Sql::new("SELECT 1 FROM fresnel_writes WHERE attempt = ?");
        let rows = self.pool.fetch(sql.bind(attempt.to_string())).await?;
        Ok(!rows.is_empty())
    }

    /// Writes that `node` should fence: the lease of theirs ran out, and no live node has fenced
    /// them yet. Its own are not among them: it knows itself that it lives, though its heartbeat may be late.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn writes_dead(&self, node: NodeId, limit: u32) -> Result<Vec<DeadWrite>> {
        let mut sql = writes(&dead(self.pool.dialect()));
        sql.push(" AND node_id <> ? ORDER BY begun_at_us LIMIT ?");
        sql.bind(node.to_string()).bind(i64::from(limit));
        self.writes(&sql).await
    }

    /// All of those at one image.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn writes_dead_at(&self, node: NodeId, image: &ImageId) -> Result<Vec<DeadWrite>> {
        let mut sql = writes(&dead(self.pool.dialect()));
        sql.push(" AND node_id <> ? AND image_id = ?");
        sql.bind(node.to_string()).bind(image.as_str());
        self.writes(&sql).await
    }

    /// Claims a write that is dead or the caller's own, so that nothing of it can be published.
    /// True: it is the caller's to clean up, and no other live node's; also when it was before.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn write_fence(&self, attempt: Attempt, by: NodeId) -> Result<bool> {
        let dialect = self.pool.dialect();
        let mut sql = Sql::new(format!(
            "UPDATE fresnel_writes SET fenced_by = ? WHERE attempt = ? AND (node_id = ? OR {}) \
             AND (fenced_by = ? OR {})",
            expired(dialect, "node_id"),
            expired(dialect, "fenced_by")
        ));
        let by = by.to_string();
        sql.bind(by.as_str()).bind(attempt.to_string());
        sql.bind(by.as_str()).bind(by.as_str());
        Ok(self.pool.execute(&sql).await? == 1)
    }

    /// The node's own writes that no node has fenced.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn writes_unfenced(&self, node: NodeId) -> Result<Vec<DeadWrite>> {
        let mut sql = writes("node_id = ? AND fenced_by IS NULL");
        self.writes(sql.bind(node.to_string())).await
    }

    /// The node's own writes whose image takes no bytes any more: it was deleted meanwhile.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn writes_unwanted(&self, node: NodeId) -> Result<Vec<Attempt>> {
        // Uploads, staging, imports, and copies to further stores.
        const WRITTEN: [Status; 5] = [
            Status::Saving,
            Status::Uploading,
            Status::Importing,
            Status::Active,
            Status::Deactivated,
        ];
        let mut sql = Sql::new(
            "SELECT attempt FROM fresnel_writes WHERE node_id = ? AND NOT EXISTS (SELECT 1 FROM \
             images i WHERE i.id = fresnel_writes.image_id AND i.status IN ",
        );
        sql.bind(node.to_string());
        sql.push_list(WRITTEN.iter().map(|status| status.as_str().to_owned()));
        // An artifact with an upload is not deleted.
        sql.push(
            ") AND NOT EXISTS (SELECT 1 FROM fresnel_artifact_blobs b \
             WHERE b.id = fresnel_writes.image_id)",
        );
        self.attempts(&sql).await
    }

    async fn writes(&self, sql: &Sql) -> Result<Vec<DeadWrite>> {
        const TABLE: &str = "fresnel_writes";
        let corrupt = |column| Error::Corrupt {
            table: TABLE,
            column,
        };
        let write = |row: &Row| {
            let attempt = cell(row.text(0), TABLE, "attempt")?;
            let node = cell(row.text(2), TABLE, "node_id")?;
            Ok(DeadWrite {
                attempt: attempt.parse().map_err(|_| corrupt("attempt"))?,
                image: ImageId::new(cell(row.text(1), TABLE, "image_id")?),
                node: node.parse().map_err(|_| corrupt("node_id"))?,
                store: StoreId::new(&cell(row.text(3), TABLE, "store")?),
                object: cell(row.text(4), TABLE, "object")?,
            })
        };
        self.pool.fetch(sql).await?.iter().map(write).collect()
    }

    async fn attempts(&self, sql: &Sql) -> Result<Vec<Attempt>> {
        let rows = self.pool.fetch(sql).await?;
        let attempt = |row: &Row| {
            let text = cell(row.text(0), "fresnel_writes", "attempt")?;
            text.parse().map_err(|_| Error::Corrupt {
                table: "fresnel_writes",
                column: "attempt",
            })
        };
        rows.iter().map(attempt).collect()
    }
}

/// Marks the attempts as released. With the last that held an image which still is in `saving` or
/// `uploading`, the image goes back to `queued`, without size, hashes and locations. One that is
/// imported is its job's.
async fn release(t: &mut Transaction, attempts: &[Attempt], image: &ImageId) -> Result<()> {
    let mut mark = Sql::new(
        "UPDATE fresnel_writes SET released = true, project = NULL, reserved_bytes = 0 \
         WHERE released = false AND attempt IN ",
    );
    mark.push_list(attempts.iter().map(Attempt::to_string));
    if t.execute(&mark).await? == 0 {
        return Ok(());
    }
    let id = image.as_str();
    let now = t.dialect().stored(Utc::now().naive_utc());
    let mut sql = Sql::new(
        "UPDATE images SET status = ?, size = NULL, virtual_size = NULL, checksum = NULL, \
         os_hash_algo = NULL, os_hash_value = NULL, updated_at = ? WHERE id = ? \
         AND status IN (?, ?) AND deleted = false AND NOT EXISTS \
         (SELECT 1 FROM fresnel_writes w WHERE w.image_id = images.id AND w.released = false)",
    );
    sql.bind(Status::Queued.as_str()).bind(now).bind(id);
    sql.bind(Status::Saving.as_str());
    if t.execute(sql.bind(Status::Uploading.as_str())).await? == 0 {
        return artifact::give_up(t, image).await;
    }
    let mut sql = Sql::new(
        "UPDATE image_locations SET deleted = true, status = 'deleted', deleted_at = ?, \
         updated_at = ? WHERE image_id = ? AND deleted = false",
    );
    t.execute(sql.bind(now).bind(now).bind(id)).await?;
    if t.teller().is_some() {
        let queued = image::load(t, image).await?;
        t.tell(|teller| teller.image("image.update", &queued))
            .await?;
    }
    Ok(())
}

/// The rows of writes that are about to begin.
pub(super) fn insert(
    dialect: Dialect,
    image: &ImageId,
    writes: &[NewWrite],
    reservation: Option<&Reservation>,
) -> Sql {
    let mut insert = Sql::new(
        "INSERT INTO fresnel_writes (attempt, image_id, node_id, store, object, begun_at_us, \
         project, reserved_bytes) VALUES ",
    );
    let row = format!("(?, ?, ?, ?, ?, {}, ?, ?)", dialect.clock_us());
    let project = reservation.map(|reservation| quota::key(reservation.bounds.project.as_ref()));
    let reserved_bytes = reservation.map_or(0, Reservation::reserved_bytes);
    for (index, write) in writes.iter().enumerate() {
        insert.push(if index == 0 { "" } else { ", " }).push(&row);
        insert.bind(write.attempt.to_string()).bind(image.as_str());
        insert.bind(write.node.to_string());
        insert
            .bind(write.store.as_str())
            .bind(write.object.as_str());
        insert.bind(project).bind(reserved_bytes.cast_signed());
    }
    insert
}

/// Tells of the bytes that each write is about to give the image.
pub(super) async fn tell_prepared(
    t: &mut Transaction,
    image: &Image,
    writes: &[NewWrite],
) -> Result<()> {
    t.tell(|teller| -> Vec<Event> {
        let stores = writes.iter().map(|write| &write.store);
        stores
            .filter_map(|store| teller.image_prepared(image, store))
            .collect()
    })
    .await
}

/// Takes the rows of writes away that end well: [`Error::Lost`] when one was fenced. A lease that has run
/// out is no loss: who takes a write over fences it first, in the same row.
pub(super) async fn end(t: &mut Transaction, attempts: &[Attempt], node: NodeId) -> Result<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    let mut delete = Sql::new(
        "DELETE FROM fresnel_writes WHERE node_id = ? AND fenced_by IS NULL AND attempt IN ",
    );
    delete.bind(node.to_string());
    delete.push_list(attempts.iter().map(Attempt::to_string));
    match t.execute(&delete).await? == attempts.len() as u64 {
        true => Ok(()),
        false => Err(Error::Lost),
    }
}

/// Reads the rows of which that is true.
fn writes(condition: &str) -> Sql {
    Sql::new(format!(
        "SELECT attempt, image_id, node_id, store, object FROM fresnel_writes WHERE {condition}"
    ))
}

/// Neither the writer's lease holds nor that of whoever fenced the write.
fn dead(dialect: Dialect) -> String {
    format!(
        "{} AND {}",
        expired(dialect, "node_id"),
        expired(dialect, "fenced_by")
    )
}

/// No node of that id has a lease.
fn expired(dialect: Dialect, column: &str) -> String {
    let now = dialect.clock_us();
    format!(
        "NOT EXISTS (SELECT 1 FROM fresnel_nodes n WHERE n.id = fresnel_writes.{column} \
         AND n.lease_until_us > {now})"
    )
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}
