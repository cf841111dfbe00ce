//! Imports (reference A.5.4, B.3): the lock that a task has on its image, and the moves that go with
//! it. A lock is a property of the image, as Glance has it, so that a Glance beside us respects ours
//! and we its.

use chrono::Utc;

use super::{
    Bounds, Db, Ended, NewWrite, NodeId, Reservation, Staged,
    error::{Error, Result},
    image,
    job::{self, JobId, NewJob},
    journal,
    pool::{Transaction, transact},
    quota,
    save::{self, IMPORT_LOCK},
    sql::Sql,
    staged, task,
};
use crate::model::{Attempt, Image, ImageId, LocationStatus, Status, Task, TaskId};

/// What an import begins with: all of it, or nothing.
#[derive(Clone, Copy, Debug)]
pub struct ImportStart<'a> {
    /// The image as it was.
    pub before: &'a Image,
    /// As it is to be.
    pub after: &'a Image,
    /// The task, whose id is the lock.
    pub task: &'a Task,
    /// The job that does it, under the same id.
    pub job: &'a NewJob,
    /// A lock that is to be broken.
    pub stale: Option<Stale<'a>>,
    /// What bounds the project.
    pub within: Option<&'a Reservation>,
}

/// A lock whose task is not heard of any more.
#[derive(Clone, Copy, Debug)]
pub struct Stale<'a> {
    /// The lock as it is.
    pub lock: &'a str,
    /// The task, if there still is one.
    pub task: Option<TaskId>,
    /// How it ends.
    pub ended: &'a Ended,
}

/// What a job did to its image. Its id is that of the task and of the lock.
#[derive(Clone, Copy, Debug)]
pub struct ImportEnd<'a> {
    /// The job and the task.
    pub id: JobId,
    /// Who did it.
    pub node: NodeId,
    /// Writes that end with it.
    pub attempts: &'a [Attempt],
    /// The image as it was.
    pub before: &'a Image,
    /// As it is to be.
    pub after: &'a Image,
    /// How the task ended.
    pub ended: &'a Ended,
}

impl Db {
    /// Begins an import: the task, its job, its lock and the image's move.
    ///
    /// # Errors
    /// [`Error::Locked`] when another task has the image; [`Error::OverQuota`];
    /// [`Error::Conflict`] and [`Error::NotFound`] as [`Db::image_save`].
    pub async fn import_begin(&self, start: ImportStart<'_>) -> Result<()> {
        let project = start.within.map(|within| within.bounds.project.clone());
        let _turn = match &project {
            Some(project) => Some(self.turns.take(project.as_ref()).await),
            None => None,
        };
        transact!(self.pool, |t| {
            if let Some(project) = &project {
                quota::lock(t, project.as_ref()).await?;
            }
            if let Some(task) = start.stale.and_then(|stale| stale.task) {
                job::remove(t, task).await?;
            }
            job::add(t, start.job).await?;
            task::add(t, start.task).await?;
            save::write(t, start.before, start.after).await?;
            t.tell(|teller| teller.image("image.update", &locked(start)))
                .await?;
            // Glance counts when the image has moved, so that a copy counts twice in staging.
            if let Some(within) = start.within {
                quota::judge_moved(t, within).await?;
            }
            if let Some(stale) = start.stale {
                unlock(t, &start.before.id, stale.lock).await?;
                if let Some(task) = stale.task {
                    task::end(t, task, stale.ended).await?;
                }
            }
            lock(t, &start.before.id, start.task.id).await
        })
    }

    /// Records a task that failed before it began, and what that did to its image.
    ///
    /// # Errors
    /// As [`Db::image_save`].
    pub async fn import_refused(&self, task: &Task, before: &Image, after: &Image) -> Result<()> {
        transact!(self.pool, |t| {
            task::add(t, task).await?;
            save::save(t, before, after).await
        })
    }

    /// Records the writes of a job that still is the node's, for an image that still is its task's.
    ///
    /// # Errors
    /// [`Error::Lost`] when either is not; [`Error::OverQuota`].
    pub async fn import_writes(
        &self,
        id: JobId,
        image: &ImageId,
        node: NodeId,
        writes: &[NewWrite],
        reservation: Option<&Reservation>,
    ) -> Result<()> {
        let insert = journal::insert(self.pool.dialect(), image, writes, reservation);
        let holds = job::holds(self.pool.dialect(), id, node);
        let _turn = match reservation {
            Some(reservation) => Some(self.turns.take(reservation.bounds.project.as_ref()).await),
            None => None,
        };
        transact!(self.pool, |t| {
            if let Some(reservation) = reservation {
                quota::reserve(t, reservation, writes.len() as u64).await?;
            }
            t.execute(&insert).await?;
            if t.fetch(&holds).await?.is_empty() || !is_locked(t, image, id).await? {
                return Err(Error::Lost);
            }
            if t.teller().is_some() {
                let image = image::load(t, image).await?;
                journal::tell_prepared(t, &image, writes).await?;
            }
            Ok(())
        })
    }

    /// Records what a job has achieved so far, and goes on: takes the writes' rows away and moves
    /// the image, if it still is the task's.
    ///
    /// # Errors
    /// [`Error::Lost`], and as [`Db::image_save`].
    pub async fn import_advance(
        &self,
        id: JobId,
        node: NodeId,
        attempts: &[Attempt],
        before: &Image,
        after: &Image,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            journal::end(t, attempts, node).await?;
            save::write(t, before, after).await?;
            t.tell(|teller| teller.image_stored(before, after)).await?;
            match is_locked(t, &before.id, id).await? {
                true => Ok(()),
                false => Err(Error::Lost),
            }
        })
    }

    /// Ends an import: writes, job, task, image and lock, all or nothing.
    ///
    /// # Errors
    /// [`Error::Lost`] when a write was fenced, or the job or the image is not the node's any more;
    /// and as [`Db::image_save`].
    pub async fn import_end(&self, end: ImportEnd<'_>) -> Result<()> {
        transact!(self.pool, |t| {
            journal::end(t, end.attempts, end.node).await?;
            if !job::finish(t, end.id, end.node).await? {
                return Err(Error::Lost);
            }
            save::write(t, end.before, end.after).await?;
            t.tell(|teller| teller.image_stored(end.before, end.after))
                .await?;
            task::end(t, end.id, end.ended).await?;
            match unlock(t, &end.before.id, &end.id.to_string()).await? {
                true => Ok(()),
                false => Err(Error::Lost),
            }
        })
    }

    /// Begins a task that has an image of its own, which is locked by it from the start.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the image's id is taken; [`Error::OverQuota`]; [`Error::Refused`].
    pub async fn import_create(
        &self,
        task: &Task,
        job: &NewJob,
        image: &Image,
        within: Option<&Bounds>,
    ) -> Result<()> {
        let inserts = save::insert(self.pool.dialect(), image);
        let within = within.and_then(|bounds| Some((bounds, bounds.images_max?)));
        let _turn = match within {
            Some((bounds, _)) => Some(self.turns.take(bounds.project.as_ref()).await),
            None => None,
        };
        let created = transact!(self.pool, |t| {
            if let Some((bounds, limit)) = within {
                quota::one_more(t, bounds.project.as_ref(), limit).await?;
            }
            job::add(t, job).await?;
            task::add(t, task).await?;
            for insert in &inserts {
                t.execute(insert).await?;
            }
            t.tell(|teller| teller.image("image.create", image)).await?;
            lock(t, &image.id, task.id).await
        });
        created.map_err(|error| save::taken(error, &image.id))
    }

    /// Ends the job and the task of such an image, and the image, all or nothing.
    ///
    /// # Errors
    /// [`Error::Lost`] when the job is not the node's any more; [`Error::Conflict`] and
    /// [`Error::NotFound`] as [`Db::image_delete`].
    pub async fn import_undo(
        &self,
        id: JobId,
        node: NodeId,
        image: &Image,
        ended: &Ended,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            if !job::finish(t, id, node).await? {
                return Err(Error::Lost);
            }
            task::end(t, id, ended).await?;
            save::delete(t, image, Status::Deleted, LocationStatus::Deleted).await
        })
    }

    /// Ends the job and the task of an image that is another's by now.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn import_drop(&self, id: JobId, node: NodeId, ended: &Ended) -> Result<()> {
        transact!(self.pool, |t| {
            if job::finish(t, id, node).await? {
                task::end(t, id, ended).await?;
            }
            Ok(())
        })
    }

    /// [`Db::write_finish`] of data that is staged, and where.
    ///
    /// # Errors
    /// As there.
    pub async fn stage_finish(
        &self,
        attempts: &[Attempt],
        node: NodeId,
        before: &Image,
        after: &Image,
        data: &Staged,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            journal::end(t, attempts, node).await?;
            staged::add(t, data).await?;
            save::save(t, before, after).await
        })
    }
}

/// The image as others find it: with its task's lock.
fn locked(start: ImportStart<'_>) -> Image {
    let mut image = start.after.clone();
    let lock = Some(start.task.id.to_string());
    image.properties.insert(IMPORT_LOCK.to_owned(), lock);
    image
}

/// Takes the lock. As in Glance, the unique key of name and image decides; a deleted lock is revived.
async fn lock(t: &mut Transaction, image: &ImageId, task: TaskId) -> Result<()> {
    let now = t.dialect().stored(Utc::now().naive_utc());
    let name = t.dialect().exactly("name");
    let mut revive = Sql::new(format!(
        "UPDATE image_properties SET value = ?, deleted = false, deleted_at = NULL, \
         updated_at = ? WHERE image_id = ? AND {name} = ? AND deleted = true"
    ));
    revive.bind(task.to_string()).bind(now);
    revive.bind(image.as_str()).bind(IMPORT_LOCK);
    if t.execute(&revive).await? == 1 {
        return Ok(());
    }
    let mut insert = Sql::new(
        "INSERT INTO image_properties (image_id, name, value, created_at, updated_at, deleted) \
         VALUES (?, ?, ?, ?, ?, false)",
    );
    insert.bind(image.as_str()).bind(IMPORT_LOCK);
    insert.bind(task.to_string()).bind(now).bind(now);
    match t.execute(&insert).await {
        Ok(_) => Ok(()),
        Err(Error::Duplicate(_)) => Err(Error::Locked),
        Err(error) => Err(error),
    }
}

/// Gives the task's lock back. False: it has none.
async fn unlock(t: &mut Transaction, image: &ImageId, lock: &str) -> Result<bool> {
    let name = t.dialect().exactly("name");
    let mut sql = Sql::new(format!(
        "DELETE FROM image_properties WHERE image_id = ? AND {name} = ? AND value = ? \
         AND deleted = false"
    ));
    sql.bind(image.as_str()).bind(IMPORT_LOCK).bind(lock);
    Ok(t.execute(&sql).await? == 1)
}

async fn is_locked(t: &mut Transaction, image: &ImageId, task: TaskId) -> Result<bool> {
    let name = t.dialect().exactly("name");
    let mut sql = Sql::new(format!(
        "SELECT 1 FROM image_properties WHERE image_id = ? AND {name} = ? AND value = ? \
         AND deleted = false"
    ));
    sql.bind(image.as_str())
        .bind(IMPORT_LOCK)
        .bind(task.to_string());
    Ok(!t.fetch(&sql).await?.is_empty())
}
