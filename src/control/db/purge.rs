//! Rows that are deleted in name only (reference H.3): Glance and we mark them, and an operator has
//! them removed when they are old.

use chrono::NaiveDateTime;

use super::{
    Db,
    error::{Error, Result},
    pool::{Transaction, transact},
    rows::cell,
    sql::{Sql, Value},
};

/// A table with such rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the tables'")]
pub enum Purged {
    ImageProperties,
    ImageTags,
    ImageLocations,
    ImageMembers,
    /// With their rows of `task_info`.
    Tasks,
    Images,
}

impl Purged {
    /// All but the images, whose ids nobody may use again (OSSN-0075): those have a command of
    /// their own.
    pub const WITHOUT_IMAGES: [Self; 5] = [
        Self::ImageProperties,
        Self::ImageTags,
        Self::ImageLocations,
        Self::ImageMembers,
        Self::Tasks,
    ];

    /// The table's name.
    pub fn table(self) -> &'static str {
        match self {
            Self::ImageProperties => "image_properties",
            Self::ImageTags => "image_tags",
            Self::ImageLocations => "image_locations",
            Self::ImageMembers => "image_members",
            Self::Tasks => "tasks",
            Self::Images => "images",
        }
    }

    /// What keeps an old row.
    fn kept(self) -> &'static str {
        match self {
            // It alone says where bytes lie that are still to be removed.
            Self::ImageLocations => "x.status = 'pending_delete'",
            Self::Images => {
                "x.status = 'pending_delete' \
                 OR EXISTS (SELECT 1 FROM image_properties c WHERE c.image_id = x.id) \
                 OR EXISTS (SELECT 1 FROM image_tags c WHERE c.image_id = x.id) \
                 OR EXISTS (SELECT 1 FROM image_locations c WHERE c.image_id = x.id) \
                 OR EXISTS (SELECT 1 FROM image_members c WHERE c.image_id = x.id) \
                 OR EXISTS (SELECT 1 FROM fresnel_writes c WHERE c.image_id = x.id)"
            }
            Self::ImageProperties | Self::ImageTags | Self::ImageMembers | Self::Tasks => "1 = 0",
        }
    }

    /// `SELECT` of those rows that are older than `before` and go, or that are kept.
    fn old(self, columns: &str, before: NaiveDateTime, kept: bool) -> Sql {
        let (table, which) = (self.table(), self.kept());
        let not = if kept { "" } else { "NOT " };
        let mut sql = Sql::new(format!(
            "SELECT {columns} FROM {table} x WHERE x.deleted = true AND x.deleted_at < ? \
             AND {not}({which})"
        ));
        sql.bind(before);
        sql
    }

    /// The key of a row of [`Self::old`].
    fn key(self, row: &super::conn::Row) -> Result<Value> {
        match self {
            Self::Tasks | Self::Images => cell(row.text(0), self.table(), "id").map(Value::from),
            _ => cell(row.int(0), self.table(), "id").map(Value::from),
        }
    }
}

impl Db {
    /// How many rows of the table [`Db::purge`] would remove, but no more than `limit`.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn purgeable(
        &self,
        table: Purged,
        before: NaiveDateTime,
        limit: Option<u64>,
    ) -> Result<u64> {
        let before = self.pool.dialect().stored(before);
        let found = self.count_of(&table.old("count(*)", before, false)).await?;
        Ok(limit.map_or(found, |limit| found.min(limit)))
    }

    /// How many rows are older and stay: locations whose bytes are still to be removed, images of
    /// which other tables have rows.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn purge_kept(&self, table: Purged, before: NaiveDateTime) -> Result<u64> {
        let before = self.pool.dialect().stored(before);
        self.count_of(&table.old("count(*)", before, true)).await
    }

    /// Removes at most `limit` rows that were deleted before then, the oldest first; how many.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn purge(&self, table: Purged, before: NaiveDateTime, limit: u32) -> Result<u64> {
        let mut old = table.old("x.id", self.pool.dialect().stored(before), false);
        old.push(" ORDER BY x.deleted_at LIMIT ?")
            .bind(i64::from(limit));
        transact!(self.pool, |t| {
            let rows = t.fetch(&old).await?;
            let keys: Vec<Value> = rows
                .iter()
                .map(|row| table.key(row))
                .collect::<Result<_>>()?;
            match keys.as_slice() {
                [] => Ok(0),
                keys => remove(t, table, keys).await,
            }
        })
    }

    async fn count_of(&self, sql: &Sql) -> Result<u64> {
        let rows = self.pool.fetch(sql).await?;
        let row = rows.first().ok_or(Error::NotFound)?;
        Ok(cell(row.int(0), "the database", "count")?.unsigned_abs())
    }
}

/// What somebody has brought back meanwhile stays.
async fn remove(t: &mut Transaction, table: Purged, keys: &[Value]) -> Result<u64> {
    if table == Purged::Tasks {
        let mut sql = Sql::new(
            "DELETE FROM task_info WHERE task_id IN (SELECT id FROM tasks WHERE deleted = true \
             AND id IN ",
        );
        sql.push_list(keys.iter().cloned()).push(")");
        t.execute(&sql).await?;
    }
    let mut sql = Sql::new(format!(
        "DELETE FROM {} WHERE deleted = true AND id IN ",
        table.table()
    ));
    t.execute(sql.push_list(keys.iter().cloned())).await
}
