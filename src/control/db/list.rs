//! Lists of images: filters, order, pages (reference A.4.3, to the letter).

use chrono::NaiveDateTime;

use super::{
    Db, Found, Viewer,
    conn::Row,
    dialect::Dialect,
    error::{Error, Result},
    image::{is_storable, push_visible},
    rows,
    sql::{Sql, Value},
};
use crate::model::{ImageId, MemberStatus, Visibility};

/// Which images, in which order, how many.
#[derive(Clone, Debug, PartialEq)]
pub struct ListQuery {
    /// All of them must hold.
    pub filters: Vec<Filter>,
    /// All of them must be there.
    pub tags: Vec<String>,
    /// All of these custom properties must have these values.
    pub properties: Vec<(String, String)>,
    /// Which visibilities.
    pub visibility: Listed,
    /// What the viewer's project must have said to an image that is shared with it; none: anything.
    pub member_status: Option<MemberStatus>,
    /// Only hidden images, or only the others.
    pub os_hidden: bool,
    /// First key first; `created_at` and `id` are appended where they are absent, in the direction
    /// of `tie_break`.
    pub sort: Vec<(SortKey, Direction)>,
    /// The direction of the keys that are appended.
    pub tie_break: Direction,
    /// The last image of the page before.
    pub marker: Option<ImageId>,
    /// At most so many; none: all.
    pub limit: Option<u64>,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self {
            filters: Vec::new(),
            tags: Vec::new(),
            properties: Vec::new(),
            visibility: Listed::Unasked,
            member_status: Some(MemberStatus::Accepted),
            os_hidden: false,
            sort: vec![(SortKey::CreatedAt, Direction::Descending)],
            tie_break: Direction::Descending,
            marker: None,
            limit: None,
        }
    }
}

/// The parameter `visibility`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Not given: community images only where the viewer's project owns them.
    Unasked,
    /// `all`: hides nothing that the viewer may see.
    All,
    /// Only these.
    Only(Visibility),
}

/// A condition on a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// The column has this value; a value that the column's type cannot have matches no image.
    Equals(Column, String),
    /// The column has one of these values.
    OneOf(Column, Vec<String>),
    /// A number column is at least this (`<column>_min`).
    AtLeast(Column, i64),
    /// A number column is at most this (`<column>_max`).
    AtMost(Column, i64),
    /// A time column compares so with this time (UTC).
    Time(TimeColumn, Comparison, NaiveDateTime),
}

/// A column that filters may name. Times have their own: [`TimeColumn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the columns'")]
pub enum Column {
    Id,
    Name,
    Status,
    DiskFormat,
    ContainerFormat,
    Checksum,
    OsHashAlgo,
    OsHashValue,
    Owner,
    Size,
    VirtualSize,
    MinDisk,
    MinRam,
    Protected,
}

impl Column {
    const ALL: [(Self, &'static str); 14] = [
        (Self::Id, "id"),
        (Self::Name, "name"),
        (Self::Status, "status"),
        (Self::DiskFormat, "disk_format"),
        (Self::ContainerFormat, "container_format"),
        (Self::Checksum, "checksum"),
        (Self::OsHashAlgo, "os_hash_algo"),
        (Self::OsHashValue, "os_hash_value"),
        (Self::Owner, "owner"),
        (Self::Size, "size"),
        (Self::VirtualSize, "virtual_size"),
        (Self::MinDisk, "min_disk"),
        (Self::MinRam, "min_ram"),
        (Self::Protected, "protected"),
    ];

    /// The column of this name, which is also the query parameter's.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, column)| *column == name);
        found.map(|(column, _)| *column)
    }

    /// Whether it holds a number: only then do [`Filter::AtLeast`] and [`Filter::AtMost`] apply.
    pub fn is_number(self) -> bool {
        matches!(
            self,
            Self::Size | Self::VirtualSize | Self::MinDisk | Self::MinRam
        )
    }

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The text as the column's type has it; none if it cannot.
    fn value(self, text: &str) -> Option<Value> {
        if self.is_number() {
            text.parse::<i64>().ok().map(Value::from)
        } else if self == Self::Protected {
            match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true.into()),
                "false" | "0" => Some(false.into()),
                _ => None,
            }
        } else {
            (!text.contains('\0')).then(|| text.into())
        }
    }
}

/// A time column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the columns'")]
pub enum TimeColumn {
    CreatedAt,
    UpdatedAt,
}

/// An operator of a time filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the operators'")]
pub enum Comparison {
    Gt,
    Gte,
    Lt,
    Lte,
    Eq,
    Neq,
}

impl Comparison {
    fn operator(self) -> &'static str {
        match self {
            Self::Gt => ">",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Lte => "<=",
            Self::Eq => "=",
            Self::Neq => "<>",
        }
    }
}

/// A key of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the columns'")]
pub enum SortKey {
    Name,
    Status,
    ContainerFormat,
    DiskFormat,
    Size,
    Id,
    CreatedAt,
    UpdatedAt,
}

impl SortKey {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Name, "name"),
        (Self::Status, "status"),
        (Self::ContainerFormat, "container_format"),
        (Self::DiskFormat, "disk_format"),
        (Self::Size, "size"),
        (Self::Id, "id"),
        (Self::CreatedAt, "created_at"),
        (Self::UpdatedAt, "updated_at"),
    ];

    /// The key of this name.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, key)| *key == name);
        found.map(|(key, _)| *key)
    }

    /// What is compared: never NULL, so that every row has its place and paging is total.
    fn expression(self) -> &'static str {
        match self {
            Self::Name => "COALESCE(i.name, '')",
            Self::Status => "i.status",
            Self::ContainerFormat => "COALESCE(i.container_format, '')",
            Self::DiskFormat => "COALESCE(i.disk_format, '')",
            Self::Size => "COALESCE(i.size, 0)",
            Self::Id => "i.id",
            Self::CreatedAt => "i.created_at",
            Self::UpdatedAt => "COALESCE(i.updated_at, i.created_at)",
        }
    }

    /// The cell of a marker's row.
    fn value(self, row: &Row, index: usize) -> Result<Value> {
        Ok(match self {
            Self::Name | Self::Status | Self::ContainerFormat | Self::DiskFormat | Self::Id => {
                Value::Text(row.text(index)?)
            }
            Self::Size => Value::Int(row.int(index)?),
            Self::CreatedAt | Self::UpdatedAt => Value::Time(row.time(index)?),
        })
    }
}

/// A direction of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the directions'")]
pub enum Direction {
    Ascending,
    Descending,
}

impl Direction {
    fn keyword(self) -> &'static str {
        match self {
            Self::Ascending => " ASC",
            Self::Descending => " DESC",
        }
    }

    /// How a row compares with the marker that it follows.
    fn follows(self) -> &'static str {
        match self {
            Self::Ascending => " > ?",
            Self::Descending => " < ?",
        }
    }
}

impl Db {
    /// The images that the query names and the viewer may list: two round trips, three with a
    /// marker, whatever their number.
    ///
    /// # Errors
    /// [`Error::MarkerUnknown`], [`Error::MarkerHidden`].
    pub async fn images(&self, query: &ListQuery, viewer: &Viewer) -> Result<Vec<Found>> {
        let order = order(query);
        let marker = match &query.marker {
            Some(id) => Some(self.marker(id, &order, viewer).await?),
            None => None,
        };
        let Some(sql) = page(self.pool.dialect(), query, viewer, &order, marker) else {
            return Ok(Vec::new());
        };
        let mut rows = self.pool.fetch(&sql).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        rows.extend(self.pool.fetch(&children(&rows)?).await?);
        let images = rows::assemble(rows)?.into_iter();
        Ok(images.map(|image| rows::found(image, viewer)).collect())
    }

    /// The marker's place in the order.
    async fn marker(
        &self,
        id: &ImageId,
        order: &[(SortKey, Direction)],
        viewer: &Viewer,
    ) -> Result<Vec<Value>> {
        if !is_storable(id.as_str()) {
            return Err(Error::MarkerUnknown);
        }
        let mut sql = Sql::new("SELECT CASE WHEN ");
        push_visible(&mut sql, viewer);
        sql.push(" THEN 1 ELSE 0 END");
        for (key, _) in order {
            sql.push(", ").push(key.expression());
        }
        sql.push(" FROM images i WHERE i.id = ?");
        sql.bind(id.as_str());
        // An administrator's page may go on behind an image that was deleted meanwhile.
        if !viewer.is_admin {
            sql.push(" AND i.deleted = false");
        }
        let rows = self.pool.fetch(&sql).await?;
        let row = rows.first().ok_or(Error::MarkerUnknown)?;
        if row.int(0)? != Some(1) {
            return Err(Error::MarkerHidden);
        }
        let keys = order.iter().enumerate();
        keys.map(|(index, (key, _))| key.value(row, index + 1))
            .collect()
    }
}

/// The whole order: the query's keys, then what makes it total.
fn order(query: &ListQuery) -> Vec<(SortKey, Direction)> {
    let mut order = query.sort.clone();
    for key in [SortKey::CreatedAt, SortKey::Id] {
        if !order.iter().any(|(present, _)| *present == key) {
            order.push((key, query.tie_break));
        }
    }
    order
}

/// The page's images without their children; none if no image can match.
fn page(
    dialect: Dialect,
    query: &ListQuery,
    viewer: &Viewer,
    order: &[(SortKey, Direction)],
    marker: Option<Vec<Value>>,
) -> Option<Sql> {
    let columns = rows::image_columns(dialect);
    let hint = if is_newest_of_all(query, viewer, order) {
        dialect.newest_first()
    } else {
        ""
    };
    let mut sql = Sql::new(format!(
        "SELECT {columns} FROM images i{hint} WHERE i.deleted = false AND i.status <> 'killed' \
         AND i.os_hidden = ?"
    ));
    sql.bind(query.os_hidden);
    push_listed(&mut sql, query, viewer);
    for filter in &query.filters {
        push_filter(&mut sql, filter)?;
    }
    for tag in &query.tags {
        sql.push(
            " AND EXISTS (SELECT 1 FROM image_tags t WHERE t.image_id = i.id AND t.value = ? \
             AND t.deleted = false)",
        );
        sql.bind(tag.as_str());
    }
    for (name, value) in &query.properties {
        // Letter by letter: who may not read a property does not find it by its name in other letters.
        let exactly = dialect.exactly("p.name");
        sql.push(&format!(
            " AND EXISTS (SELECT 1 FROM image_properties p WHERE p.image_id = i.id \
             AND {exactly} = ? AND p.value = ? AND p.deleted = false)"
        ));
        sql.bind(name.as_str()).bind(value.as_str());
    }
    if let Some(values) = marker {
        push_after(&mut sql, order, &values);
    }
    for (index, (key, direction)) in order.iter().enumerate() {
        sql.push(if index == 0 { " ORDER BY " } else { ", " });
        sql.push(key.expression()).push(direction.keyword());
    }
    if let Some(limit) = query.limit {
        sql.push(" LIMIT ?");
        sql.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    }
    Some(sql)
}

/// A page of nearly everything in the order of time: only then is an index on the time the way.
fn is_newest_of_all(query: &ListQuery, viewer: &Viewer, order: &[(SortKey, Direction)]) -> bool {
    let unfiltered =
        query.filters.is_empty() && query.tags.is_empty() && query.properties.is_empty();
    let all = viewer.is_admin && !query.os_hidden && !matches!(query.visibility, Listed::Only(_));
    let by_time = matches!(
        order,
        [(SortKey::CreatedAt, first), (SortKey::Id, second)] if first == second
    );
    unfiltered && all && by_time && query.limit.is_some()
}

/// Who lists what. An administrator lists all; a project the public, its own, and what is shared
/// with it. Community images of others want to be asked for.
fn push_listed(sql: &mut Sql, query: &ListQuery, viewer: &Viewer) {
    let project = viewer.project.as_ref().map(|project| project.as_str());
    if !viewer.is_admin {
        sql.push(" AND (i.visibility IN ('public', 'community')");
        if let Some(project) = project {
            sql.push(
                " OR i.owner = ? OR (i.visibility = 'shared' AND EXISTS (SELECT 1 \
                 FROM image_members m WHERE m.image_id = i.id AND m.member = ? \
                 AND m.deleted = false",
            );
            sql.bind(project).bind(project);
            if let Some(status) = query.member_status {
                sql.push(" AND m.status = ?").bind(status.as_str());
            }
            sql.push("))");
        }
        sql.push(")");
    }
    match (query.visibility, project) {
        (Listed::All, _) => {}
        (Listed::Only(visibility), _) => {
            sql.push(" AND i.visibility = '")
                .push(visibility.as_str())
                .push("'");
        }
        (Listed::Unasked, None) => {
            sql.push(" AND i.visibility <> 'community'");
        }
        (Listed::Unasked, Some(project)) => {
            sql.push(" AND (i.owner = ? OR i.visibility <> 'community')")
                .bind(project);
        }
    }
}

/// None when nothing can match.
fn push_filter(sql: &mut Sql, filter: &Filter) -> Option<()> {
    match filter {
        Filter::Equals(column, text) => {
            let value = column.value(text)?;
            sql.push(" AND i.").push(column.name()).push(" = ?");
            sql.bind(value);
        }
        Filter::OneOf(column, texts) => {
            let values: Vec<_> = texts.iter().filter_map(|text| column.value(text)).collect();
            if values.is_empty() {
                return None;
            }
            sql.push(" AND i.").push(column.name()).push(" IN ");
            sql.push_list(values);
        }
        Filter::AtLeast(column, bound) | Filter::AtMost(column, bound) => {
            let least = matches!(filter, Filter::AtLeast(..));
            sql.push(" AND i.").push(column.name());
            sql.push(if least { " >= ?" } else { " <= ?" });
            sql.bind(*bound);
        }
        Filter::Time(column, comparison, time) => {
            sql.push(match column {
                TimeColumn::CreatedAt => " AND i.created_at ",
                TimeColumn::UpdatedAt => " AND i.updated_at ",
            });
            sql.push(comparison.operator()).push(" ?").bind(*time);
        }
    }
    Some(())
}

/// The rows after the marker: `(a > A) OR (a = A AND b > B) OR ...`, each in its own direction.
fn push_after(sql: &mut Sql, order: &[(SortKey, Direction)], values: &[Value]) {
    for last in 0..order.len() {
        sql.push(if last == 0 { " AND ((" } else { ") OR (" });
        for index in 0..=last {
            let (key, direction) = order[index];
            if index > 0 {
                sql.push(" AND ");
            }
            sql.push(key.expression());
            sql.push(if index < last {
                " = ?"
            } else {
                direction.follows()
            });
            sql.bind(values[index].clone());
        }
    }
    sql.push("))");
}

/// The children of the page's images. Up to 32 ids there is a statement for each number of them,
/// above one for each power of two, so that few stay prepared; what fills up is NULL, no image's id.
fn children(rows: &[Row]) -> Result<Sql> {
    let ids: Result<Vec<_>> = rows
        .iter()
        .map(|row| rows::cell(row.text(1), "images", "id").map(Some))
        .collect();
    let mut ids = ids?;
    if ids.len() > 32 {
        ids.resize(ids.len().next_power_of_two(), None);
    }
    let mut sql = Sql::new(rows::children_of_many(ids.len()));
    for _ in 0..3 {
        for id in &ids {
            sql.bind(id.as_deref());
        }
    }
    Ok(sql)
}
