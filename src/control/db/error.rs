//! What can come of a database operation.

use metrics::counter;

use super::{artifact::Counted, quota::Over, url::UrlError};
use crate::base::seldom::Seldom;

/// The result of a database operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The outcomes of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another writer was first: the row no longer is what it was read as.
    #[error("the row changed meanwhile")]
    Conflict,
    /// A row of that key exists.
    #[error("{0} exists")]
    Duplicate(String),
    /// The image has a property whose name is this one in other letters, which is the same to MySQL.
    #[error("a property has the name in other letters")]
    Alike,
    /// The attempt was fenced, or its node's lease ran out: nothing was published.
    #[error("the lease is lost")]
    Lost,
    /// A task has the image.
    #[error("a task has the image")]
    Locked,
    /// Another image has the object that a location names.
    #[error("another image has the object")]
    Taken,
    /// A quota of the project's is in the way.
    #[error("the project is over a quota")]
    OverQuota(Over),
    /// A limit of artifacts, or of their bytes, is in the way.
    #[error("the project is over a limit of artifacts")]
    OverArtifacts(Counted),
    /// No such row, or none that the viewer may know of.
    #[error("no such row")]
    NotFound,
    /// The marker names no image.
    #[error("no image has the marker's id")]
    MarkerUnknown,
    /// The marker names an image that the viewer may not see.
    #[error("the marker's image is not visible")]
    MarkerHidden,
    /// The database cannot hold this value: too long, or letters outside its character set.
    #[error("the database refuses a value")]
    Refused(#[source] sqlx::Error),
    /// A row that nothing of ours or Glance's would have written.
    #[error("a row of {table} has an unreadable {column}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The connection string cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The schema is not one that we serve; the text says what to do.
    #[error("{0}")]
    Schema(String),
    /// Other writers were in the way, time and again.
    #[error("the database is busy")]
    Busy,
    /// The database does not answer.
    #[error("the database does not answer")]
    Unavailable,
    /// It answered with something else.
    #[error("the database failed")]
    Backend(#[source] sqlx::Error),
}

/// What kind of failure a statement met. Codes: SQLite result codes, SQLSTATE, MySQL error numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another transaction was in the way: trying again may work.
    Contended,
    /// The connection is of no more use.
    Broken,
    /// A unique key.
    Duplicate,
    /// NULL where there must be a value: how the upsert of properties tells a name in other letters.
    Null,
    /// A value that does not fit.
    Refused,
    /// Anything else.
    Other,
}

impl Failure {
    pub(super) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(database) => {
                if database.is_unique_violation() {
                    return Self::Duplicate;
                }
                let number = database
                    .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
                    .map(|mysql| mysql.number().to_string());
                let code = number.or_else(|| database.code().map(|code| code.into_owned()));
                Self::of_code(code.as_deref().unwrap_or_default())
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Self::Broken,
            _ => Self::Other,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Contended => "contended",
            Self::Broken => "broken",
            Self::Duplicate => "duplicate",
            Self::Null | Self::Refused => "refused",
            Self::Other => "other",
        }
    }

    fn of_code(code: &str) -> Self {
        match code {
            // SQLite: BUSY, LOCKED, BUSY_RECOVERY, BUSY_SNAPSHOT. PostgreSQL: serialization,
            // deadlock. MySQL: lock wait timeout, deadlock, MariaDB's "record has changed".
            "5" | "6" | "261" | "517" | "40001" | "40P01" | "1205" | "1213" | "1020" => {
                Self::Contended
            }
            // PostgreSQL: shutdown, crash, starting up, too many connections. MySQL: too many
            // connections, shutdown, killed, read only.
            "57P01" | "57P02" | "57P03" | "53300" | "1040" | "1053" | "1203" | "1927" | "1290"
            | "1836" => Self::Broken,
            // MySQL alone: no statement for the others says so.
            "1048" => Self::Null,
            // PostgreSQL: too long, out of range, bad encoding. MySQL: too long, out of range,
            // wrong string, wrong value, letters that a connection's character set has not.
            "22001" | "22003" | "22021" | "22P05" | "1406" | "1264" | "1366" | "1292" | "1267" => {
                Self::Refused
            }
            _ => Self::Other,
        }
    }
}

/// Each request of a database that is away fails.
static AWAY: Seldom = Seldom::new();

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let failure = Failure::of(&error);
        counter!("fresnel_db_failures_total", "kind" => failure.label()).increment(1);
        match failure {
            Failure::Contended => Self::Busy,
            Failure::Broken => {
                if let Some(times) = AWAY.times() {
                    tracing::warn!(%error, times, "The database does not answer");
                }
                Self::Unavailable
            }
            Failure::Duplicate => Self::Duplicate("the row".to_owned()),
            Failure::Null => Self::Alike,
            Failure::Refused => Self::Refused(error),
            Failure::Other => Self::Backend(error),
        }
    }
}
