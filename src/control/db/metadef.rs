//! Metadata definitions: Glance's tables `metadef_*` (reference A.11, K).
//!
//! What a namespace holds goes with it: nothing in Glance's schema would take it away.

mod item;
mod resource_type;

use chrono::NaiveDateTime;

use super::{
    Db, Direction, Viewer,
    conn::Row,
    error::{Error, Result},
    pool::{Transaction, transact},
    rows::cell,
    sql::{Sql, Value},
};
use crate::{
    control::notify::MetadefChange as Change,
    model::ProjectId,
    model::metadef::{Association, Contents, Kind, Namespace},
};

const TABLE: &str = "metadef_namespaces";
const COLUMNS: &str = "SELECT n.id, n.namespace, n.display_name, n.description, n.visibility, \
                       n.protected, n.owner, n.created_at, n.updated_at FROM metadef_namespaces n";

/// The key of a row.
pub type RowId = i64;

/// What a list of namespaces is asked for.
#[derive(Clone, Debug, Default)]
pub struct NamespaceQuery {
    /// `public` or `private`.
    pub visibility: Option<String>,
    /// Of those with any of these resource types.
    pub resource_types: Option<Vec<String>>,
    /// In which order.
    pub order: Order,
}

/// An order of rows; of equals the creation decides, then the key.
#[derive(Clone, Debug)]
pub struct Order {
    /// One of the table's columns that may be sorted by.
    pub key: &'static str,
    /// Of all keys.
    pub direction: Direction,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            key: "created_at",
            direction: Direction::Descending,
        }
    }
}

impl Order {
    fn push(&self, sql: &mut Sql) {
        let direction = match self.direction {
            Direction::Ascending => "ASC",
            Direction::Descending => "DESC",
        };
        sql.push(" ORDER BY ");
        for key in [self.key, "created_at"] {
            sql.push("n.")
                .push(key)
                .push(" ")
                .push(direction)
                .push(", ");
        }
        sql.push("n.id ").push(direction);
    }
}

impl Db {
    /// The namespaces that the viewer may list, with their keys.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn namespaces(
        &self,
        query: &NamespaceQuery,
        viewer: &Viewer,
    ) -> Result<Vec<(RowId, Namespace)>> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" WHERE ");
        match (viewer.is_admin, &viewer.project) {
            (true, _) => sql.push("true"),
            (false, None) => sql.push("n.visibility = 'public'"),
            (false, Some(project)) => sql
                .push("(n.visibility = 'public' OR n.owner = ?)")
                .bind(project.as_str()),
        };
        if let Some(visibility) = &query.visibility {
            sql.push(" AND n.visibility = ?").bind(visibility.as_str());
        }
        if let Some(types) = &query.resource_types {
            sql.push(
                " AND n.id IN (SELECT a.namespace_id FROM metadef_namespace_resource_types a \
                 JOIN metadef_resource_types r ON r.id = a.resource_type_id WHERE r.name IN ",
            );
            sql.push_list(types.iter().map(String::as_str)).push(")");
        }
        query.order.push(&mut sql);
        self.pool.fetch(&sql).await?.iter().map(namespace).collect()
    }

    /// The namespace of that name, whoever may see it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn namespace(&self, name: &str) -> Result<(RowId, Namespace)> {
        if name.contains('\0') {
            return Err(Error::NotFound);
        }
        let mut sql = Sql::new(COLUMNS);
        sql.push(" WHERE n.namespace = ?").bind(name);
        let rows = self.pool.fetch(&sql).await?;
        namespace(rows.first().ok_or(Error::NotFound)?)
    }

    /// Writes a namespace with all that it holds.
    ///
    /// # Errors
    /// [`Error::Duplicate`] with what there is twice: `namespace`, or the name of an association or
    /// item; [`Error::Refused`].
    pub async fn namespace_create(&self, new: &Namespace, contents: &Contents) -> Result<()> {
        self.create(new, contents, false).await
    }

    /// The same of what comes with the software: resource types that it makes may not be deleted.
    ///
    /// # Errors
    /// As [`Db::namespace_create`].
    pub async fn namespace_seed(&self, new: &Namespace, contents: &Contents) -> Result<()> {
        self.create(new, contents, true).await
    }

    async fn create(&self, new: &Namespace, contents: &Contents, seed: bool) -> Result<()> {
        transact!(self.pool, |t| {
            insert(t, new).await?;
            t.tell(|teller| teller.metadef(&Change::Created(new.into())))
                .await?;
            let id = find(t, &new.name).await?;
            for association in &contents.associations {
                associate(t, id, &new.name, association, seed).await?;
            }
            for kind in [Kind::Object, Kind::Tag, Kind::Property] {
                for item in contents.items(kind) {
                    item::add(t, id, &new.name, kind, item).await?;
                }
            }
            Ok(())
        })
    }

    /// Writes a namespace over.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when another has the new name; [`Error::NotFound`].
    pub async fn namespace_update(&self, id: RowId, before: &str, new: &Namespace) -> Result<()> {
        transact!(self.pool, |t| {
            let mut sql = Sql::new(
                "UPDATE metadef_namespaces SET namespace = ?, display_name = ?, description = ?, \
                 visibility = ?, protected = ?, owner = ?, updated_at = ? WHERE id = ?",
            );
            push(&mut sql, new);
            sql.bind(t.dialect().stored(new.updated_at)).bind(id);
            match t.execute(&sql).await {
                Ok(0) => return Err(Error::NotFound),
                Ok(_) => {}
                Err(error) => return Err(named(error, &new.name)),
            }
            let renamed = Change::NamespaceUpdated(new, before);
            t.tell(|teller| teller.metadef(&renamed)).await
        })
    }

    /// Takes a namespace away, with all that it holds.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn namespace_delete(&self, id: RowId, gone: &Namespace) -> Result<()> {
        transact!(self.pool, |t| {
            clear(t, id).await?;
            let mut sql = Sql::new("DELETE FROM metadef_namespaces WHERE id = ?");
            if t.execute(sql.bind(id)).await? == 0 {
                return Err(Error::NotFound);
            }
            t.tell(|teller| teller.metadef(&Change::Deleted(gone.into())))
                .await
        })
    }

    /// Takes every definition away: namespaces, what they hold, resource types. Tells nobody.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn metadefs_clear(&self) -> Result<()> {
        const TABLES: [&str; 6] = [
            "metadef_properties",
            "metadef_objects",
            "metadef_tags",
            "metadef_namespace_resource_types",
            "metadef_namespaces",
            "metadef_resource_types",
        ];
        transact!(self.pool, |t| {
            for table in TABLES {
                t.execute(&Sql::new(format!("DELETE FROM {table}"))).await?;
            }
            Ok(())
        })
    }
}

/// All that a namespace holds, but not itself.
async fn clear(t: &mut Transaction, id: RowId) -> Result<()> {
    for table in [
        "metadef_tags",
        "metadef_objects",
        "metadef_properties",
        "metadef_namespace_resource_types",
    ] {
        let mut sql = Sql::new(format!("DELETE FROM {table} WHERE namespace_id = ?"));
        t.execute(sql.bind(id)).await?;
    }
    Ok(())
}

async fn insert(t: &mut Transaction, new: &Namespace) -> Result<()> {
    let mut sql = Sql::new(
        "INSERT INTO metadef_namespaces (namespace, display_name, description, visibility, \
         protected, owner, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    push(&mut sql, new);
    let dialect = t.dialect();
    sql.bind(dialect.stored(new.created_at));
    sql.bind(dialect.stored(new.updated_at));
    let inserted = t.execute(&sql).await;
    inserted.map(drop).map_err(|error| named(error, &new.name))
}

/// Binds all columns but the times.
fn push(sql: &mut Sql, namespace: &Namespace) {
    sql.bind(namespace.name.as_str());
    sql.bind(namespace.display_name.as_deref());
    sql.bind(namespace.description.as_deref());
    sql.bind(namespace.visibility.as_str());
    sql.bind(namespace.protected);
    sql.bind(namespace.owner.as_ref().map(ProjectId::as_str));
}

async fn find(t: &mut Transaction, name: &str) -> Result<RowId> {
    let mut sql = Sql::new("SELECT id FROM metadef_namespaces WHERE namespace = ?");
    let rows = t.fetch(sql.bind(name)).await?;
    cell(rows.first().ok_or(Error::NotFound)?.int(0), TABLE, "id")
}

/// Makes an association, and its type where there is none.
async fn associate(
    t: &mut Transaction,
    namespace: RowId,
    namespace_name: &str,
    new: &Association,
    seed: bool,
) -> Result<()> {
    let at = t.dialect().stored(new.created_at);
    let id = match resource_type::find(t, &new.name).await? {
        Some(id) => id,
        None => {
            resource_type::insert(t, &new.name, seed, at).await?;
            let found = resource_type::find(t, &new.name).await?;
            found.ok_or(Error::NotFound)?
        }
    };
    let mut sql = Sql::new(
        "INSERT INTO metadef_namespace_resource_types (resource_type_id, namespace_id, \
         properties_target, prefix, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
    );
    sql.bind(id).bind(namespace);
    sql.bind(new.properties_target.as_deref());
    sql.bind(new.prefix.as_deref()).bind(at).bind(at);
    let inserted = t.execute(&sql).await;
    inserted.map_err(|error| named(error, &new.name))?;
    let change = Change::Created((namespace_name, new).into());
    t.tell(|teller| teller.metadef(&change)).await
}

/// Says what there is twice.
fn named(error: Error, name: &str) -> Error {
    match error {
        Error::Duplicate(_) => Error::Duplicate(name.to_owned()),
        other => other,
    }
}

fn namespace(row: &Row) -> Result<(RowId, Namespace)> {
    let (created_at, updated_at) = times(row, 7, TABLE)?;
    let namespace = Namespace {
        name: cell(row.text(1), TABLE, "namespace")?,
        display_name: row.text(2)?,
        description: row.text(3)?,
        visibility: row.text(4)?.unwrap_or_else(|| "private".to_owned()),
        protected: row.bool(5)?.unwrap_or(false),
        owner: row.text(6)?.map(ProjectId::new),
        created_at,
        updated_at,
    };
    Ok((cell(row.int(0), TABLE, "id")?, namespace))
}

/// `created_at` and, after it, `updated_at`.
fn times(row: &Row, index: usize, table: &'static str) -> Result<(NaiveDateTime, NaiveDateTime)> {
    let created_at = cell(row.time(index), table, "created_at")?;
    Ok((created_at, row.time(index + 1)?.unwrap_or(created_at)))
}

/// A list of names as a column has it.
fn joined(names: &[String]) -> Value {
    match names {
        [] => Value::Text(None),
        names => names.join(",").into(),
    }
}
