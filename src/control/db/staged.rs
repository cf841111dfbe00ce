//! Staged data: which object of which store an image in `uploading` has (reference A.5.3).
//!
//! A row is there as long as the bytes may be. It is written with the move that says that they are
//! there, and taken away after they are gone.

use super::{Db, conn::Row, error::Result, pool::Transaction, rows::cell, sql::Sql};
use crate::model::{ImageId, StoreId};

const TABLE: &str = "fresnel_staged";

/// Staged data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Of which image.
    pub image: ImageId,
    /// In which store.
    pub store: StoreId,
    /// The address of the object.
    pub url: String,
    /// The host on which the store is, if it is a directory that others may not see; else empty.
    pub host: String,
    /// What is known of the plain bytes of a container that was made as it was staged: JSON.
    pub sealed: Option<String>,
}

impl Db {
    /// The staged data of an image.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn staged(&self, image: &ImageId) -> Result<Option<Staged>> {
        let mut sql = Sql::new(format!("{SELECT} WHERE s.image_id = ?"));
        let rows = self.pool.fetch(sql.bind(image.as_str())).await?;
        rows.first().map(staged).transpose()
    }

    /// Staged data that nobody will ask for any more: its image is deleted, or has moved on, and no
    /// job reads it.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn staged_dead(&self, limit: u32) -> Result<Vec<Staged>> {
        let mut sql = Sql::new(format!(
            "{SELECT} WHERE NOT EXISTS (SELECT 1 FROM images i WHERE i.id = s.image_id \
             AND i.deleted = false AND i.status IN ('uploading', 'importing')) \
             AND NOT EXISTS (SELECT 1 FROM fresnel_jobs j WHERE j.image_id = s.image_id) \
             ORDER BY s.image_id LIMIT ?"
        ));
        let rows = self.pool.fetch(sql.bind(i64::from(limit))).await?;
        rows.iter().map(staged).collect()
    }

    /// The bytes are gone.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn staged_forget(&self, image: &ImageId) -> Result<()> {
        let sql = forget(image);
        self.pool.execute(&sql).await?;
        Ok(())
    }
}

const SELECT: &str = "SELECT s.image_id, s.store, s.url, s.host, s.sealed FROM fresnel_staged s";

/// The bytes are there, as a part of the transaction that says so.
pub(super) async fn add(t: &mut Transaction, staged: &Staged) -> Result<()> {
    t.execute(&forget(&staged.image)).await?;
    let mut sql = Sql::new(
        "INSERT INTO fresnel_staged (image_id, store, url, host, sealed) VALUES (?, ?, ?, ?, ?)",
    );
    sql.bind(staged.image.as_str()).bind(staged.store.as_str());
    sql.bind(staged.url.as_str()).bind(staged.host.as_str());
    sql.bind(staged.sealed.as_deref());
    t.execute(&sql).await?;
    Ok(())
}

fn forget(image: &ImageId) -> Sql {
    let mut sql = Sql::new("DELETE FROM fresnel_staged WHERE image_id = ?");
    sql.bind(image.as_str());
    sql
}

fn staged(row: &Row) -> Result<Staged> {
    Ok(Staged {
        image: ImageId::new(cell(row.text(0), TABLE, "image_id")?),
        store: StoreId::new(&cell(row.text(1), TABLE, "store")?),
        url: cell(row.text(2), TABLE, "url")?,
        host: cell(row.text(3), TABLE, "host")?,
        sealed: row.text(4)?,
    })
}
