//! Blobs: begun together with the journal's row of their upload, finished together with its end
//! (ADR 9). What is nobody's any more stays recorded until its bytes are gone.

use tokio::sync::OwnedMutexGuard;

use super::{
    super::{
        Db,
        error::{Error, Result},
        journal::{self, NewWrite, NodeId},
        location::{self, Claim},
        pool::{Transaction, transact},
        rows::cell,
        sql::{Sql, Value},
    },
    ArtifactLimit, BLOB_COLUMNS, BLOBS, TABLE, blob, quota,
};
use crate::model::{
    Attempt, ImageId,
    artifact::{Artifact, Blob},
};

/// A blob that is to be filled.
#[derive(Clone, Debug)]
pub struct NewBlob<'a> {
    /// Whose, as it was read.
    pub artifact: &'a Artifact,
    /// In `saving`.
    pub blob: &'a Blob,
    /// The bytes that its upload is to have; none where nobody told.
    pub wanted: Option<u64>,
    /// The most that the type allows.
    pub most: u64,
    /// What its owner may have.
    pub limits: &'a [ArtifactLimit],
}

/// A blob in whose place another came; its bytes are to be removed.
pub type Replaced = Option<Blob>;

impl Db {
    /// Waits until nobody else of this process begins an upload to the artifact. Lasts until the guard is
    /// dropped: of many who begin at once none is overtaken by all the others.
    pub async fn blob_turn(&self, artifact: &str) -> OwnedMutexGuard<()> {
        self.turns.take_named(&format!("artifact {artifact}")).await
    }

    /// Records an upload and the blob that it fills. Returns the bytes that are reserved for it: those
    /// that it may have at most.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the artifact has changed meanwhile; [`Error::OverArtifacts`].
    pub async fn blob_begin(&self, new: &NewBlob<'_>, write: &NewWrite) -> Result<u64> {
        let dialect = self.pool.dialect();
        let journal = journal::insert(dialect, &new.blob.id, std::slice::from_ref(write), None);
        let _turn = self.turns.take(Some(&new.artifact.owner)).await;
        transact!(self.pool, |t| {
            quota::lock(t, new.artifact, new.limits).await?;
            t.execute(&journal).await?;
            count_up(t, new.artifact, None).await?;
            let left = quota::left_bytes(t, new.artifact, new.limits, new.wanted).await?;
            let room = left.map_or(new.most, |left| left.min(new.most));
            let reserved = new.wanted.unwrap_or(room);
            let mut blob = new.blob.clone();
            blob.size_bytes = Some(reserved);
            t.execute(&insert(&new.artifact.id, &blob)).await?;
            Ok(reserved)
        })
    }

    /// Ends an upload well: its blob is there, in the place of one that was there before.
    ///
    /// # Errors
    /// [`Error::Lost`] when the attempt was fenced; [`Error::NotFound`] when the blob is gone.
    pub async fn blob_finish(
        &self,
        artifact: &str,
        filled: &Blob,
        attempt: Attempt,
        node: NodeId,
        now_us: i64,
    ) -> Result<Replaced> {
        let key = filled.key.as_deref();
        transact!(self.pool, |t| {
            journal::end(t, &[attempt], node).await?;
            let mut sql = Sql::new(format!(
                "UPDATE {TABLE} SET updated_at_us = ?, revision = revision + 1 WHERE id = ?"
            ));
            if t.execute(sql.bind(now_us).bind(artifact)).await? == 0 {
                return Err(Error::NotFound);
            }
            let mut sql = Sql::new(format!(
                "SELECT {BLOB_COLUMNS} FROM {BLOBS} WHERE artifact_id = ? AND name = ? \
                 AND status = 'active'"
            ));
            sql.bind(artifact).bind(filled.field.as_str());
            let before = t.fetch(&sql).await?;
            let before = before.iter().map(|row| Ok(blob(row)?.1));
            let before = before.collect::<Result<Vec<Blob>>>()?;
            let replaced = before.into_iter().find(|blob| blob.key.as_deref() == key);
            if let Some(replaced) = &replaced {
                t.execute(&give_up_sql(replaced)).await?;
            }
            if t.execute(&complete(filled)).await? == 0 {
                return Err(Error::NotFound);
            }
            Ok(replaced)
        })
    }

    /// Gives an artifact a blob that is somewhere already; one whose bytes are to be its own only where
    /// they are nobody's.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the artifact has changed meanwhile; [`Error::Taken`].
    pub async fn blob_add(
        &self,
        artifact: &Artifact,
        blob: &Blob,
        claims: &[Claim<'_>],
        now_us: i64,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            if !claims.is_empty() {
                location::refuse_taken(t, None, claims).await?;
            }
            count_up(t, artifact, Some(now_us)).await?;
            t.execute(&insert(&artifact.id, blob)).await?;
            Ok(())
        })
    }

    /// Takes an external blob from an artifact.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the artifact has changed meanwhile.
    pub async fn blob_remove(&self, artifact: &Artifact, blob: &Blob, now_us: i64) -> Result<()> {
        let mut delete = Sql::new(format!("DELETE FROM {BLOBS} WHERE id = ?"));
        delete.bind(blob.id.as_str());
        transact!(self.pool, |t| {
            count_up(t, artifact, Some(now_us)).await?;
            t.execute(&delete).await?;
            Ok(())
        })
    }

    /// Blobs whose bytes are to be removed, in the order of their ids, after one.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn blobs_given_up(&self, after: &str, limit: u32) -> Result<Vec<Blob>> {
        let mut sql = Sql::new(format!(
            "SELECT {BLOB_COLUMNS} FROM {BLOBS} WHERE status = 'pending_delete' AND id > ? \
             ORDER BY id LIMIT ?"
        ));
        sql.bind(after).bind(i64::from(limit));
        let rows = self.pool.fetch(&sql).await?;
        rows.iter().map(|row| Ok(blob(row)?.1)).collect()
    }

    /// The bytes of a blob that was given up are gone.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn blob_forget(&self, id: &ImageId) -> Result<()> {
        let mut sql = Sql::new(format!(
            "DELETE FROM {BLOBS} WHERE id = ? AND status = 'pending_delete'"
        ));
        self.pool.execute(sql.bind(id.as_str())).await?;
        Ok(())
    }

    /// The addresses of blobs in our stores, in the order of their ids, after one.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn blob_addresses(&self, after: &str, limit: u32) -> Result<Vec<(String, String)>> {
        let mut sql = Sql::new(format!(
            "SELECT id, url FROM {BLOBS} WHERE id > ? AND url IS NOT NULL AND is_external = false \
             ORDER BY id LIMIT ?"
        ));
        let rows = self
            .pool
            .fetch(sql.bind(after).bind(i64::from(limit)))
            .await?;
        let address = rows.iter().map(|row| {
            let id = cell(row.text(0), BLOBS, "id")?;
            Ok((id, cell(row.text(1), BLOBS, "url")?))
        });
        address.collect()
    }
}

/// A blob whose upload has failed is no more. Part of the end of that upload.
pub(in crate::control::db) async fn give_up(t: &mut Transaction, id: &ImageId) -> Result<()> {
    let mut sql = Sql::new(format!(
        "DELETE FROM {BLOBS} WHERE id = ? AND status = 'saving'"
    ));
    t.execute(sql.bind(id.as_str())).await?;
    Ok(())
}

fn give_up_sql(blob: &Blob) -> Sql {
    // What is elsewhere has no bytes of ours.
    let mut sql = Sql::new(match blob.external {
        true => format!("DELETE FROM {BLOBS} WHERE id = ?"),
        false => format!("UPDATE {BLOBS} SET status = 'pending_delete' WHERE id = ?"),
    });
    sql.bind(blob.id.as_str());
    sql
}

async fn count_up(t: &mut Transaction, artifact: &Artifact, now_us: Option<i64>) -> Result<()> {
    let mut sql = Sql::new(format!(
        "UPDATE {TABLE} SET revision = revision + 1, updated_at_us = ? WHERE id = ? AND revision = ?"
    ));
    sql.bind(now_us.unwrap_or(artifact.updated_at_us));
    sql.bind(artifact.id.as_str()).bind(artifact.revision);
    match t.execute(&sql).await? {
        0 => Err(Error::Conflict),
        _ => Ok(()),
    }
}

fn insert(artifact: &str, blob: &Blob) -> Sql {
    let mut sql = Sql::new(format!("INSERT INTO {BLOBS} ({BLOB_COLUMNS}) VALUES "));
    let size = blob.size_bytes.map(u64::cast_signed);
    sql.push_list([
        Value::from(artifact),
        Value::from(blob.id.as_str()),
        Value::from(blob.field.as_str()),
        Value::from(blob.key.as_deref()),
        Value::from(blob.url.as_deref()),
        Value::from(blob.store.as_ref().map(|store| store.as_str())),
        Value::from(size),
        Value::from(blob.md5.as_deref()),
        Value::from(blob.sha1.as_deref()),
        Value::from(blob.sha256.as_deref()),
        Value::from(blob.external),
        Value::from(blob.status.as_str()),
        Value::from(blob.content_type.as_deref()),
    ]);
    sql
}

fn complete(blob: &Blob) -> Sql {
    let mut sql = Sql::new(format!(
        "UPDATE {BLOBS} SET url = ?, store = ?, size_bytes = ?, md5 = ?, sha1 = ?, sha256 = ?, \
         status = ? WHERE id = ? AND status = 'saving'"
    ));
    sql.bind(blob.url.as_deref())
        .bind(blob.store.as_ref().map(|store| store.as_str()))
        .bind(blob.size_bytes.map(u64::cast_signed))
        .bind(blob.md5.as_deref())
        .bind(blob.sha1.as_deref())
        .bind(blob.sha256.as_deref())
        .bind(blob.status.as_str())
        .bind(blob.id.as_str());
    sql
}
