//! Scratch databases on the three engines.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
};

use fresnel::control::db::{Config, Db};
use sqlx::{
    AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection, Row, SqliteConnection,
};

/// Whose database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
    MariaDb,
}

/// A database of its own for one claim.
pub(super) struct Scratch {
    pub(super) engine: Engine,
    /// As in `[database] connection`.
    pub(super) url: String,
    name: String,
    folder: tempfile::TempDir,
}

/// Runs the claim on an empty database, and drops that whatever comes of the claim.
pub(super) async fn given<F: Future<Output = ()> + Send + 'static>(
    engine: Engine,
    claim: impl FnOnce(Arc<Scratch>) -> F,
) {
    let scratch = Arc::new(Scratch::new(engine).await);
    let outcome = tokio::spawn(claim(Arc::clone(&scratch))).await;
    scratch.drop_database().await;
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// The same, on a database that has its schema.
pub(super) async fn synced<F: Future<Output = ()> + Send + 'static>(
    engine: Engine,
    claim: fn(Db) -> F,
) {
    let synced = |scratch: Arc<Scratch>| async move { claim(scratch.synced().await).await };
    given(engine, synced).await;
}

impl Scratch {
    /// An empty database.
    pub(super) async fn new(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("fresnel_{}", uuid::Uuid::new_v4().simple());
        let url = match engine {
            Engine::Sqlite => format!("sqlite:///{}/{name}", folder.path().display()),
            Engine::Postgres => format!("{}/{name}", server(engine)),
            Engine::MariaDb => format!("{}/{name}?charset=utf8", server(engine)),
        };
        let scratch = Self {
            engine,
            url,
            name,
            folder,
        };
        match engine {
            Engine::Sqlite => {}
            Engine::Postgres | Engine::MariaDb => {
                scratch
                    .admin(format!("CREATE DATABASE {}", scratch.name))
                    .await;
            }
        }
        scratch
    }

    /// A handle without a look at the schema.
    pub(super) fn open(&self) -> Db {
        Db::open(&self.config()).unwrap()
    }

    /// A handle to a database that has its schema.
    pub(super) async fn synced(&self) -> Db {
        self.open().sync().await.unwrap();
        Db::connect(&self.config()).await.unwrap()
    }

    pub(super) fn config(&self) -> Config {
        Config {
            url: self.url.clone(),
            ..Config::default()
        }
    }

    /// A configuration of Glance's with this database.
    pub(super) fn glance_conf(&self) -> PathBuf {
        let path = self.folder.path().join("glance-api.conf");
        // oslo.config substitutes `$`.
        let url = self.url.replace('$', "$$");
        std::fs::write(&path, format!("[database]\nconnection = {url}\n")).unwrap();
        path
    }

    pub(super) async fn drop_database(&self) {
        match self.engine {
            Engine::Sqlite => {}
            // Without FORCE: that may not end an autovacuum, which a plain DROP asks to go. Our own
            // connections are closed, and the server waits for the last of them.
            Engine::Postgres | Engine::MariaDb => {
                self.admin(format!("DROP DATABASE {}", self.name)).await;
            }
        }
    }

    /// The first column of each row, as text.
    pub(super) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql);
        match self.engine {
            Engine::Sqlite => {
                let url = self.url.replacen("sqlite:///", "sqlite:", 1);
                let mut conn = SqliteConnection::connect(&url).await.unwrap();
                let rows = conn.fetch_all(sqlx::raw_sql(sql)).await.unwrap();
                rows.iter().map(|row| row.get_unchecked(0)).collect()
            }
            Engine::Postgres => {
                let mut conn = PgConnection::connect(&plain(&self.url)).await.unwrap();
                let rows = conn.fetch_all(sqlx::raw_sql(sql)).await.unwrap();
                rows.iter().map(|row| row.get_unchecked(0)).collect()
            }
            Engine::MariaDb => {
                let mut conn = MySqlConnection::connect(&plain(&self.url)).await.unwrap();
                let rows = conn.fetch_all(sqlx::raw_sql(sql)).await.unwrap();
                let column = |row: &sqlx::mysql::MySqlRow| row.len() - 1;
                rows.iter()
                    .map(|row| row.get_unchecked(column(row)))
                    .collect()
            }
        }
    }

    async fn admin(&self, sql: String) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        let server = plain(server(self.engine));
        match self.engine {
            Engine::Sqlite => {}
            Engine::Postgres => {
                let url = format!("{server}/postgres");
                let mut conn = PgConnection::connect(&url).await.unwrap();
                conn.execute(sql).await.unwrap();
            }
            Engine::MariaDb => {
                let mut conn = MySqlConnection::connect(&server).await.unwrap();
                conn.execute(sql).await.unwrap();
            }
        }
    }
}

/// The URL without SQLAlchemy's driver and options.
fn plain(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let dialect = scheme.split('+').next().unwrap();
    format!("{dialect}://{}", rest.split('?').next().unwrap())
}

/// The server's URL, once it is up.
fn server(engine: Engine) -> &'static str {
    static POSTGRES: OnceLock<String> = OnceLock::new();
    static MARIADB: OnceLock<String> = OnceLock::new();
    match engine {
        Engine::Sqlite => "",
        Engine::Postgres => POSTGRES.get_or_init(|| lab("postgres-up", &[])),
        Engine::MariaDb => MARIADB.get_or_init(|| lab("mariadb-up", &[])),
    }
}

/// The last line that a script of the lab prints.
pub(super) fn lab(script: &str, arguments: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/lab")
        .join(script);
    let output = Command::new(path).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.lines().last().unwrap_or_default().to_owned()
}
