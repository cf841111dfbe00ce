//! The schema: Glance's at its head, created where there is none and else left as it is, and ours
//! beside it.

use std::fmt;

use super::{
    Db,
    dialect::Dialect,
    error::{Error, Result},
    pool::{Transaction, transact},
    rows::cell,
    sql::Sql,
};

/// The migration heads that we serve: `glance-manage db sync` of Glance 2024.1 (28.0.0) to 33.0.0.
const HEADS_SERVED: [&str; 1] = ["2024_1_contract01"];

/// What makes the `fresnel_*` tables version 1, then 2, ...
const FRESNEL: [Step; 9] = [
    Step::One(include_str!("schema/fresnel.1.sql")),
    Step::One(include_str!("schema/fresnel.2.sql")),
    Step::One(include_str!("schema/fresnel.3.sql")),
    Step::One(include_str!("schema/fresnel.4.sql")),
    Step::One(include_str!("schema/fresnel.5.sql")),
    Step::Each {
        sqlite: include_str!("schema/fresnel.6.sqlite.sql"),
        postgres: include_str!("schema/fresnel.6.postgres.sql"),
        mysql: include_str!("schema/fresnel.6.mysql.sql"),
    },
    Step::One(include_str!("schema/fresnel.7.sql")),
    Step::One(include_str!("schema/fresnel.8.sql")),
    Step::Each {
        sqlite: include_str!("schema/fresnel.9.sqlite.sql"),
        postgres: include_str!("schema/fresnel.9.postgres.sql"),
        mysql: include_str!("schema/fresnel.9.mysql.sql"),
    },
];

/// The statements of a version.
enum Step {
    /// The same for all dialects.
    One(&'static str),
    /// Of each dialect its own: a number that counts itself up is spelled in three ways.
    Each {
        sqlite: &'static str,
        postgres: &'static str,
        mysql: &'static str,
    },
}

impl Step {
    fn text(&self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::One(text), _) => text,
            (Self::Each { sqlite, .. }, Dialect::Sqlite) => sqlite,
            (Self::Each { postgres, .. }, Dialect::Postgres) => postgres,
            (Self::Each { mysql, .. }, Dialect::MySql) => mysql,
        }
    }
}

/// Which schema a database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Glance's migration heads (`alembic_version`); empty in an empty database.
    pub heads: Vec<String>,
    /// The version of the `fresnel_*` tables; none if there are none.
    pub fresnel: Option<i64>,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.heads.as_slice() {
            [] => f.write_str("glance: none")?,
            heads => write!(f, "glance: {}", heads.join(", "))?,
        }
        match self.fresnel {
            Some(version) => write!(f, "; fresnel: {version}"),
            None => f.write_str("; fresnel: none"),
        }
    }
}

/// Whether a database can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It can.
    Ready,
    /// There is nothing in it: `fresnel db sync` creates all.
    Empty,
    /// Glance's tables are right, ours are missing or older: `fresnel db sync` upgrades them.
    Behind,
    /// Ours were made by a newer program.
    Newer(i64),
    /// Glance's tables are older than we serve, or unknown: `glance-manage db sync` is Glance's.
    Unserved(Vec<String>),
}

impl Check {
    /// An error unless the database can be served; its text says what to do.
    ///
    /// # Errors
    /// [`Error::Schema`].
    pub fn ready(&self) -> Result<()> {
        match self {
            Self::Ready => Ok(()),
            other => Err(Error::Schema(other.to_string())),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("the database is up to date"),
            Self::Empty => f.write_str("the database is empty: run `fresnel db sync`"),
            Self::Behind => {
                f.write_str("the fresnel_* tables are not up to date: run `fresnel db sync`")
            }
            Self::Newer(version) => write!(
                f,
                "the fresnel_* tables are of version {version}, made by a newer fresnel; this one \
                 serves version {}",
                FRESNEL.len()
            ),
            Self::Unserved(heads) => write!(
                f,
                "the database is at {}, where {} is served: upgrade it with `glance-manage db sync`",
                if heads.is_empty() {
                    "no migration head".to_owned()
                } else {
                    heads.join(", ")
                },
                HEADS_SERVED.join(" or ")
            ),
        }
    }
}

impl Db {
    /// Which schema the database has.
    ///
    /// # Errors
    /// Only those of the database.
    pub async fn version(&self) -> Result<Version> {
        transact!(self.pool, |t| { Ok(look(t).await?.version) })
    }

    /// Whether the database can be served.
    ///
    /// # Errors
    /// Only those of the database; a schema that cannot be served is a [`Check`].
    pub async fn check(&self) -> Result<Check> {
        transact!(self.pool, |t| { Ok(look(t).await?.check()) })
    }

    /// Creates all in an empty database; upgrades only `fresnel_*` in one that Glance made.
    /// Several at once do no harm. Returns what the database was before.
    ///
    /// # Errors
    /// [`Error::Schema`] when Glance's tables are not of a version that we serve.
    pub async fn sync(&self) -> Result<Check> {
        transact!(self.pool, |t| {
            lock(t).await?;
            let synced = sync(t).await;
            unlock(t).await?;
            synced
        })
    }
}

async fn sync(t: &mut Transaction) -> Result<Check> {
    let looks = look(t).await?;
    let check = looks.check();
    match &check {
        Check::Ready => return Ok(check),
        Check::Empty => {
            t.script(match t.dialect() {
                Dialect::Sqlite => include_str!("schema/glance.sqlite.sql"),
                Dialect::Postgres => include_str!("schema/glance.postgres.sql"),
                Dialect::MySql => include_str!("schema/glance.mysql.sql"),
            })
            .await?;
        }
        Check::Behind => {}
        Check::Newer(_) | Check::Unserved(_) => check.ready()?,
    }
    let done = usize::try_from(looks.version.fresnel.unwrap_or(0)).unwrap_or(0);
    for step in FRESNEL.iter().skip(done) {
        t.script(step.text(t.dialect())).await?;
    }
    Ok(check)
}

/// What is found in a database.
struct Looks {
    version: Version,
    /// Glance's `images` is there.
    has_images: bool,
}

impl Looks {
    fn check(&self) -> Check {
        let heads = &self.version.heads;
        if heads.is_empty() && !self.has_images {
            return Check::Empty;
        }
        if !heads
            .iter()
            .any(|head| HEADS_SERVED.contains(&head.as_str()))
        {
            return Check::Unserved(heads.clone());
        }
        let newest = FRESNEL.len() as i64;
        match self.version.fresnel {
            Some(version) if version == newest => Check::Ready,
            Some(version) if version > newest => Check::Newer(version),
            Some(_) | None => Check::Behind,
        }
    }
}

async fn look(t: &mut Transaction) -> Result<Looks> {
    let has_heads = has_table(t, "alembic_version").await?;
    let has_fresnel = has_table(t, "fresnel_version").await?;
    let has_images = has_table(t, "images").await?;
    let mut version = Version {
        heads: Vec::new(),
        fresnel: None,
    };
    if has_heads {
        let sql = Sql::new("SELECT version_num FROM alembic_version ORDER BY version_num");
        for row in t.fetch(&sql).await? {
            version
                .heads
                .push(cell(row.text(0), "alembic_version", "version_num")?);
        }
    }
    if has_fresnel {
        let sql = Sql::new("SELECT max(version) FROM fresnel_version");
        version.fresnel = t
            .fetch(&sql)
            .await?
            .first()
            .map_or(Ok(None), |row| row.int(0))?;
    }
    Ok(Looks {
        version,
        has_images,
    })
}

async fn has_table(t: &mut Transaction, name: &str) -> Result<bool> {
    let mut sql = Sql::new(match t.dialect() {
        Dialect::Sqlite => "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?",
        Dialect::Postgres => {
            "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() \
             AND tablename = ?"
        }
        Dialect::MySql => {
            "SELECT 1 FROM information_schema.tables WHERE table_schema = database() \
             AND table_name = ?"
        }
    });
    Ok(!t.fetch(sql.bind(name)).await?.is_empty())
}

/// One `sync` at a time. MySQL commits at each change of the schema, so the lock is the session's.
async fn lock(t: &mut Transaction) -> Result<()> {
    match t.dialect() {
        Dialect::Sqlite => {}
        Dialect::Postgres => {
            t.script("SELECT pg_advisory_xact_lock(7310579628462105940)")
                .await?;
        }
        Dialect::MySql => {
            // 0 after the seconds have gone by, nothing where the server could not wait.
            let sql = Sql::new("SELECT get_lock(concat(database(), '.fresnel_sync'), 600)");
            let rows = t.fetch(&sql).await?;
            if rows.first().map_or(Ok(None), |row| row.int(0))? != Some(1) {
                let text = "another `fresnel db sync` is at work on this database for ten minutes";
                return Err(Error::Schema(text.to_owned()));
            }
        }
    }
    Ok(())
}

async fn unlock(t: &mut Transaction) -> Result<()> {
    match t.dialect() {
        // PostgreSQL's lock ends with the transaction.
        Dialect::Sqlite | Dialect::Postgres => Ok(()),
        Dialect::MySql => {
            t.script("DO release_lock(concat(database(), '.fresnel_sync'))")
                .await
        }
    }
}
