//! What the scrubber and the mending of images ask.

use std::time::Duration;

use chrono::{NaiveDateTime, Utc};

use super::{
    Db,
    error::{Error, Result},
    pool::transact,
    rows::cell,
    save::CHILDREN,
    sql::Sql,
};
use crate::model::{Attempt, Image, ImageId, Location, LocationStatus, Status};

const LOCATIONS: &str = "image_locations";

/// The statuses in which an image waits for a process to go on.
const UNDER_WAY: [Status; 3] = [Status::Saving, Status::Uploading, Status::Importing];

/// What became of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Its status.
    pub status: Status,
    /// Since when it is deleted; none while it is not.
    pub deleted_at: Option<NaiveDateTime>,
}

impl Db {
    /// Locations whose data is still to be removed, and was given up at least `wait` ago; in the
    /// order of their rows, after the row `after`.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn locations_pending(
        &self,
        wait: Duration,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(ImageId, Location)>> {
        let mut sql = Sql::new(
            "SELECT id, image_id, value, meta_data FROM image_locations WHERE id > ? \
             AND status = 'pending_delete' AND (deleted_at IS NULL OR deleted_at <= ?) \
             ORDER BY id LIMIT ?",
        );
        sql.bind(after).bind(self.ago(wait)).bind(i64::from(limit));
        let mut found = Vec::new();
        for row in self.pool.fetch(&sql).await? {
            let metadata = row.text(3)?.unwrap_or_default();
            let location = Location {
                id: row.int(0)?,
                url: cell(row.text(2), LOCATIONS, "value")?,
                metadata: serde_json::from_str(&metadata).unwrap_or_default(),
                status: LocationStatus::PendingDelete,
            };
            let image = cell(row.text(1), LOCATIONS, "image_id")?;
            found.push((ImageId::new(image), location));
        }
        Ok(found)
    }

    /// Images in `pending_delete` for at least `wait` whose data is all gone are `deleted`.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn images_scrubbed(&self, wait: Duration) -> Result<u64> {
        let mut sql = Sql::new(
            "UPDATE images SET status = ?, updated_at = ? WHERE status = ? AND deleted = true \
             AND deleted_at <= ? AND NOT EXISTS (SELECT 1 FROM image_locations l \
             WHERE l.image_id = images.id AND l.status = 'pending_delete')",
        );
        sql.bind(Status::Deleted.as_str());
        sql.bind(self.ago(Duration::ZERO));
        sql.bind(Status::PendingDelete.as_str());
        sql.bind(self.ago(wait));
        self.pool.execute(&sql).await
    }

    /// The addresses that images have, or had with data still to be removed; with their rows, in
    /// their order, after the row `after`.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn addresses(&self, after: i64, limit: u32) -> Result<Vec<(i64, String)>> {
        let mut sql = Sql::new(
            "SELECT id, value FROM image_locations WHERE id > ? \
             AND (deleted = false OR status = 'pending_delete') ORDER BY id LIMIT ?",
        );
        sql.bind(after).bind(i64::from(limit));
        let rows = self.pool.fetch(&sql).await?;
        let address = rows.iter().map(|row| {
            let id = cell(row.int(0), LOCATIONS, "id")?;
            Ok((id, cell(row.text(1), LOCATIONS, "value")?))
        });
        address.collect()
    }

    /// The addresses that an image has.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn addresses_of(&self, image: &ImageId) -> Result<Vec<String>> {
        let mut sql = Sql::new(
            "SELECT value FROM image_locations WHERE image_id = ? AND deleted = false \
                 UNION ALL SELECT url FROM fresnel_artifact_blobs WHERE id = ? AND url IS NOT NULL",
        );
        sql.bind(image.as_str()).bind(image.as_str());
        let rows = self.pool.fetch(&sql).await?;
        let address = rows.iter().map(|row| cell(row.text(0), LOCATIONS, "value"));
        address.collect()
    }

    /// What became of an image; none when there never was one.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn image_fate(&self, image: &ImageId) -> Result<Option<Fate>> {
        let mut sql =
            Sql::new("SELECT status, deleted, deleted_at, updated_at FROM images WHERE id = ?");
        let rows = self.pool.fetch(sql.bind(image.as_str())).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let status = cell(row.text(0), "images", "status")?;
        let is_deleted = cell(row.bool(1), "images", "deleted")?;
        let deleted_at = match row.time(2)? {
            Some(time) => Some(time),
            None => row.time(3)?,
        };
        Ok(Some(Fate {
            status: status.parse().map_err(|_| Error::Corrupt {
                table: "images",
                column: "status",
            })?,
            deleted_at: deleted_at.filter(|_| is_deleted),
        }))
    }

    /// The attempts at an image that the journal has.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn writes_of(&self, image: &ImageId) -> Result<Vec<Attempt>> {
        let mut sql = Sql::new("SELECT attempt FROM fresnel_writes WHERE image_id = ?");
        let rows = self.pool.fetch(sql.bind(image.as_str())).await?;
        let attempt = rows.iter().map(|row| {
            let text = cell(row.text(0), "fresnel_writes", "attempt")?;
            text.parse().map_err(|_| Error::Corrupt {
                table: "fresnel_writes",
                column: "attempt",
            })
        });
        attempt.collect()
    }

    /// Images that have been in `saving`, `uploading` or `importing` without a change for `wait`, and
    /// on which nobody of us works; in the order of their ids, after `after`.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn images_stuck(
        &self,
        wait: Duration,
        after: &str,
        limit: u32,
    ) -> Result<Vec<ImageId>> {
        let mut sql = Sql::new(
            "SELECT i.id FROM images i WHERE i.id > ? AND i.deleted = false \
             AND i.updated_at <= ? AND NOT EXISTS (SELECT 1 FROM fresnel_writes w \
             WHERE w.image_id = i.id) AND NOT EXISTS (SELECT 1 FROM fresnel_jobs j \
             WHERE j.image_id = i.id) AND i.status IN ",
        );
        sql.bind(after).bind(self.ago(wait));
        sql.push_list(UNDER_WAY.map(Status::as_str));
        sql.push(" ORDER BY i.id LIMIT ?").bind(i64::from(limit));
        let rows = self.pool.fetch(&sql).await?;
        let id = rows.iter().map(|row| cell(row.text(0), "images", "id"));
        id.map(|id| Ok(ImageId::new(id?))).collect()
    }

    /// Makes an image of `pending_delete` active again, with the data that is still there, and what was
    /// deleted with it. False: it is not in that status, or nothing is left of its data. Glance forgets the
    /// locations, and the properties without which nobody can open what is encrypted.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn image_restore(&self, image: &ImageId) -> Result<bool> {
        let now = self.ago(Duration::ZERO);
        let id = image.as_str();
        transact!(self.pool, |t| {
            let mut sql = Sql::new("SELECT deleted_at FROM images WHERE id = ?");
            let rows = t.fetch(sql.bind(id)).await?;
            let deleted_at = rows.first().map_or(Ok(None), |row| row.time(0))?;
            let mut sql = Sql::new(
                "UPDATE images SET status = ?, deleted = false, deleted_at = NULL, updated_at = ? \
                 WHERE id = ? AND status = ? AND EXISTS (SELECT 1 FROM image_locations l \
                 WHERE l.image_id = images.id AND l.status = 'pending_delete')",
            );
            sql.bind(Status::Active.as_str()).bind(now).bind(id);
            sql.bind(Status::PendingDelete.as_str());
            if t.execute(&sql).await? != 1 {
                return Ok(false);
            }
            let mut sql = Sql::new(
                "UPDATE image_locations SET status = 'active', deleted = false, \
                 deleted_at = NULL, updated_at = ? WHERE image_id = ? \
                 AND status = 'pending_delete'",
            );
            t.execute(sql.bind(now).bind(id)).await?;
            let Some(deleted_at) = deleted_at else {
                return Ok(true);
            };
            let deleted_at = t.dialect().stored(deleted_at);
            for table in CHILDREN {
                let mut sql = Sql::new(format!(
                    "UPDATE {table} SET deleted = false, deleted_at = NULL, updated_at = ? \
                     WHERE image_id = ? AND deleted = true AND deleted_at = ?"
                ));
                t.execute(sql.bind(now).bind(id).bind(deleted_at)).await?;
            }
            Ok(true)
        })
    }

    /// When a task of Glance last moved, if it is neither over nor gone.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn task_moved_at(&self, task: &str) -> Result<Option<NaiveDateTime>> {
        let mut sql = Sql::new(
            "SELECT updated_at FROM tasks WHERE id = ? AND deleted = false \
             AND status IN ('pending', 'processing')",
        );
        let rows = self.pool.fetch(sql.bind(task)).await?;
        rows.first().map_or(Ok(None), |row| row.time(0))
    }

    /// Takes an image that is stuck from whoever left it so: it is `importing`, without a lock, and
    /// what would finish it finds that it came too late. False: it has moved, or somebody of us
    /// works on it.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn image_seize(&self, stuck: &Image, lock: Option<&str>) -> Result<bool> {
        let dialect = self.pool.dialect();
        let now = dialect.stored(Utc::now().naive_utc());
        let id = stuck.id.as_str();
        transact!(self.pool, |t| {
            let mut sql = Sql::new(
                "UPDATE images SET status = ? WHERE id = ? AND status = ? AND updated_at = ? \
                 AND deleted = false AND NOT EXISTS (SELECT 1 FROM fresnel_writes w \
                 WHERE w.image_id = images.id)",
            );
            sql.bind(Status::Importing.as_str()).bind(id);
            sql.bind(stuck.status.as_str());
            sql.bind(dialect.stored(stuck.updated_at));
            if t.execute(&sql).await? != 1 {
                return Ok(false);
            }
            let Some(task) = lock else {
                return Ok(true);
            };
            let mut sql = Sql::new(
                "DELETE FROM image_properties WHERE image_id = ? \
                 AND name = 'os_glance_import_task' AND value = ?",
            );
            t.execute(sql.bind(id).bind(task)).await?;
            let mut sql = Sql::new(
                "UPDATE task_info SET message = 'Given up by fresnel image recover' \
                 WHERE task_id IN (SELECT id FROM tasks WHERE id = ? \
                 AND status IN ('pending', 'processing'))",
            );
            t.execute(sql.bind(task)).await?;
            let mut sql = Sql::new(
                "UPDATE tasks SET status = 'failure', updated_at = ? WHERE id = ? \
                 AND status IN ('pending', 'processing')",
            );
            t.execute(sql.bind(now).bind(task)).await?;
            Ok(true)
        })
    }

    fn ago(&self, wait: Duration) -> NaiveDateTime {
        let wait = chrono::Duration::from_std(wait).unwrap_or(chrono::Duration::MAX);
        let now = Utc::now().naive_utc();
        let then = now.checked_sub_signed(wait).unwrap_or_default();
        self.pool.dialect().stored(then)
    }
}
