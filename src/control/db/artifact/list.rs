//! Lists of artifacts: filters, the latest version of each name, order, pages. A page is three
//! statements, and one more with a marker, however long it is.

use std::collections::HashMap;

use super::{
    super::{
        Db, Direction, Viewer,
        conn::Row,
        error::{Error, Result},
        image,
        rows::cell,
        sql::{Sql, Value},
    },
    COLUMNS, TABLE, artifact,
};
use crate::model::artifact::Artifact;

/// What a value is compared by.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Byte by byte.
    Text(String),
    /// By its size.
    Number(i64),
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum Operator {
    Eq,
    Neq,
    In,
    Gt,
    Gte,
    Lt,
    Lte,
    Like,
}

impl Operator {
    const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Eq, "eq", "="),
        (Self::Neq, "neq", "<>"),
        (Self::In, "in", "IN"),
        (Self::Gt, "gt", ">"),
        (Self::Gte, "gte", ">="),
        (Self::Lt, "lt", "<"),
        (Self::Lte, "lte", "<="),
        (Self::Like, "like", "LIKE"),
    ];

    /// By its name in the API.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == name);
        found.map(|(operator, ..)| *operator)
    }

    fn sql(self) -> &'static str {
        Self::ALL[self as usize].2
    }
}

/// A column that filters and sorts may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the columns'")]
pub enum ArtifactColumn {
    Id,
    Name,
    Version,
    /// The order of versions.
    VersionKey,
    Owner,
    Status,
    Visibility,
    TypeName,
    DisplayTypeName,
    CreatedAt,
    UpdatedAt,
    ActivatedAt,
}

impl ArtifactColumn {
    /// The column, or what stands for it where it is empty; whether it is a number.
    fn sql(self) -> (&'static str, bool) {
        match self {
            Self::Id => ("id", false),
            Self::Name => ("name", false),
            Self::Version => ("version", false),
            Self::VersionKey => ("version_key", false),
            Self::Owner => ("owner", false),
            Self::Status => ("status", false),
            Self::Visibility => ("visibility", false),
            Self::TypeName => ("type_name", false),
            Self::DisplayTypeName => ("display_type_name", false),
            Self::CreatedAt => ("created_at_us", true),
            Self::UpdatedAt => ("updated_at_us", true),
            Self::ActivatedAt => ("activated_at_us", true),
        }
    }
}

/// What a comparison is with; several with [`Operator::In`].
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// How.
    pub operator: Operator,
    /// With what. Nothing matches none.
    pub with: Vec<Operand>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum ArtifactFilter {
    /// On a column.
    Column(ArtifactColumn, Compared),
    /// Some value of a field.
    Value {
        /// The field.
        name: String,
        /// Under one of these keys; none: under any, or of a field without keys.
        keys: Option<Vec<String>>,
        /// None: whatever it is.
        compared: Option<Compared>,
    },
}

/// A key to sort by.
#[derive(Clone, Debug, PartialEq)]
pub enum ArtifactSort {
    /// A column.
    Column(ArtifactColumn),
    /// A field of one value, without which an artifact is not in the list.
    Value {
        /// The field.
        name: String,
        /// Whether it is a number.
        number: bool,
    },
}

/// Which artifacts, in which order, how many.
#[derive(Clone, Debug, PartialEq)]
pub struct ArtifactQuery {
    /// Of this type; none: of any.
    pub type_name: Option<String>,
    /// All of them must hold.
    pub all: Vec<ArtifactFilter>,
    /// All of one of them must hold, unless there is none.
    pub any: Vec<Vec<ArtifactFilter>>,
    /// Of each name only the highest version of those for which the rest holds.
    pub latest: bool,
    /// First key first; the last one must be unlike in any two artifacts. At most one is a field.
    pub sort: Vec<(ArtifactSort, Direction)>,
    /// The last artifact of the page before.
    pub marker: Option<String>,
    /// At most so many.
    pub limit: u64,
}

impl Db {
    /// A page of artifacts that the viewer may see, and how many there are on all pages.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the marker is none of them.
    pub async fn artifacts(
        &self,
        query: &ArtifactQuery,
        viewer: &Viewer,
    ) -> Result<(Vec<Artifact>, u64)> {
        let mut total = Sql::new(format!("SELECT COUNT(*) FROM {TABLE} a WHERE 1 = 1"));
        query.push(&mut total, viewer);
        let total = count(&self.pool.fetch(&total).await?)?;
        let from = match &query.marker {
            Some(marker) => Some(self.position(query, marker, viewer).await?),
            None => None,
        };
        let mut sql = Sql::new(format!("SELECT {COLUMNS} FROM {TABLE} a"));
        query.push_join(&mut sql);
        sql.push(" WHERE 1 = 1");
        query.push(&mut sql, viewer);
        if let Some(from) = from {
            query.push_after(&mut sql, &from);
        }
        query.push_order(&mut sql);
        sql.push(" LIMIT ?").bind(query.limit.cast_signed());
        let rows = self.pool.fetch(&sql).await?;
        let mut page = rows.iter().map(artifact).collect::<Result<Vec<_>>>()?;
        let ids: Vec<&str> = page.iter().map(|one| one.id.as_str()).collect();
        let mut blobs: HashMap<String, Vec<_>> = HashMap::new();
        for (id, blob) in self.blobs_of(&ids).await? {
            blobs.entry(id).or_default().push(blob);
        }
        for one in &mut page {
            one.blobs = blobs.remove(&one.id).unwrap_or_default();
        }
        Ok((page, total))
    }

    /// The sort keys of the marker.
    async fn position(
        &self,
        query: &ArtifactQuery,
        marker: &str,
        viewer: &Viewer,
    ) -> Result<Vec<Value>> {
        let keys = query.sort.iter().map(|(key, _)| key.sql().0);
        let keys: Vec<String> = keys.collect();
        if !image::is_storable(marker) {
            return Err(Error::NotFound);
        }
        let mut sql = Sql::new(format!("SELECT {} FROM {TABLE} a", keys.join(", ")));
        query.push_join(&mut sql);
        sql.push(" WHERE a.id = ?").bind(marker);
        push_visible(&mut sql, "a", viewer);
        let rows = self.pool.fetch(&sql).await?;
        let row = rows.first().ok_or(Error::NotFound)?;
        let keys = query.sort.iter().enumerate();
        let value = |(index, (key, _)): (usize, &(ArtifactSort, Direction))| {
            Ok(match key.sql().1 {
                true => Value::from(row.int(index)?),
                false => Value::from(row.text(index)?.as_deref()),
            })
        };
        keys.map(value).collect()
    }
}

impl ArtifactQuery {
    /// What picks artifacts, but for the page.
    fn push(&self, sql: &mut Sql, viewer: &Viewer) {
        self.push_conditions(sql, "a", viewer);
        if self.latest {
            sql.push(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {TABLE} b WHERE b.type_name = a.type_name \
                 AND b.name = a.name AND b.version_key > a.version_key"
            ));
            self.push_conditions(sql, "b", viewer);
            sql.push(")");
        }
    }

    fn push_conditions(&self, sql: &mut Sql, alias: &str, viewer: &Viewer) {
        if let Some(type_name) = &self.type_name {
            sql.push(&format!(" AND {alias}.type_name = ?"));
            sql.bind(type_name.as_str());
        }
        push_visible(sql, alias, viewer);
        for filter in &self.all {
            sql.push(" AND ");
            filter.push(sql, alias);
        }
        for (index, alternative) in self.any.iter().enumerate() {
            sql.push(if index == 0 { " AND (" } else { " OR " });
            for (index, filter) in alternative.iter().enumerate() {
                sql.push(if index == 0 { "(" } else { " AND " });
                filter.push(sql, alias);
            }
            sql.push(if alternative.is_empty() { "1 = 1" } else { ")" });
        }
        if !self.any.is_empty() {
            sql.push(")");
        }
    }

    /// The values by which it is sorted, as `s`.
    fn push_join(&self, sql: &mut Sql) {
        for (key, _) in &self.sort {
            if let ArtifactSort::Value { name, .. } = key {
                sql.push(" JOIN fresnel_artifact_values s ON s.artifact_id = a.id AND s.name = ?");
                sql.bind(name.as_str());
            }
        }
    }

    fn push_order(&self, sql: &mut Sql) {
        for (index, (key, direction)) in self.sort.iter().enumerate() {
            sql.push(if index == 0 { " ORDER BY " } else { ", " });
            sql.push(&key.sql().0).push(match direction {
                Direction::Ascending => " ASC",
                Direction::Descending => " DESC",
            });
        }
    }

    /// What comes after the keys of another, in this order.
    fn push_after(&self, sql: &mut Sql, from: &[Value]) {
        for (depth, (key, direction)) in self.sort.iter().enumerate() {
            sql.push(if depth == 0 { " AND ((" } else { " OR (" });
            for ((before, _), value) in self.sort.iter().zip(from).take(depth) {
                sql.push(&before.sql().0).push(" = ? AND ");
                sql.bind(value.clone());
            }
            sql.push(&key.sql().0).push(match direction {
                Direction::Ascending => " > ?)",
                Direction::Descending => " < ?)",
            });
            sql.bind(from[depth].clone());
        }
        sql.push(")");
    }
}

impl ArtifactSort {
    /// What is compared, which is never empty, and whether it is a number.
    fn sql(&self) -> (String, bool) {
        match self {
            Self::Column(column) => {
                let (name, number) = column.sql();
                let text = match column {
                    ArtifactColumn::ActivatedAt => format!("COALESCE(a.{name}, 0)"),
                    ArtifactColumn::DisplayTypeName => format!("COALESCE(a.{name}, '')"),
                    _ => format!("a.{name}"),
                };
                (text, number)
            }
            Self::Value { number: true, .. } => ("s.number_value".to_owned(), true),
            Self::Value { number: false, .. } => ("s.text_value".to_owned(), false),
        }
    }
}

impl ArtifactFilter {
    fn push(&self, sql: &mut Sql, alias: &str) {
        match self {
            Self::Column(column, compared) => {
                compared.push(sql, &format!("{alias}.{}", column.sql().0));
            }
            Self::Value {
                name,
                keys,
                compared,
            } => {
                sql.push(&format!(
                    "EXISTS (SELECT 1 FROM fresnel_artifact_values v \
                     WHERE v.artifact_id = {alias}.id AND v.name = ?"
                ));
                sql.bind(name.as_str());
                if let Some(keys) = keys {
                    sql.push(" AND ");
                    let keys = keys.iter().cloned().map(Operand::Text).collect();
                    Compared::one_of(keys).push(sql, "v.key_name");
                }
                if let Some(compared) = compared {
                    sql.push(" AND ");
                    compared.push(sql, compared.column());
                }
                sql.push(")");
            }
        }
    }
}

impl Compared {
    /// With any of these.
    pub fn one_of(with: Vec<Operand>) -> Self {
        Self {
            operator: Operator::In,
            with,
        }
    }

    /// Where values of a field stand.
    fn column(&self) -> &'static str {
        match self.with.first() {
            Some(Operand::Number(_)) => "v.number_value",
            Some(Operand::Text(_)) | None => "v.text_value",
        }
    }

    fn push(&self, sql: &mut Sql, subject: &str) {
        let value = |operand: &Operand| match operand {
            Operand::Text(text) => Value::from(text.as_str()),
            Operand::Number(number) => Value::from(*number),
        };
        match (self.operator, self.with.as_slice()) {
            (_, []) => drop(sql.push("1 = 0")),
            (Operator::In, some) => {
                sql.push(subject).push(" IN ");
                sql.push_list(some.iter().map(value));
            }
            // Only % and _ stand for others: databases differ in what a backslash does.
            (Operator::Like, [Operand::Text(pattern), ..]) => {
                sql.push(&format!("{subject} LIKE ? ESCAPE '!'"));
                sql.bind(pattern.replace('!', "!!"));
            }
            (operator, [one, ..]) => {
                sql.push(&format!("{subject} {} ?", operator.sql()));
                sql.bind(value(one));
            }
        }
    }
}

/// Of others only what is public.
pub(super) fn push_visible(sql: &mut Sql, alias: &str, viewer: &Viewer) {
    match (viewer.is_admin, &viewer.project) {
        (true, _) => {}
        (false, Some(project)) => {
            sql.push(&format!(
                " AND ({alias}.owner = ? OR {alias}.visibility = 'public')"
            ));
            sql.bind(project.as_str());
        }
        (false, None) => drop(sql.push(&format!(" AND {alias}.visibility = 'public'"))),
    }
}

/// The one number of an answer.
pub(super) fn count(rows: &[Row]) -> Result<u64> {
    let row = rows.first().ok_or(Error::NotFound)?;
    Ok(cell(row.int(0), TABLE, "count")?.unsigned_abs())
}
