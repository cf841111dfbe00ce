//! Background work (ADR 9): what goes on after its request is answered, and survives the
//! process that began it.
//!
//! A job is a row of `fresnel_jobs` as long as it is not done. A node that takes one writes its id
//! there, and its lease covers it: when the node dies, another takes the job over. The end of a job
//! and what it did to its image are one transaction, so a node that slept through its lease records
//! nothing.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Db, NodeId,
    conn::Row,
    dialect::Dialect,
    error::{Error, Result},
    journal::micros,
    pool::{Transaction, transact},
    rows::cell,
    save,
    sql::Sql,
    task::{self, Ended},
};
use crate::model::{Image, ImageId};

const TABLE: &str = "fresnel_jobs";

/// The key of a job.
pub type JobId = Uuid;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Computes the digests of an image whose bytes a client has registered. Its id is that of the task.
    Digest,
    /// Puts an image into its stores. Its id is that of the task and of the lock on the image.
    Import,
    /// Destroys the keys of a deleted image, once its data is gone.
    Keys,
}

impl JobKind {
    /// Every kind that this version knows.
    pub const ALL: [Self; 3] = [Self::Digest, Self::Import, Self::Keys];

    const TEXT: [(Self, &'static str); 3] = [
        (Self::Digest, "digest"),
        (Self::Import, "import"),
        (Self::Keys, "keys"),
    ];

    /// The text of the column.
    pub fn as_str(self) -> &'static str {
        Self::TEXT[self as usize].1
    }
}

/// A job to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Its key.
    pub id: JobId,
    /// What to do.
    pub kind: JobKind,
    /// To which image. With the image the job goes.
    pub image: ImageId,
    /// How: JSON, by kind.
    pub input: String,
}

/// A job that nobody works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its key.
    pub id: JobId,
    /// What to do.
    pub kind: JobKind,
    /// To which image.
    pub image: ImageId,
    /// How: JSON, by kind.
    pub input: String,
    /// How often a node has begun it.
    pub attempts: u32,
    /// How long no node has had it that lives, since its time has come.
    pub waits: Duration,
}

/// Why a node gives a job back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// It failed: the attempt counts.
    Failed,
    /// It was begun for nothing, and is not at fault: the attempt does not count.
    Unfinished,
}

impl Db {
    /// Records a job on its own.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn job_add(&self, job: &NewJob) -> Result<()> {
        self.pool.execute(&insert(self.pool.dialect(), job)).await?;
        Ok(())
    }

    /// Jobs of those kinds whose time has come and that no live node works on, oldest first.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn jobs_waiting(&self, kinds: &[JobKind], limit: u32) -> Result<Vec<Job>> {
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let dialect = self.pool.dialect();
        let mut sql = Sql::new(format!(
            "SELECT id, kind, image_id, input, attempts, {} - COALESCE((SELECT n.lease_until_us \
             FROM fresnel_nodes n WHERE n.id = fresnel_jobs.node_id), not_before_us) \
             FROM fresnel_jobs WHERE {} AND kind IN ",
            dialect.clock_us(),
            free(dialect)
        ));
        sql.push_list(kinds.iter().map(|kind| kind.as_str()));
        sql.push(" ORDER BY added_at_us LIMIT ?")
            .bind(i64::from(limit));
        self.pool.fetch(&sql).await?.iter().map(job).collect()
    }

    /// Takes a job for a node; counts the attempt. False: another was first, or the node has no lease, and
    /// what it took would be free again at once.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn job_claim(&self, id: JobId, node: NodeId) -> Result<bool> {
        let dialect = self.pool.dialect();
        let mut sql = Sql::new(format!(
            "UPDATE fresnel_jobs SET node_id = ?, attempts = attempts + 1 \
             WHERE id = ? AND {} AND {}",
            lives(dialect, "?"),
            free(dialect)
        ));
        sql.bind(node.to_string()).bind(id.to_string());
        Ok(self.pool.execute(sql.bind(node.to_string())).await? == 1)
    }

    /// Says of jobs that nobody works on that a node lives that will take them: they have waited for
    /// nobody so far.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn jobs_await(&self, jobs: &[JobId]) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let dialect = self.pool.dialect();
        let mut sql = Sql::new(format!(
            "UPDATE fresnel_jobs SET node_id = NULL, not_before_us = {} WHERE {} AND id IN ",
            dialect.clock_us(),
            free(dialect)
        ));
        sql.push_list(jobs.iter().map(JobId::to_string));
        self.pool.execute(&sql).await?;
        Ok(())
    }

    /// Whether the job is still there and the node's, by its lease.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn job_holds(&self, id: JobId, node: NodeId) -> Result<bool> {
        let sql = holds(self.pool.dialect(), id, node);
        Ok(!self.pool.fetch(&sql).await?.is_empty())
    }

    /// Ends a job and its task, and records what it did to its image, all or nothing: see
    /// [`Db::image_save`].
    ///
    /// # Errors
    /// [`Error::Lost`] when the job is not the node's any more; [`Error::Conflict`] when the image
    /// has moved; [`Error::NotFound`] when it is gone.
    pub async fn job_finish(
        &self,
        id: JobId,
        node: NodeId,
        (before, after): (&Image, &Image),
        ended: &Ended,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            if !finish(t, id, node).await? {
                return Err(Error::Lost);
            }
            task::end(t, id, ended).await?;
            save::save(t, before, after).await
        })
    }

    /// Ends a job that there is nothing to record of. One that is not the node's stays.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn job_drop(&self, id: JobId, node: NodeId) -> Result<()> {
        let sql = delete(self.pool.dialect(), id, node);
        self.pool.execute(&sql).await?;
        Ok(())
    }

    /// Gives a job back: it waits for a node again, at least for `wait`. False: the node has it not, or
    /// it has ended. A lease that has run out is no hindrance.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn job_release(
        &self,
        id: JobId,
        node: NodeId,
        back: Back,
        wait: Duration,
    ) -> Result<bool> {
        let mut sql = give_back(self.pool.dialect(), node, back, wait);
        sql.push(" AND id = ?").bind(id.to_string());
        Ok(self.pool.execute(&sql).await? == 1)
    }
}

/// [`Db::job_add`] as a part of a transaction.
pub(super) async fn add(transaction: &mut Transaction, job: &NewJob) -> Result<()> {
    let sql = insert(transaction.dialect(), job);
    transaction.execute(&sql).await?;
    Ok(())
}

/// Takes a job away that the node has. False: it has it not.
pub(super) async fn finish(t: &mut Transaction, id: JobId, node: NodeId) -> Result<bool> {
    let delete = delete(t.dialect(), id, node);
    Ok(t.execute(&delete).await? == 1)
}

/// Takes a job away, whoever has it.
pub(super) async fn remove(t: &mut Transaction, id: JobId) -> Result<()> {
    let mut sql = Sql::new("DELETE FROM fresnel_jobs WHERE id = ?");
    t.execute(sql.bind(id.to_string())).await?;
    Ok(())
}

/// A row, if the job is there and the node's, by its lease.
pub(super) fn holds(dialect: Dialect, id: JobId, node: NodeId) -> Sql {
    let mut sql = Sql::new(format!(
        "SELECT 1 FROM fresnel_jobs WHERE id = ? AND node_id = ? AND {}",
        lives(dialect, "fresnel_jobs.node_id")
    ));
    sql.bind(id.to_string()).bind(node.to_string());
    sql
}

/// Takes the jobs of an image away: who works on one finds that it does not hold it.
pub(super) async fn cancel(transaction: &mut Transaction, image: &ImageId) -> Result<()> {
    let mut sql = Sql::new("DELETE FROM fresnel_jobs WHERE image_id = ?");
    transaction.execute(sql.bind(image.as_str())).await?;
    Ok(())
}

/// Gives back what a node has, to wait at least for `wait`.
pub(super) fn give_back(dialect: Dialect, node: NodeId, back: Back, wait: Duration) -> Sql {
    let uncounted = match back {
        Back::Failed => "",
        Back::Unfinished => ", attempts = attempts - 1",
    };
    let mut sql = Sql::new(format!(
        "UPDATE fresnel_jobs SET node_id = NULL, not_before_us = {} + ?{uncounted} \
         WHERE node_id = ?",
        dialect.clock_us()
    ));
    sql.bind(micros(wait)).bind(node.to_string());
    sql
}

fn insert(dialect: Dialect, job: &NewJob) -> Sql {
    let now = dialect.clock_us();
    let mut sql = Sql::new(format!(
        "INSERT INTO fresnel_jobs (id, kind, image_id, input, attempts, added_at_us, \
         not_before_us) VALUES (?, ?, ?, ?, 0, {now}, {now})"
    ));
    sql.bind(job.id.to_string()).bind(job.kind.as_str());
    sql.bind(job.image.as_str()).bind(job.input.as_str());
    sql
}

fn delete(dialect: Dialect, id: JobId, node: NodeId) -> Sql {
    let mut sql = Sql::new(format!(
        "DELETE FROM fresnel_jobs WHERE id = ? AND node_id = ? AND {}",
        lives(dialect, "fresnel_jobs.node_id")
    ));
    sql.bind(id.to_string()).bind(node.to_string());
    sql
}

/// Nobody works on it, and its time has come: not while the image's data waits for the scrubber.
fn free(dialect: Dialect) -> String {
    format!(
        "not_before_us <= {} AND NOT {} AND NOT EXISTS (SELECT 1 FROM images i \
         WHERE i.id = fresnel_jobs.image_id AND i.status = 'pending_delete')",
        dialect.clock_us(),
        lives(dialect, "fresnel_jobs.node_id")
    )
}

/// A node has a lease.
fn lives(dialect: Dialect, node: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM fresnel_nodes n WHERE n.id = {node} AND n.lease_until_us > {})",
        dialect.clock_us()
    )
}

fn job(row: &Row) -> Result<Job> {
    let corrupt = |column| Error::Corrupt {
        table: TABLE,
        column,
    };
    let id = cell(row.text(0), TABLE, "id")?;
    let kind = cell(row.text(1), TABLE, "kind")?;
    let known = JobKind::TEXT.iter().find(|(_, name)| *name == kind);
    let attempts = cell(row.int(4), TABLE, "attempts")?;
    Ok(Job {
        id: id.parse().map_err(|_| corrupt("id"))?,
        kind: known.ok_or_else(|| corrupt("kind"))?.0,
        image: ImageId::new(cell(row.text(2), TABLE, "image_id")?),
        input: cell(row.text(3), TABLE, "input")?,
        attempts: u32::try_from(attempts).unwrap_or(0),
        waits: Duration::from_micros(row.int(5)?.unwrap_or(0).try_into().unwrap_or(0)),
    })
}
