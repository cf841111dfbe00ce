//! Artifacts: `fresnel_artifacts`, the values by which they are found, and their blobs
//! (reference J.2).
//!
//! Every change of an artifact, or of what blobs it has, counts its revision up, judged by the number of
//! rows: two that are based on the same state are one change and one [`Error::Conflict`].

mod blob;
mod list;
mod quota;

use serde_json::{Map, Value as Json};

use super::{
    Db, Viewer,
    conn::Row,
    error::{Error, Result},
    image,
    pool::{Transaction, transact},
    rows::cell,
    sql::{Sql, Value},
};
use crate::model::{
    ImageId, ProjectId, StoreId,
    artifact::{Artifact, Blob, BlobStatus, Status, Visibility},
};

pub(super) use blob::give_up;
pub use blob::{NewBlob, Replaced};
pub use list::{
    ArtifactColumn, ArtifactFilter, ArtifactQuery, ArtifactSort, Compared, Operand, Operator,
};
pub use quota::{ArtifactLimit, ArtifactQuota, Counted};

const TABLE: &str = "fresnel_artifacts";
const BLOBS: &str = "fresnel_artifact_blobs";

/// Read as `a`; [`artifact`] reads them by their place.
const COLUMNS: &str = "a.id, a.type_name, a.display_type_name, a.name, a.version, a.version_key, a.owner, \
     a.visibility, a.status, a.description, a.fields, a.created_at_us, a.updated_at_us, \
     a.activated_at_us, a.revision";

/// Read by [`blob`].
const BLOB_COLUMNS: &str = "artifact_id, id, name, key_name, url, store, size_bytes, md5, sha1, sha256, \
     is_external, status, content_type";

/// Values of one statement: SQLite takes 32,766 parameters.
const VALUES_MAX: usize = 1000;

/// A value by which an artifact is found or sorted.
#[derive(Clone, Debug, PartialEq)]
pub struct Indexed {
    /// The field.
    pub name: String,
    /// Of a dict.
    pub key: Option<String>,
    /// What is compared.
    pub value: Operand,
}

impl Db {
    /// An artifact that the viewer may see, of that type unless it is any.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn artifact(
        &self,
        id: &str,
        type_name: Option<&str>,
        viewer: &Viewer,
    ) -> Result<Artifact> {
        if !image::is_storable(id) {
            return Err(Error::NotFound);
        }
        let mut sql = Sql::new(format!("SELECT {COLUMNS} FROM {TABLE} a WHERE a.id = ?"));
        sql.bind(id);
        if let Some(type_name) = type_name {
            sql.push(" AND a.type_name = ?").bind(type_name);
        }
        list::push_visible(&mut sql, "a", viewer);
        let rows = self.pool.fetch(&sql).await?;
        let mut found = artifact(rows.first().ok_or(Error::NotFound)?)?;
        found.blobs = self
            .blobs_of(&[id])
            .await?
            .into_iter()
            .map(|(_, b)| b)
            .collect();
        Ok(found)
    }

    /// How many of these artifacts the viewer may see.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn artifacts_there(&self, ids: &[&str], viewer: &Viewer) -> Result<u64> {
        let mut sql = Sql::new(format!("SELECT COUNT(*) FROM {TABLE} a WHERE a.id IN "));
        sql.push_list(ids.iter().copied());
        list::push_visible(&mut sql, "a", viewer);
        list::count(&self.pool.fetch(&sql).await?)
    }

    /// Enters an artifact, unless its owner has as many as the limits allow.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when its name and version are taken; [`Error::OverArtifacts`].
    pub async fn artifact_create(
        &self,
        artifact: &Artifact,
        values: &[Indexed],
        limits: &[ArtifactLimit],
    ) -> Result<()> {
        let _turn = self.turns.take(Some(&artifact.owner)).await;
        let mut insert = Sql::new(format!(
            "INSERT INTO {TABLE} (id, type_name, display_type_name, name, version, version_key, owner, \
             scope, visibility, status, description, fields, created_at_us, updated_at_us, \
             activated_at_us, revision) VALUES "
        ));
        insert.push_list([
            Value::from(artifact.id.as_str()),
            Value::from(artifact.type_name.as_str()),
            Value::from(artifact.display_type_name.as_deref()),
            Value::from(artifact.name.as_str()),
            Value::from(artifact.version.as_str()),
            Value::from(artifact.version_key.as_str()),
            Value::from(artifact.owner.as_str()),
            Value::from(scope(artifact)),
            Value::from(artifact.visibility.as_str()),
            Value::from(artifact.status.as_str()),
            Value::from(artifact.description.as_deref()),
            Value::from(Json::from(artifact.fields.clone()).to_string()),
            Value::from(artifact.created_at_us),
            Value::from(artifact.updated_at_us),
            Value::from(artifact.activated_at_us),
            Value::from(artifact.revision),
        ]);
        transact!(self.pool, |t| {
            quota::lock(t, artifact, limits).await?;
            quota::within_number(t, artifact, limits).await?;
            t.execute(&insert).await?;
            insert_values(t, &artifact.id, values).await
        })
    }

    /// Writes an artifact over that was read with the revision before its own. `moves` tells that its
    /// status changes, which no upload may go on through.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it has changed meanwhile; [`Error::Duplicate`] when its name and version
    /// are taken; [`Error::Locked`] while an upload goes on.
    pub async fn artifact_update(
        &self,
        artifact: &Artifact,
        values: &[Indexed],
        moves: bool,
    ) -> Result<()> {
        let mut update = Sql::new(format!(
            "UPDATE {TABLE} SET name = ?, version = ?, version_key = ?, scope = ?, visibility = ?, \
             status = ?, description = ?, fields = ?, updated_at_us = ?, activated_at_us = ?, \
             revision = ? WHERE id = ? AND revision = ?"
        ));
        update
            .bind(artifact.name.as_str())
            .bind(artifact.version.as_str())
            .bind(artifact.version_key.as_str())
            .bind(scope(artifact))
            .bind(artifact.visibility.as_str())
            .bind(artifact.status.as_str())
            .bind(artifact.description.as_deref())
            .bind(Json::from(artifact.fields.clone()).to_string())
            .bind(artifact.updated_at_us)
            .bind(artifact.activated_at_us)
            .bind(artifact.revision)
            .bind(artifact.id.as_str())
            .bind(artifact.revision - 1);
        transact!(self.pool, |t| {
            if t.execute(&update).await? == 0 {
                return Err(Error::Conflict);
            }
            if moves {
                refuse_filling(t, &artifact.id).await?;
            }
            delete_values(t, &artifact.id).await?;
            insert_values(t, &artifact.id, values).await
        })
    }

    /// Takes an artifact away. Its blobs' bytes are to be removed then: they are given back, and stay
    /// recorded until [`Db::blob_forget`].
    ///
    /// # Errors
    /// [`Error::Conflict`] when it has changed meanwhile; [`Error::Locked`] while an upload goes on.
    pub async fn artifact_delete(&self, artifact: &Artifact) -> Result<Vec<Blob>> {
        let id = artifact.id.as_str();
        transact!(self.pool, |t| {
            let mut delete = Sql::new(format!("DELETE FROM {TABLE} WHERE id = ? AND revision = ?"));
            if t.execute(delete.bind(id).bind(artifact.revision)).await? == 0 {
                return Err(Error::Conflict);
            }
            refuse_filling(t, id).await?;
            delete_values(t, id).await?;
            let mut external = Sql::new(format!(
                "DELETE FROM {BLOBS} WHERE artifact_id = ? AND is_external = true"
            ));
            t.execute(external.bind(id)).await?;
            let mut give_up = Sql::new(format!(
                "UPDATE {BLOBS} SET status = 'pending_delete' WHERE artifact_id = ?"
            ));
            t.execute(give_up.bind(id)).await?;
            let mut sql = Sql::new(format!(
                "SELECT {BLOB_COLUMNS} FROM {BLOBS} WHERE artifact_id = ?"
            ));
            let rows = t.fetch(sql.bind(id)).await?;
            rows.iter().map(|row| Ok(blob(row)?.1)).collect()
        })
    }

    /// The blobs that are there or on their way, with their artifacts.
    async fn blobs_of(&self, artifacts: &[&str]) -> Result<Vec<(String, Blob)>> {
        if artifacts.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = Sql::new(format!(
            "SELECT {BLOB_COLUMNS} FROM {BLOBS} WHERE status <> 'pending_delete' AND artifact_id IN "
        ));
        sql.push_list(artifacts.iter().copied());
        let rows = self.pool.fetch(&sql).await?;
        rows.iter().map(blob).collect()
    }
}

/// The scope of what is public: no project is called so.
const EVERYBODY: &str = "*";

/// Within it a type has a name and version once.
fn scope(artifact: &Artifact) -> &str {
    match artifact.visibility {
        Visibility::Private => artifact.owner.as_str(),
        Visibility::Public => EVERYBODY,
    }
}

async fn refuse_filling(t: &mut Transaction, id: &str) -> Result<()> {
    let mut sql = Sql::new(format!(
        "SELECT 1 FROM {BLOBS} WHERE artifact_id = ? AND status = 'saving' LIMIT 1"
    ));
    match t.fetch(sql.bind(id)).await?.is_empty() {
        true => Ok(()),
        false => Err(Error::Locked),
    }
}

async fn delete_values(t: &mut Transaction, id: &str) -> Result<()> {
    let mut sql = Sql::new("DELETE FROM fresnel_artifact_values WHERE artifact_id = ?");
    t.execute(sql.bind(id)).await?;
    Ok(())
}

async fn insert_values(t: &mut Transaction, id: &str, values: &[Indexed]) -> Result<()> {
    for some in values.chunks(VALUES_MAX) {
        let mut insert = Sql::new(
            "INSERT INTO fresnel_artifact_values (artifact_id, name, key_name, text_value, \
             number_value) VALUES ",
        );
        for (index, value) in some.iter().enumerate() {
            let (text, number) = match &value.value {
                Operand::Text(text) => (Some(text.as_str()), None),
                Operand::Number(number) => (None, Some(*number)),
            };
            insert.push(if index == 0 { "" } else { ", " });
            insert.push_list([
                Value::from(id),
                Value::from(value.name.as_str()),
                Value::from(value.key.as_deref()),
                Value::from(text),
                Value::from(number),
            ]);
        }
        t.execute(&insert).await?;
    }
    Ok(())
}

/// Without its blobs.
fn artifact(row: &Row) -> Result<Artifact> {
    let text = |index, column| cell(row.text(index), TABLE, column);
    let number = |index, column| cell(row.int(index), TABLE, column);
    let corrupt = |column| Error::Corrupt {
        table: TABLE,
        column,
    };
    let fields: Map<String, Json> =
        serde_json::from_str(&text(10, "fields")?).map_err(|_| corrupt("fields"))?;
    let visibility = Visibility::named(&text(7, "visibility")?);
    Ok(Artifact {
        id: text(0, "id")?,
        type_name: text(1, "type_name")?,
        display_type_name: row.text(2)?,
        name: text(3, "name")?,
        version: text(4, "version")?,
        version_key: text(5, "version_key")?,
        owner: ProjectId::new(text(6, "owner")?),
        visibility: visibility.ok_or_else(|| corrupt("visibility"))?,
        status: Status::named(&text(8, "status")?).ok_or_else(|| corrupt("status"))?,
        description: row.text(9)?,
        fields,
        created_at_us: number(11, "created_at_us")?,
        updated_at_us: number(12, "updated_at_us")?,
        activated_at_us: row.int(13)?,
        revision: number(14, "revision")?,
        blobs: Vec::new(),
    })
}

fn blob(row: &Row) -> Result<(String, Blob)> {
    let text = |index, column| cell(row.text(index), BLOBS, column);
    let status = BlobStatus::named(&text(11, "status")?);
    let blob = Blob {
        id: ImageId::new(text(1, "id")?),
        field: text(2, "name")?,
        key: row.text(3)?,
        url: row.text(4)?,
        store: row.text(5)?.map(|id| StoreId::new(&id)),
        size_bytes: row.int(6)?.map(i64::unsigned_abs),
        md5: row.text(7)?,
        sha1: row.text(8)?,
        sha256: row.text(9)?,
        external: cell(row.bool(10), BLOBS, "is_external")?,
        status: status.ok_or(Error::Corrupt {
            table: BLOBS,
            column: "status",
        })?,
        content_type: row.text(12)?,
    };
    Ok((text(0, "artifact_id")?, blob))
}
