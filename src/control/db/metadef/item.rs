//! What namespaces hold under names: objects, properties, tags. One set of statements over three
//! tables that differ in what columns they have.

use serde_json::{Map, Value as Json};

use super::{Order, RowId, joined, named, times};
use crate::{
    control::{
        db::{
            Db,
            conn::Row,
            error::{Error, Result},
            pool::{Transaction, transact},
            rows::cell,
            sql::Sql,
        },
        notify::MetadefChange as Change,
    },
    model::metadef::{Item, Kind, Namespace},
};

/// A kind's table and the columns that only it has.
fn table(kind: Kind) -> (&'static str, &'static [&'static str]) {
    match kind {
        Kind::Object => (
            "metadef_objects",
            &["description", "required", "json_schema"],
        ),
        Kind::Property => ("metadef_properties", &["json_schema"]),
        Kind::Tag => ("metadef_tags", &[]),
    }
}

impl Db {
    /// What a namespace holds of a kind, with their keys.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn metadef_items(
        &self,
        namespace: RowId,
        kind: Kind,
        order: Option<&Order>,
    ) -> Result<Vec<(RowId, Item)>> {
        let mut sql = select(kind);
        sql.bind(namespace);
        match order {
            Some(order) => order.push(&mut sql),
            None => {
                // Glance names no order; by its key's index, this is the one that it has.
                sql.push(" ORDER BY n.name");
            }
        }
        let rows = self.pool.fetch(&sql).await?;
        rows.iter().map(|row| item(kind, row)).collect()
    }

    /// One by its name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn metadef_item(
        &self,
        namespace: RowId,
        kind: Kind,
        name: &str,
    ) -> Result<(RowId, Item)> {
        if name.contains('\0') {
            return Err(Error::NotFound);
        }
        let mut sql = select(kind);
        sql.bind(namespace).push(" AND n.name = ?").bind(name);
        let rows = self.pool.fetch(&sql).await?;
        item(kind, rows.first().ok_or(Error::NotFound)?)
    }

    /// Adds items, after all of their kind are gone where they are to `replace` them.
    ///
    /// # Errors
    /// [`Error::Duplicate`] with the name that there is twice; [`Error::Refused`].
    pub async fn metadef_items_add(
        &self,
        namespace: RowId,
        within: &Namespace,
        kind: Kind,
        new: &[Item],
        replace: bool,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            if replace {
                clear(t, namespace, kind).await?;
            }
            for item in new {
                add(t, namespace, &within.name, kind, item).await?;
            }
            Ok(())
        })
    }

    /// Writes one over.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when another has the new name; [`Error::NotFound`].
    pub async fn metadef_item_update(
        &self,
        id: RowId,
        within: &Namespace,
        kind: Kind,
        before: &str,
        new: &Item,
    ) -> Result<()> {
        let (table, more) = table(kind);
        let mut sql = Sql::new(format!("UPDATE {table} SET name = ?"));
        for column in more {
            sql.push(", ").push(column).push(" = ?");
        }
        push(&mut sql, kind, new);
        sql.push(", updated_at = ? WHERE id = ?");
        sql.bind(self.pool.dialect().stored(new.updated_at));
        sql.bind(id);
        transact!(self.pool, |t| {
            match t.execute(&sql).await {
                Ok(0) => return Err(Error::NotFound),
                Ok(_) => {}
                Err(error) => return Err(named(error, &new.name)),
            }
            let change = Change::ItemUpdated(within, kind, new, before);
            t.tell(|teller| teller.metadef(&change)).await
        })
    }

    /// Takes one away.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn metadef_item_delete(
        &self,
        id: RowId,
        within: &Namespace,
        kind: Kind,
        gone: &Item,
    ) -> Result<()> {
        let (table, _) = table(kind);
        let mut sql = Sql::new(format!("DELETE FROM {table} WHERE id = ?"));
        sql.bind(id);
        transact!(self.pool, |t| {
            if t.execute(&sql).await? == 0 {
                return Err(Error::NotFound);
            }
            let change = Change::Deleted((within.name.as_str(), kind, gone).into());
            t.tell(|teller| teller.metadef(&change)).await
        })
    }

    /// Takes all of a kind away.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn metadef_items_clear(
        &self,
        namespace: RowId,
        within: &Namespace,
        kind: Kind,
    ) -> Result<()> {
        transact!(self.pool, |t| {
            clear(t, namespace, kind).await?;
            let change = Change::Cleared(within, kind);
            t.tell(|teller| teller.metadef(&change)).await
        })
    }
}

async fn clear(t: &mut Transaction, namespace: RowId, kind: Kind) -> Result<()> {
    let (table, _) = table(kind);
    let mut sql = Sql::new(format!("DELETE FROM {table} WHERE namespace_id = ?"));
    t.execute(sql.bind(namespace)).await.map(drop)
}

/// Adds one as a part of a transaction.
pub(super) async fn add(
    t: &mut Transaction,
    namespace: RowId,
    namespace_name: &str,
    kind: Kind,
    new: &Item,
) -> Result<()> {
    let (table, more) = table(kind);
    let mut sql = Sql::new(format!("INSERT INTO {table} (namespace_id, name"));
    for column in more {
        sql.push(", ").push(column);
    }
    sql.push(", created_at, updated_at) VALUES (?, ?");
    sql.push(&", ?".repeat(more.len() + 2)).push(")");
    sql.bind(namespace);
    push(&mut sql, kind, new);
    let dialect = t.dialect();
    sql.bind(dialect.stored(new.created_at));
    sql.bind(dialect.stored(new.updated_at));
    let inserted = t.execute(&sql).await;
    inserted.map_err(|error| named(error, &new.name))?;
    let change = Change::Created((namespace_name, kind, new).into());
    t.tell(|teller| teller.metadef(&change)).await
}

/// Binds the name and the kind's columns.
fn push(sql: &mut Sql, kind: Kind, item: &Item) {
    sql.bind(item.name.as_str());
    for column in table(kind).1 {
        match *column {
            "description" => sql.bind(item.description.as_deref()),
            "required" => sql.bind(joined(item.required.as_deref().unwrap_or_default())),
            _ => sql.bind(Json::Object(item.schema.clone()).to_string()),
        };
    }
}

/// Every kind's rows in the same shape. Binds the namespace's key.
fn select(kind: Kind) -> Sql {
    let (table, more) = table(kind);
    let column = |name: &str| match more.contains(&name) {
        true => format!("n.{name}"),
        false => "NULL".to_owned(),
    };
    Sql::new(format!(
        "SELECT n.id, n.name, n.created_at, n.updated_at, {}, {}, {} FROM {table} n \
         WHERE n.namespace_id = ?",
        column("description"),
        column("required"),
        column("json_schema")
    ))
}

fn item(kind: Kind, row: &Row) -> Result<(RowId, Item)> {
    let (table, more) = table(kind);
    let (created_at, updated_at) = times(row, 2, table)?;
    // A column that a kind lacks has no type that all databases agree on.
    let text = |index, name| match more.contains(&name) {
        true => row.text(index),
        false => Ok(None),
    };
    let required = text(5, "required")?.unwrap_or_default();
    let required = required.split(',').filter(|name| !name.is_empty());
    let schema = match text(6, "json_schema")? {
        None => Map::new(),
        Some(text) => serde_json::from_str(&text).map_err(|_| Error::Corrupt {
            table,
            column: "json_schema",
        })?,
    };
    let item = Item {
        name: cell(row.text(1), table, "name")?,
        description: text(4, "description")?,
        required: Some(required.map(str::to_owned).collect()),
        schema,
        created_at,
        updated_at,
    };
    Ok((cell(row.int(0), table, "id")?, item))
}
