//! What the three databases spell differently.

use chrono::{NaiveDateTime, Timelike};

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
    MySql,
}

impl Dialect {
    /// `images.visibility` as text: PostgreSQL has a type of its own for it.
    pub(super) fn visibility_column(self) -> &'static str {
        match self {
            Self::Sqlite | Self::MySql => "i.visibility",
            Self::Postgres => "CAST(i.visibility AS text)",
        }
    }

    /// A parameter for `images.visibility`.
    pub(super) fn visibility_parameter(self) -> &'static str {
        match self {
            Self::Sqlite | Self::MySql => "?",
            Self::Postgres => "CAST(? AS image_visibility)",
        }
    }

    /// What a `CAST` to a number of 64 bits names; sums of such are wider on some.
    pub(super) fn integer_type(self) -> &'static str {
        match self {
            Self::Sqlite | Self::Postgres => "bigint",
            Self::MySql => "SIGNED",
        }
    }

    /// The database's clock in microseconds since 1970, not older than the statement's start.
    pub(super) fn clock_us(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            Self::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
            Self::MySql => "CAST(unix_timestamp(now(6)) * 1000000 AS SIGNED)",
        }
    }

    /// To stand after `images i` where most rows belong to the list and the newest come first: the
    /// planner of MySQL would read and sort them all, three times the work at 1,000 images. That
    /// it weighs no other index saves a quarter of the page.
    pub(super) fn newest_first(self) -> &'static str {
        match self {
            Self::Sqlite | Self::Postgres => "",
            Self::MySql => " FORCE INDEX (created_at_image_idx)",
        }
    }

    /// The end of a `SELECT` that locks its rows. SQLite's writer is alone anyhow.
    pub(super) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres | Self::MySql => " FOR UPDATE",
        }
    }

    /// A column of text as it is compared letter by letter. To MySQL itself `foo`, `Foo`, `fóo` and
    /// `foo ` are one.
    pub(super) fn exactly(self, column: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => column.to_owned(),
            Self::MySql => format!("CAST({column} AS BINARY)"),
        }
    }

    /// The end of an `INSERT` into `image_properties` that revives and overwrites what is there under
    /// the same name, letter by letter. MySQL's key also finds a name in other letters: one that is
    /// deleted gives its row away, one that is not fails the statement ([`super::Error::Alike`]).
    pub(super) fn property_upsert(self) -> &'static str {
        match self {
            Self::Sqlite | Self::Postgres => {
                " ON CONFLICT (image_id, name) DO UPDATE SET value = excluded.value, \
                 updated_at = excluded.updated_at, deleted = excluded.deleted, deleted_at = NULL"
            }
            Self::MySql => {
                " ON DUPLICATE KEY UPDATE name = IF(deleted \
                 OR CAST(name AS BINARY) = CAST(VALUES(name) AS BINARY), VALUES(name), NULL), \
                 value = VALUES(value), \
                 updated_at = VALUES(updated_at), deleted = VALUES(deleted), deleted_at = NULL"
            }
        }
    }

    /// The time as a column of this database keeps it. MySQL's DATETIME has whole seconds, and
    /// MySQL rounds where MariaDB cuts; cut here, it reads back as the API showed it.
    pub(super) fn stored(self, time: NaiveDateTime) -> NaiveDateTime {
        match self {
            Self::Sqlite | Self::Postgres => time,
            Self::MySql => time.with_nanosecond(0).unwrap_or(time),
        }
    }
}
