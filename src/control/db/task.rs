//! Tasks (reference A.8, B.2): rows of `tasks` and `task_info` as Glance would have written them.

use chrono::{NaiveDateTime, Utc};
use serde_json::Value as Json;

use super::{
    Db, Viewer,
    conn::Row,
    dialect::Dialect,
    error::{Error, Result},
    pool::{Transaction, transact},
    rows::cell,
    sql::{Sql, Value},
};
use crate::{
    control::notify::{Event, Teller},
    model::{ImageId, ProjectId, Task, TaskId, TaskStatus},
};

const TABLE: &str = "tasks";

const SELECT: &str = "SELECT t.id, t.type, t.status, t.owner, t.image_id, t.request_id, t.user_id, \
     t.expires_at, t.created_at, t.updated_at, i.input, i.result, i.message \
     FROM tasks t LEFT JOIN task_info i ON i.task_id = t.id WHERE t.deleted = false";

/// The columns by which tasks may be sorted.
pub const TASK_SORT_KEYS: [&str; 12] = [
    "created_at",
    "deleted",
    "deleted_at",
    "expires_at",
    "id",
    "image_id",
    "owner",
    "request_id",
    "status",
    "type",
    "updated_at",
    "user_id",
];

/// Which tasks a list has.
#[derive(Clone, Debug)]
pub struct TaskQuery {
    /// Only of that type.
    pub kind: Option<String>,
    /// Only so far.
    pub status: Option<TaskStatus>,
    /// Of [`TASK_SORT_KEYS`]; ties go by `created_at` and `id`.
    pub sort_key: &'static str,
    /// The greatest first.
    pub descending: bool,
    /// The last task of the page before.
    pub marker: Option<TaskId>,
    /// At most so many.
    pub limit: u64,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Success or failure.
    pub status: TaskStatus,
    /// What came of it.
    pub result: Json,
    /// Why it failed.
    pub message: Option<String>,
    /// UTC; then it is forgotten.
    pub expires_at: NaiveDateTime,
}

impl Db {
    /// A task that is not deleted, whoever may see it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn task(&self, id: TaskId) -> Result<Task> {
        let rows = self.pool.fetch(&select(id)).await?;
        task(rows.first().ok_or(Error::NotFound)?)
    }

    /// The tasks of an image that the viewer may see, oldest first; of more than `most` the newest.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn tasks_of_image(
        &self,
        image: &ImageId,
        viewer: &Viewer,
        most: u64,
    ) -> Result<Vec<Task>> {
        self.forget_expired(viewer).await?;
        let mut sql = Sql::new(format!(
            "{SELECT} AND t.image_id = ? AND (t.expires_at IS NULL OR t.expires_at >= ?)"
        ));
        sql.bind(image.as_str()).bind(self.now());
        push_visible(&mut sql, viewer);
        sql.push(" ORDER BY t.created_at DESC, t.id DESC LIMIT ?");
        sql.bind(i64::try_from(most).unwrap_or(i64::MAX));
        let newest_first = self.pool.fetch(&sql).await?;
        newest_first.iter().rev().map(task).collect()
    }

    /// A page of the tasks that the viewer may see. Those of its project that have expired are
    /// forgotten first, as Glance does it.
    ///
    /// # Errors
    /// [`Error::MarkerUnknown`].
    pub async fn tasks(&self, query: &TaskQuery, viewer: &Viewer) -> Result<Vec<Task>> {
        self.forget_expired(viewer).await?;
        let mut sql = Sql::new(SELECT);
        push_visible(&mut sql, viewer);
        if let Some(kind) = &query.kind {
            sql.push(" AND t.type = ?").bind(kind.as_str());
        }
        if let Some(status) = query.status {
            sql.push(" AND t.status = ?").bind(status.as_str());
        }
        let mut keys = vec!["created_at", "id"];
        if !keys.contains(&query.sort_key) {
            keys.insert(0, query.sort_key);
        } else if query.sort_key == "id" {
            keys = vec!["id"];
        }
        if let Some(marker) = query.marker {
            self.push_after(&mut sql, marker, &keys, query.descending)
                .await?;
        }
        let direction = if query.descending { "DESC" } else { "ASC" };
        let order = keys.iter().map(|key| format!("t.{key} {direction}"));
        let order: Vec<String> = order.collect();
        sql.push(&format!(" ORDER BY {} LIMIT ?", order.join(", ")));
        sql.bind(i64::try_from(query.limit).unwrap_or(i64::MAX));
        self.pool.fetch(&sql).await?.iter().map(task).collect()
    }

    /// A task that somebody begins to work on. False: it has ended.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn task_progress(&self, id: TaskId, message: Option<&str>) -> Result<bool> {
        let now = self.now();
        transact!(self.pool, |t| {
            let from = |status: TaskStatus| {
                let mut sql = Sql::new(
                    "UPDATE tasks SET status = ?, updated_at = ? WHERE id = ? \
                     AND deleted = false AND status = ?",
                );
                sql.bind(TaskStatus::Processing.as_str()).bind(now);
                sql.bind(id.to_string()).bind(status.as_str());
                sql
            };
            if t.execute(&from(TaskStatus::Pending)).await? == 1 {
                tell(t, id, |teller, task| teller.task(task)).await?;
            } else if t.execute(&from(TaskStatus::Processing)).await? != 1 {
                return Ok(false);
            }
            if let Some(message) = message {
                let mut sql = Sql::new("UPDATE task_info SET message = ? WHERE task_id = ?");
                t.execute(sql.bind(message).bind(id.to_string())).await?;
            }
            Ok(true)
        })
    }

    /// Records a task on its own.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn task_add(&self, task: &Task) -> Result<()> {
        transact!(self.pool, |t| { add(t, task).await })
    }

    /// Ends a task on its own; one that has ended stays as it is.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn task_end(&self, id: TaskId, ended: &Ended) -> Result<()> {
        transact!(self.pool, |t| { end(t, id, ended).await })
    }

    fn now(&self) -> NaiveDateTime {
        self.pool.dialect().stored(Utc::now().naive_utc())
    }

    async fn forget_expired(&self, viewer: &Viewer) -> Result<()> {
        let now = self.now();
        let owner = viewer.project.as_ref().map_or("", ProjectId::as_str);
        let mut sql = Sql::new(
            "UPDATE tasks SET deleted = true, deleted_at = ? \
             WHERE owner = ? AND deleted = false AND expires_at <= ?",
        );
        self.pool
            .execute(sql.bind(now).bind(owner).bind(now))
            .await?;
        Ok(())
    }

    /// Rows behind the marker's, by the keys in their order.
    async fn push_after(
        &self,
        sql: &mut Sql,
        marker: TaskId,
        keys: &[&str],
        descending: bool,
    ) -> Result<()> {
        let mut exists = Sql::new("SELECT 1 FROM tasks WHERE id = ? AND deleted = false");
        let found = self.pool.fetch(exists.bind(marker.to_string())).await?;
        if found.is_empty() {
            return Err(Error::MarkerUnknown);
        }
        let beyond = if descending { "<" } else { ">" };
        let of_marker = |key: &str| format!("(SELECT m.{key} FROM tasks m WHERE m.id = ?)");
        sql.push(" AND (");
        for (index, key) in keys.iter().enumerate() {
            sql.push(if index == 0 { "(" } else { " OR (" });
            for equal in &keys[..index] {
                sql.push(&format!("t.{equal} = {} AND ", of_marker(equal)));
                sql.bind(marker.to_string());
            }
            sql.push(&format!("t.{key} {beyond} {})", of_marker(key)));
            sql.bind(marker.to_string());
        }
        sql.push(")");
        Ok(())
    }
}

/// Records a task, as a part of a transaction.
pub(super) async fn add(t: &mut Transaction, task: &Task) -> Result<()> {
    let dialect = t.dialect();
    let mut sql = Sql::new(
        "INSERT INTO tasks (id, type, status, owner, expires_at, created_at, updated_at, deleted, \
         image_id, request_id, user_id) VALUES (?, ?, ?, ?, ?, ?, ?, false, ?, ?, ?)",
    );
    sql.bind(task.id.to_string()).bind(task.kind.as_str());
    sql.bind(task.status.as_str()).bind(task.owner.as_str());
    sql.bind(time(dialect, task.expires_at));
    sql.bind(dialect.stored(task.created_at));
    sql.bind(dialect.stored(task.updated_at));
    sql.bind(task.image.as_ref().map(ImageId::as_str));
    sql.bind(task.request_id.as_deref());
    sql.bind(task.user_id.as_deref());
    t.execute(&sql).await?;
    let mut sql =
        Sql::new("INSERT INTO task_info (task_id, input, result, message) VALUES (?, ?, ?, ?)");
    sql.bind(task.id.to_string()).bind(json(&task.input));
    sql.bind(json(&task.result));
    sql.bind(task.message.as_deref().unwrap_or_default());
    t.execute(&sql).await?;
    t.tell(|teller| teller.task_made(task)).await
}

/// [`Db::task_end`] as a part of a transaction.
pub(super) async fn end(t: &mut Transaction, id: TaskId, ended: &Ended) -> Result<()> {
    let dialect = t.dialect();
    let now = dialect.stored(Utc::now().naive_utc());
    let mut sql = Sql::new(
        "UPDATE tasks SET status = ?, expires_at = ?, updated_at = ? WHERE id = ? \
         AND deleted = false AND status IN ",
    );
    sql.bind(ended.status.as_str());
    sql.bind(time(dialect, Some(ended.expires_at))).bind(now);
    sql.bind(id.to_string());
    let going = [TaskStatus::Pending, TaskStatus::Processing];
    sql.push_list(going.map(TaskStatus::as_str));
    if t.execute(&sql).await? != 1 {
        return Ok(());
    }
    let mut sql = Sql::new("UPDATE task_info SET result = ?");
    sql.bind(json(&ended.result));
    if let Some(message) = &ended.message {
        sql.push(", message = ?").bind(message.as_str());
    }
    sql.push(" WHERE task_id = ?").bind(id.to_string());
    t.execute(&sql).await?;
    tell(t, id, |teller, task| teller.task_ended(task)).await
}

/// Tells of a task as it is now.
async fn tell<E: IntoIterator<Item = Event>>(
    t: &mut Transaction,
    id: TaskId,
    events: impl FnOnce(&Teller, &Task) -> E,
) -> Result<()> {
    if t.teller().is_none() {
        return Ok(());
    }
    let rows = t.fetch(&select(id)).await?;
    let task = task(rows.first().ok_or(Error::NotFound)?)?;
    t.tell(|teller| events(teller, &task)).await
}

fn select(id: TaskId) -> Sql {
    let mut sql = Sql::new(format!("{SELECT} AND t.id = ?"));
    sql.bind(id.to_string());
    sql
}

fn push_visible(sql: &mut Sql, viewer: &Viewer) {
    if viewer.is_admin {
        return;
    }
    let owner = viewer.project.as_ref().map_or("", ProjectId::as_str);
    sql.push(" AND t.owner = ?").bind(owner);
}

fn time(dialect: Dialect, time: Option<NaiveDateTime>) -> Value {
    Value::Time(time.map(|time| dialect.stored(time)))
}

/// JSON's null is SQL's.
fn json(value: &Json) -> Value {
    Value::Text((!value.is_null()).then(|| value.to_string()))
}

fn task(row: &Row) -> Result<Task> {
    let corrupt = |column| Error::Corrupt {
        table: TABLE,
        column,
    };
    let status = cell(row.text(2), TABLE, "status")?;
    let created_at = cell(row.time(8), TABLE, "created_at")?;
    let parsed = |index, column| -> Result<Json> {
        let text = row.text(index)?;
        let parsed = text.map_or(Ok(Json::Null), |text| serde_json::from_str(&text));
        parsed.map_err(|_| corrupt(column))
    };
    let id = cell(row.text(0), TABLE, "id")?;
    Ok(Task {
        id: id.parse().map_err(|_| corrupt("id"))?,
        kind: cell(row.text(1), TABLE, "type")?,
        status: status.parse().map_err(|_| corrupt("status"))?,
        owner: ProjectId::new(cell(row.text(3), TABLE, "owner")?),
        image: row.text(4)?.map(ImageId::new),
        request_id: row.text(5)?,
        user_id: row.text(6)?,
        expires_at: row.time(7)?,
        created_at,
        updated_at: row.time(9)?.unwrap_or(created_at),
        input: parsed(10, "input")?,
        result: parsed(11, "result")?,
        message: row.text(12)?,
    })
}
