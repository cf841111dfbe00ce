//! The records: Glance's schema (reference K) on SQLite, PostgreSQL and MariaDB or MySQL.
//!
//! Every repository function is written once, over [`sql::Sql`] and [`pool::Pool`]; what differs
//! between the three dialects is in `conn`, `dialect` and `schema/`. The tables of Glance hold what
//! Glance would have written; what only we need is in tables named `fresnel_*`.
//!
//! **Locks** are always taken in this order, which no deadlock between ours can follow: the row of
//! `fresnel_quota`, then rows of `fresnel_writes`, then those of `fresnel_jobs`, then the row of
//! `images`, then its children. Glance locks the image first and its children after, too. A deadlock
//! or a failed serialization that happens nevertheless is tried again, a bounded number of times.
//!
//! **Moves** of a status are compare-and-swap: `UPDATE ... WHERE id AND status`, judged by the
//! number of rows.

mod artifact;
mod cached;
mod conn;
mod dialect;
mod error;
mod event;
mod image;
mod import;
mod job;
mod journal;
mod list;
mod location;
mod member;
mod metadef;
mod pool;
mod purge;
mod quota;
mod rows;
mod save;
mod schema;
mod scrub;
mod sql;
mod staged;
mod task;
mod together;
mod trust;
mod url;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use super::notify::Teller;
use crate::model::{Image, ProjectId};

pub use artifact::{
    ArtifactColumn, ArtifactFilter, ArtifactLimit, ArtifactQuery, ArtifactQuota, ArtifactSort,
    Compared, Counted, Indexed, NewBlob, Operand, Operator, Replaced,
};
pub use cached::{CachedImage, NodeRow};
pub use error::{Error, Result};
pub use event::{Duty, Waiting};
pub use import::{ImportEnd, ImportStart, Stale};
pub use job::{Back, Job, JobId, JobKind, NewJob};
pub use journal::{Beat, DeadWrite, NewWrite, NodeId};
pub use list::{Column, Comparison, Direction, Filter, ListQuery, Listed, SortKey, TimeColumn};
pub use location::{Claim, Rest, Work};
pub use metadef::{NamespaceQuery, Order, RowId};
pub use purge::Purged;
pub use quota::{
    Bounds, IMAGE_COUNT_TOTAL, IMAGE_COUNT_UPLOADING, IMAGE_SIZE_TOTAL, IMAGE_STAGE_TOTAL, Over,
    Reservation, Stored, Usage,
};
pub use schema::{Check, Version};
pub use scrub::Fate;
pub use staged::Staged;
pub use task::{Ended, TASK_SORT_KEYS, TaskQuery};
pub use url::{UrlError, masked};

use pool::Pool;
use together::Together;

/// How to reach the database. Its `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// `[database] connection`: an SQLAlchemy URL (`sqlite:////path`, `mysql+pymysql://...`,
    /// `postgresql+psycopg2://...`).
    pub url: String,
    /// More connections than this are never open at once (oslo.db: pool size and overflow).
    pub connections_max: u32,
    /// Waiting longer than this for a connection is [`Error::Unavailable`].
    pub acquire_timeout: Duration,
    /// A connection older than this is replaced (`[database] connection_recycle_time`).
    pub lifetime_max: Duration,
    /// How long a writer of SQLite waits for another process's.
    pub busy_timeout: Duration,
    /// A statement that takes longer is given up, with its connection: [`Error::Unavailable`]. Longer than
    /// servers wait for locks (MariaDB: 50 s).
    pub statement_max: Duration,
    /// How often more a process that starts tries a database that does not answer; none is for ever.
    pub start_retries_max: Option<u64>,
    /// How long it waits between these tries.
    pub start_retry_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite:///fresnel-data/fresnel.sqlite".to_owned(),
            connections_max: 16,
            acquire_timeout: Duration::from_secs(30),
            lifetime_max: Duration::from_secs(3600),
            busy_timeout: Duration::from_secs(5),
            statement_max: Duration::from_secs(60),
            start_retries_max: Some(10),
            start_retry_interval: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Whether the URL names a database that we speak to. Nothing is connected.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), UrlError> {
        url::parse(self).map(drop)
    }

    /// The file of a database that lives in this process (SQLite); none of the others.
    pub fn file(&self) -> Option<PathBuf> {
        url::file(self)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &masked(&self.url))
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

/// A handle to the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    pool: Pool,
    turns: Arc<quota::Turns>,
    together: Together,
}

impl Db {
    /// Opens the database. SQLite is created and brought up to date; the others must be
    /// ([`Db::sync`]).
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Unavailable`], [`Error::Schema`].
    pub async fn connect(config: &Config) -> Result<Self> {
        let db = Self::open(config)?;
        if db.pool.is_embedded() {
            db.sync().await?;
        } else {
            db.check().await?.ready()?;
        }
        Ok(db)
    }

    /// Opens the database without a look at its schema: for `db sync`, `db version`, `db check`.
    ///
    /// # Errors
    /// [`Error::Url`]; nothing is connected yet.
    pub fn open(config: &Config) -> Result<Self> {
        let pool = Pool::new(config)?;
        // More statements than that only take turns on the cores.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            pool,
            turns: Arc::default(),
            together: Together::new(cores.min(config.connections_max as usize)),
        })
    }

    /// The same, telling its changes from now on (see [`notify`](super::notify)).
    #[must_use]
    pub fn telling(mut self, teller: Arc<Teller>) -> Self {
        self.pool.set_teller(teller);
        self
    }

    /// How many statements were sent since the start: each is a round trip to the database.
    pub fn statements_sent(&self) -> u64 {
        self.pool.statements()
    }
}

/// Through whose eyes rows are seen (reference C.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Viewer {
    /// The project that asks.
    pub project: Option<ProjectId>,
    /// Sees everything.
    pub is_admin: bool,
}

impl Viewer {
    /// Sees everything.
    pub fn everything() -> Self {
        Self {
            project: None,
            is_admin: true,
        }
    }
}

/// An image, and the membership through which the viewer sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The image, with every location that is not deleted, whatever its status.
    pub image: Image,
    /// The viewer's project, when the image is shared and not its own (Glance's `image.member`).
    pub member: Option<ProjectId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ImageId, Status};

    async fn scratch() -> (tempfile::TempDir, Db) {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            url: format!("sqlite:///{}", folder.path().join("db").display()),
            ..Config::default()
        };
        let db = Db::connect(&config).await.unwrap();
        (folder, db)
    }

    fn queued(name: &str) -> Image {
        Image {
            name: Some(name.to_owned()),
            owner: Some(ProjectId::new("p1")),
            properties: [("os_distro".to_owned(), Some("debian".to_owned()))].into(),
            tags: vec!["b".to_owned(), "a".to_owned()],
            ..Image::queued(ImageId::random(), chrono::Utc::now().naive_utc())
        }
    }

    fn admin() -> Viewer {
        Viewer {
            project: None,
            is_admin: true,
        }
    }

    #[tokio::test]
    async fn what_is_created_is_read_back_and_listed() {
        let (_folder, db) = scratch().await;
        let image = queued("one");
        // A task wants futures that are Send.
        let (task, sent) = (db.clone(), image.clone());
        let created = tokio::spawn(async move { task.image_create(&sent).await });
        created.await.unwrap().unwrap();
        let mut read = db.image(&image.id, &admin()).await.unwrap().image;
        read.created_at = image.created_at;
        read.updated_at = image.updated_at;
        assert_eq!(read, image);
        let listed = db.images(&ListQuery::default(), &admin()).await.unwrap();
        assert_eq!(listed[0].image.id, image.id);
        assert_eq!(listed[0].image.tags, image.tags);
    }

    #[tokio::test]
    async fn a_lost_move_changes_nothing() {
        let (_folder, db) = scratch().await;
        let image = queued("one");
        db.image_create(&image).await.unwrap();
        let mut saving = image.clone();
        saving.status = Status::Saving;
        db.image_save(&image, &saving).await.unwrap();
        let mut late = image.clone();
        late.name = Some("late".to_owned());
        late.tags.push("late".to_owned());
        let lost = db.image_save(&image, &late).await;
        assert!(matches!(lost, Err(Error::Conflict)), "{lost:?}");
        let lost = db.image_delete(&image).await;
        assert!(matches!(lost, Err(Error::Conflict)), "{lost:?}");
        db.image_delete(&saving).await.unwrap();
        let gone = db.image(&image.id, &admin()).await;
        assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
        let twice = db.image_create(&image).await;
        assert!(matches!(twice, Err(Error::Duplicate(_))), "{twice:?}");
    }
}
