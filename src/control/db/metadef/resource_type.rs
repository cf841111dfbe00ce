//! Types of resources, and which namespaces are for them.

use chrono::{NaiveDateTime, Utc};

use super::{RowId, associate, times};
use crate::{
    control::{
        db::{
            Db,
            error::{Error, Result},
            pool::{Transaction, transact},
            rows::cell,
            sql::Sql,
        },
        notify::MetadefChange as Change,
    },
    model::metadef::{Association, Namespace, ResourceType},
};

const TABLE: &str = "metadef_resource_types";

impl Db {
    /// All types.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn resource_types(&self) -> Result<Vec<ResourceType>> {
        let sql = Sql::new(
            "SELECT name, protected, created_at, updated_at FROM metadef_resource_types \
             ORDER BY id",
        );
        let rows = self.pool.fetch(&sql).await?;
        let types = rows.iter().map(|row| {
            let (created_at, updated_at) = times(row, 2, TABLE)?;
            Ok(ResourceType {
                name: cell(row.text(0), TABLE, "name")?,
                protected: row.bool(1)?.unwrap_or(false),
                created_at,
                updated_at,
            })
        });
        types.collect()
    }

    /// Makes a type.
    ///
    /// # Errors
    /// [`Error::Duplicate`]; [`Error::Refused`].
    pub async fn resource_type_create(&self, name: &str) -> Result<()> {
        transact!(self.pool, |t| {
            let now = t.dialect().stored(Utc::now().naive_utc());
            insert(t, name, false, now).await
        })
    }

    /// Takes a type away that no namespace is for.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] while a namespace is for it.
    pub async fn resource_type_delete(&self, name: &str) -> Result<()> {
        transact!(self.pool, |t| {
            let id = find(t, name).await?.ok_or(Error::NotFound)?;
            let mut sql = Sql::new(
                "DELETE FROM metadef_resource_types WHERE id = ? AND NOT EXISTS (SELECT 1 \
                 FROM metadef_namespace_resource_types a WHERE a.resource_type_id = ?)",
            );
            match t.execute(sql.bind(id).bind(id)).await? {
                0 => Err(Error::Conflict),
                _ => Ok(()),
            }
        })
    }

    /// The types that these namespaces are for, each with the namespace's key.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn associations(&self, namespaces: &[RowId]) -> Result<Vec<(RowId, Association)>> {
        if namespaces.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = Sql::new(
            "SELECT a.namespace_id, r.name, a.prefix, a.properties_target, a.created_at, \
             a.updated_at FROM metadef_namespace_resource_types a \
             JOIN metadef_resource_types r ON r.id = a.resource_type_id WHERE a.namespace_id IN ",
        );
        sql.push_list(namespaces.iter().copied());
        sql.push(" ORDER BY a.namespace_id, r.id");
        let rows = self.pool.fetch(&sql).await?;
        let associations = rows.iter().map(|row| {
            let (created_at, updated_at) = times(row, 4, "metadef_namespace_resource_types")?;
            let association = Association {
                name: cell(row.text(1), TABLE, "name")?,
                prefix: row.text(2)?,
                properties_target: row.text(3)?,
                created_at,
                updated_at,
            };
            Ok((cell(row.int(0), TABLE, "namespace_id")?, association))
        });
        associations.collect()
    }

    /// Says that a namespace is for a type, which is made if it is new.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when it is already; [`Error::Refused`].
    pub async fn association_add(
        &self,
        id: RowId,
        within: &Namespace,
        new: &Association,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            associate(t, id, &within.name, new, false).await
        })
    }

    /// Takes that back. The type stays.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn association_delete(
        &self,
        id: RowId,
        within: &Namespace,
        gone: &Association,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            let resource = find(t, &gone.name).await?.ok_or(Error::NotFound)?;
            let mut sql = Sql::new(
                "DELETE FROM metadef_namespace_resource_types WHERE namespace_id = ? \
                 AND resource_type_id = ?",
            );
            if t.execute(sql.bind(id).bind(resource)).await? == 0 {
                return Err(Error::NotFound);
            }
            let change = Change::Deleted((within.name.as_str(), gone).into());
            t.tell(|teller| teller.metadef(&change)).await
        })
    }
}

/// The key of a type. Its row is held until the transaction ends: nobody takes away what another is
/// about to name.
pub(super) async fn find(t: &mut Transaction, name: &str) -> Result<Option<RowId>> {
    let mut sql = Sql::new("SELECT id FROM metadef_resource_types WHERE name = ?");
    let lock = t.dialect().for_update();
    let rows = t.fetch(sql.bind(name).push(lock)).await?;
    rows.first()
        .map(|row| cell(row.int(0), TABLE, "id"))
        .transpose()
}

pub(super) async fn insert(
    t: &mut Transaction,
    name: &str,
    protected: bool,
    at: NaiveDateTime,
) -> Result<()> {
    let mut sql = Sql::new(
        "INSERT INTO metadef_resource_types (name, protected, created_at, updated_at) \
         VALUES (?, ?, ?, ?)",
    );
    sql.bind(name).bind(protected).bind(at).bind(at);
    t.execute(&sql).await.map(drop)
}
