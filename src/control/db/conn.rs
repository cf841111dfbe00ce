//! One connection to any of the three databases, and the rows it answers with.

use chrono::NaiveDateTime;
use sqlx::{
    AssertSqlSafe, Connection, Executor, MySql, MySqlConnection, PgConnection, Postgres, Row as _,
    Sqlite, SqliteConnection,
    mysql::{MySqlConnectOptions, MySqlRow},
    postgres::{PgConnectOptions, PgRow},
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use super::{
    dialect::Dialect,
    error::{Error, Result},
    sql::{Sql, Value},
};
use crate::base::limits::KIB;

/// How to open a connection. No `Debug`: it holds the password.
#[derive(Clone)]
pub(super) enum Target {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
    MySql(MySqlConnectOptions),
}

impl Target {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
            Self::MySql(_) => Dialect::MySql,
        }
    }

    pub(super) async fn connect(&self) -> Result<Conn, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(options) => Conn::Sqlite(SqliteConnection::connect_with(options).await?),
            Self::Postgres(options) => Conn::Postgres(PgConnection::connect_with(options).await?),
            Self::MySql(options) => {
                let mut conn = MySqlConnection::connect_with(options).await?;
                conn.execute(sqlx::raw_sql(MYSQL_SESSION)).await?;
                Conn::MySql(conn)
            }
        })
    }
}

/// Our statements name their rows by ids, which have indexes: for them the planner of MySQL need not
/// dive into each index for each id, and MariaDB's need not weigh the rest of the condition. They
/// plan at each execution, so this is a third of the work of a GET, and half of a list's.
///
/// Values that do not fit are refused, as Glance's own sessions have it (TRADITIONAL), whatever the
/// server's default is.
const MYSQL_SESSION: &str = "SET sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), \
     eq_range_index_dive_limit = 1\
     /*M! , optimizer_use_condition_selectivity = 1 */";

/// An open connection. Each statement is one round trip once its text is known to the connection.
pub(super) enum Conn {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    MySql(MySqlConnection),
}

/// A longer text is not kept prepared: what clients make such lists of is seldom asked twice, and the
/// texts of 256 statements would stay in memory here and in the server. Of our own only the children
/// of over a thousand images are longer. Bytes.
const KEPT_TEXT_BYTES_MAX: usize = 12 * KIB;

/// A prepared statement with its parameters, which sqlx wants typed by database.
macro_rules! bound {
    ($database:ty, $sql:expr, $text:expr, $time:expr) => {{
        let is_kept = $sql.text.len() <= KEPT_TEXT_BYTES_MAX;
        let mut query = sqlx::query::<$database>(AssertSqlSafe($text)).persistent(is_kept);
        for value in &$sql.values {
            query = match value {
                Value::Int(value) => query.bind(*value),
                Value::Text(value) => query.bind(value.as_deref()),
                Value::Bool(value) => query.bind(*value),
                Value::Time(value) => query.bind(value.map($time)),
            };
        }
        query
    }};
}

impl Conn {
    /// The rows of a statement.
    pub(super) async fn fetch(&mut self, sql: &Sql) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(conn) => {
                let query = bound!(Sqlite, sql, sql.text.as_str(), sqlite_text);
                let rows = query.fetch_all(conn).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(conn) => {
                let query = bound!(Postgres, sql, sql.numbered(), |time| time);
                let rows = query.fetch_all(conn).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
            Self::MySql(conn) => {
                let query = bound!(MySql, sql, sql.text.as_str(), |time| time);
                let rows = query.fetch_all(conn).await?;
                rows.into_iter().map(Row::MySql).collect()
            }
        })
    }

    /// Runs a statement; returns how many rows it matched (not: changed).
    pub(super) async fn execute(&mut self, sql: &Sql) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(conn) => bound!(Sqlite, sql, sql.text.as_str(), sqlite_text)
                .execute(conn)
                .await?
                .rows_affected(),
            Self::Postgres(conn) => bound!(Postgres, sql, sql.numbered(), |time| time)
                .execute(conn)
                .await?
                .rows_affected(),
            Self::MySql(conn) => bound!(MySql, sql, sql.text.as_str(), |time| time)
                .execute(conn)
                .await?
                .rows_affected(),
        })
    }

    /// Runs statements without parameters, unprepared: transaction control and schema files.
    pub(super) async fn script(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        let script = sqlx::raw_sql(text);
        match self {
            Self::Sqlite(conn) => conn.execute(script).await.map(drop),
            Self::Postgres(conn) => conn.execute(script).await.map(drop),
            Self::MySql(conn) => conn.execute(script).await.map(drop),
        }
    }

    /// Whether the other side still answers.
    pub(super) async fn is_alive(&mut self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(conn) => conn.ping().await.is_ok(),
            Self::MySql(conn) => conn.ping().await.is_ok(),
        }
    }
}

/// A row. Cells are read by what the statement says they are.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
    MySql(MySqlRow),
}

impl Row {
    pub(super) fn text(&self, index: usize) -> Result<Option<String>> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get_unchecked(index)?,
            Self::Postgres(row) => row.try_get_unchecked(index)?,
            Self::MySql(row) => row.try_get_unchecked(index)?,
        })
    }

    pub(super) fn int(&self, index: usize) -> Result<Option<i64>> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get_unchecked(index)?,
            Self::Postgres(row) => row.try_get_unchecked(index)?,
            Self::MySql(row) => row.try_get_unchecked(index)?,
        })
    }

    pub(super) fn bool(&self, index: usize) -> Result<Option<bool>> {
        Ok(match self {
            Self::Sqlite(_) | Self::MySql(_) => self.int(index)?.map(|value| value != 0),
            Self::Postgres(row) => row.try_get_unchecked(index)?,
        })
    }

    pub(super) fn time(&self, index: usize) -> Result<Option<NaiveDateTime>> {
        Ok(match self {
            Self::Sqlite(_) => match self.text(index)? {
                Some(text) => Some(sqlite_time(&text).ok_or(Error::Corrupt {
                    table: "images",
                    column: "a time",
                })?),
                None => None,
            },
            Self::Postgres(row) => row.try_get_unchecked(index)?,
            Self::MySql(row) => row.try_get_unchecked(index)?,
        })
    }
}

/// As SQLAlchemy writes a DATETIME on SQLite, and compares it: always six digits of microseconds.
fn sqlite_text(time: NaiveDateTime) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// As SQLAlchemy reads it: the fraction, and the time of day, may be missing.
fn sqlite_time(text: &str) -> Option<NaiveDateTime> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f");
    time.ok().or_else(|| {
        let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        date.and_hms_opt(0, 0, 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_times_are_what_sqlalchemy_writes() {
        let text = "2026-11-21 20:01:02.000300";
        let time = sqlite_time(text).unwrap();
        assert_eq!(sqlite_text(time), text);
        assert_eq!(
            sqlite_text(sqlite_time("2026-11-21 20:01:02").unwrap()),
            "2026-11-21 20:01:02.000000"
        );
        assert_eq!(sqlite_time("yesterday"), None);
    }
}
