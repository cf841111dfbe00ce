//! The records: Glance's schema on SQLite, PostgreSQL and MariaDB.

use crate::model::{Image, ProjectId};

/// A handle to the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Db;

/// Through whose eyes rows are seen (reference C.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The project that asks.
    pub project: Option<ProjectId>,
    /// Sees everything.
    pub is_admin: bool,
}

/// An image, and the membership through which the viewer sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The image.
    pub image: Image,
    /// The project it is shared with.
    pub member: Option<ProjectId>,
}

/// The outcomes of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another writer was first.
    #[error("the row changed meanwhile")]
    Conflict,
    /// A row of that key exists.
    #[error("{0} exists")]
    Duplicate(String),
    /// The lease is gone.
    #[error("the lease is lost")]
    Lost,
    /// No such row.
    #[error("no such row")]
    NotFound,
    /// The database does not answer.
    #[error("the database does not answer")]
    Unavailable,
}

/// The result of a database operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
