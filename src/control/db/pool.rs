//! A bounded set of connections.
//!
//! Not sqlx's pool, which asks the server for a sign of life after each use: a statement here is
//! one round trip. A connection whose use was cut short (a dropped future, a failed transport) is
//! closed and never used again.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{error::Elapsed, timeout},
};

use super::{
    Config,
    conn::{Conn, Row, Target},
    dialect::Dialect,
    error::{Error, Failure, Result},
    sql::Sql,
    url,
};
use crate::control::notify::Teller;

/// How often a transaction that met another one is tried.
const TRIES_MAX: u32 = 10;

/// A connection that rested longer is asked for a sign of life before it is used: servers and
/// firewalls close what is idle.
const REST_MAX: Duration = Duration::from_secs(5);

/// How long it is waited for that sign. Where a firewall has dropped what was idle, none ever comes.
const ALIVE_WAIT: Duration = Duration::from_secs(3);

/// The connections to one database; cheap to clone.
#[derive(Clone)]
pub(super) struct Pool {
    reads: Arc<Lane>,
    /// SQLite has one writer; the others' writes go where their reads go.
    writes: Arc<Lane>,
    /// A connection for what may not wait behind all others: the heartbeat.
    urgent: Arc<Lane>,
    /// Makes what is to be told of changes, where anything is.
    teller: Option<Arc<Teller>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.dialect()).finish()
    }
}

impl Pool {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let target = url::parse(config)?;
        let reads = Arc::new(Lane::new(target.clone(), config.connections_max, config));
        let one = Arc::new(Lane::new(target.clone(), 1, config));
        let (writes, urgent) = match target {
            Target::Sqlite(_) => (Arc::clone(&one), one),
            Target::Postgres(_) | Target::MySql(_) => (Arc::clone(&reads), one),
        };
        Ok(Self {
            reads,
            writes,
            urgent,
            teller: None,
        })
    }

    /// From now on changes are told.
    pub(super) fn set_teller(&mut self, teller: Arc<Teller>) {
        self.teller = Some(teller);
    }

    /// Who makes what is to be told.
    pub(super) fn teller(&self) -> Option<&Arc<Teller>> {
        self.teller.as_ref()
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.reads.target.dialect()
    }

    /// How many statements were sent since the start, a round trip each.
    pub(super) fn statements(&self) -> u64 {
        // Of the three lanes two are the same: the urgent one is another than that of the reads.
        let lanes = [&self.reads, &self.urgent];
        let sent = lanes.map(|lane| lane.statements.load(Ordering::Relaxed));
        sent.into_iter().sum()
    }

    /// Whether the database lives in this process.
    pub(super) fn is_embedded(&self) -> bool {
        self.dialect() == Dialect::Sqlite
    }

    /// The rows of a statement that only reads. One round trip; again on a fresh connection if
    /// the one at hand had died.
    pub(super) async fn fetch(&self, sql: &Sql) -> Result<Vec<Row>> {
        let mut tries = 0;
        loop {
            let mut lease = self.reads.lease().await?;
            match lease.fetch(sql).await {
                Ok(rows) => {
                    lease.give_back();
                    return Ok(rows);
                }
                Err(error) => {
                    tries += 1;
                    if !self.may_retry(&error, tries, true) {
                        return Err(lease.failed(error));
                    }
                }
            }
        }
    }

    /// Runs one statement on its own; returns how many rows it matched.
    pub(super) async fn execute(&self, sql: &Sql) -> Result<u64> {
        self.execute_on(&self.writes, sql).await
    }

    /// The same at once, however busy the pool is.
    pub(super) async fn execute_urgently(&self, sql: &Sql) -> Result<u64> {
        self.execute_on(&self.urgent, sql).await
    }

    async fn execute_on(&self, lane: &Arc<Lane>, sql: &Sql) -> Result<u64> {
        let mut tries = 0;
        loop {
            let mut lease = lane.lease().await?;
            match lease.execute(sql).await {
                Ok(rows) => {
                    lease.give_back();
                    return Ok(rows);
                }
                Err(error) => {
                    tries += 1;
                    let again = self.may_retry(&error, tries, false);
                    let error = lease.failed(error);
                    if !again {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// A transaction, from a connection that is alive.
    pub(super) async fn begin(&self) -> Result<Transaction> {
        let text = match self.dialect() {
            // A reader that turns writer cannot wait: SQLite answers BUSY at once.
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres | Dialect::MySql => "BEGIN",
        };
        let mut tries = 0;
        loop {
            let mut lease = self.writes.lease().await?;
            match lease.script(text).await {
                Ok(()) => {
                    return Ok(Transaction {
                        lease,
                        teller: self.teller.clone(),
                        has_told: false,
                    });
                }
                Err(error) => {
                    tries += 1;
                    let again = self.may_retry(&error, tries, true);
                    let error = lease.failed(error);
                    if !again {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Whether the statement may run again. `idempotent`: even if the server may have run it.
    fn may_retry(&self, error: &sqlx::Error, tries: u32, idempotent: bool) -> bool {
        match Failure::of(error) {
            Failure::Contended => tries < TRIES_MAX,
            Failure::Broken if idempotent && tries < 2 => {
                // Whatever killed this connection has most likely killed those that rest, too.
                self.reads.idle.lock().clear();
                self.writes.idle.lock().clear();
                self.urgent.idle.lock().clear();
                true
            }
            Failure::Broken
            | Failure::Duplicate
            | Failure::Null
            | Failure::Refused
            | Failure::Other => false,
        }
    }
}

/// 2 ms, 4 ms, ... with a spread, so that two who met do not meet again.
fn pause(tries: u32) -> Duration {
    let spread = uuid::Uuid::new_v4().as_bytes()[0];
    Duration::from_micros((1000 << tries.min(7)) * (128 + u64::from(spread)) / 256)
}

/// A transaction that is open. Dropped, it closes its connection, and the server rolls back.
pub(super) struct Transaction {
    lease: Lease,
    teller: Option<Arc<Teller>>,
    has_told: bool,
}

impl Transaction {
    pub(super) fn dialect(&self) -> Dialect {
        self.lease.lane.target.dialect()
    }

    /// Who makes what is to be told.
    pub(super) fn teller(&self) -> Option<&Teller> {
        self.teller.as_deref()
    }

    /// Something was told: whoever sends it is woken by the commit.
    pub(super) fn has_told(&mut self) {
        self.has_told = true;
    }

    pub(super) async fn fetch(&mut self, sql: &Sql) -> Result<Vec<Row>> {
        Ok(self.lease.fetch(sql).await?)
    }

    pub(super) async fn execute(&mut self, sql: &Sql) -> Result<u64> {
        Ok(self.lease.execute(sql).await?)
    }

    /// Runs a schema file, which may take as long as its tables are large.
    pub(super) async fn script(&mut self, text: &'static str) -> Result<()> {
        Ok(self.lease.conn()?.script(text).await?)
    }

    /// Commits what worked, rolls back what did not. None: it met another transaction, and is to
    /// be tried again from its start.
    pub(super) async fn end<T>(mut self, worked: Result<T>, tries: &mut u32) -> Option<Result<T>> {
        let ended = match worked {
            Ok(value) => match self.lease.script("COMMIT").await {
                Ok(()) => {
                    self.lease.give_back();
                    if let Some(teller) = self.teller.filter(|_| self.has_told) {
                        teller.wake();
                    }
                    Ok(value)
                }
                Err(error) => Err(error.into()),
            },
            Err(error) => {
                if self.lease.script("ROLLBACK").await.is_ok() {
                    self.lease.give_back();
                }
                Err(error)
            }
        };
        *tries += 1;
        if matches!(ended, Err(Error::Busy)) && *tries < TRIES_MAX {
            tracing::debug!(tries = *tries, "A transaction met another one");
            tokio::time::sleep(pause(*tries)).await;
            return None;
        }
        Some(ended)
    }
}

/// Runs the block in a transaction, `?` and all: the whole of it, or nothing when it fails. It runs
/// again, from its start, when another transaction was in its way. A macro, because a future that
/// an `AsyncFn` returns cannot be shown to be `Send` where the closure borrows.
macro_rules! transact {
    ($pool:expr, |$transaction:ident| $work:block) => {{
        let mut tries = 0;
        loop {
            let mut open = $pool.begin().await?;
            let $transaction = &mut open;
            let worked = async { $work }.await;
            if let Some(ended) = open.end(worked, &mut tries).await {
                break ended;
            }
        }
    }};
}
pub(super) use transact;

/// Connections of one kind of use.
struct Lane {
    target: Target,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    acquire_timeout: Duration,
    lifetime_max: Duration,
    statement_max: Duration,
    statements: AtomicU64,
}

struct Idle {
    conn: Conn,
    opened: Instant,
    since: Instant,
}

impl Lane {
    fn new(target: Target, connections_max: u32, config: &Config) -> Self {
        Self {
            target,
            permits: Arc::new(Semaphore::new(connections_max.max(1) as usize)),
            idle: Mutex::new(Vec::new()),
            acquire_timeout: config.acquire_timeout,
            lifetime_max: config.lifetime_max,
            statement_max: config.statement_max,
            statements: AtomicU64::new(0),
        }
    }

    /// A connection to use: the last one given back, so that what is not needed ages and goes.
    async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let deadline = tokio::time::Instant::now() + self.acquire_timeout;
        let permits = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::time::timeout_at(deadline, permits)
            .await
            .map_err(|_| Error::Unavailable)?
            .map_err(|_| Error::Unavailable)?;
        let opening = tokio::time::timeout_at(deadline, self.open());
        let (conn, opened) = opening.await.map_err(|_| Error::Unavailable)??;
        Ok(Lease {
            conn: Some(conn),
            opened,
            lane: Arc::clone(self),
            _permit: permit,
        })
    }

    async fn open(&self) -> Result<(Conn, Instant)> {
        while let Some(mut idle) = self.rested() {
            if idle.since.elapsed() < REST_MAX {
                return Ok((idle.conn, idle.opened));
            }
            let is_alive = timeout(ALIVE_WAIT, idle.conn.is_alive()).await;
            if is_alive.unwrap_or(false) {
                return Ok((idle.conn, idle.opened));
            }
            // What killed this one has most likely killed the others.
            self.idle.lock().clear();
        }
        Ok((self.target.connect().await?, Instant::now()))
    }

    fn rested(&self) -> Option<Idle> {
        let mut idle = self.idle.lock();
        idle.retain(|one| one.opened.elapsed() < self.lifetime_max);
        idle.pop()
    }
}

/// The use of one connection. Dropped without [`Lease::give_back`], the connection is closed.
struct Lease {
    conn: Option<Conn>,
    opened: Instant,
    lane: Arc<Lane>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// The connection, for one statement. One that has lost it, by [`Lease::in_time`], has none.
    fn conn(&mut self) -> Result<&mut Conn, sqlx::Error> {
        self.lane.statements.fetch_add(1, Ordering::Relaxed);
        let closed = || sqlx::Error::Io(io::ErrorKind::NotConnected.into());
        self.conn.as_mut().ok_or_else(closed)
    }

    async fn fetch(&mut self, sql: &Sql) -> Result<Vec<Row>, sqlx::Error> {
        let limit = self.lane.statement_max;
        let ended = timeout(limit, self.conn()?.fetch(sql)).await;
        self.in_time(ended)
    }

    async fn execute(&mut self, sql: &Sql) -> Result<u64, sqlx::Error> {
        let limit = self.lane.statement_max;
        let ended = timeout(limit, self.conn()?.execute(sql)).await;
        self.in_time(ended)
    }

    async fn script(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        let limit = self.lane.statement_max;
        let ended = timeout(limit, self.conn()?.script(text)).await;
        self.in_time(ended)
    }

    /// The connection of a statement that takes too long is closed: what may still come there, nobody
    /// waits for.
    fn in_time<T>(
        &mut self,
        ended: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Result<T, sqlx::Error> {
        ended.unwrap_or_else(|_| {
            self.conn = None;
            Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))
        })
    }

    /// A statement failed: its connection is kept if only the statement was at fault.
    fn failed(self, error: sqlx::Error) -> Error {
        if Failure::of(&error) != Failure::Broken {
            self.give_back();
        }
        error.into()
    }

    fn give_back(mut self) {
        if let Some(conn) = self.conn.take() {
            self.lane.idle.lock().push(Idle {
                conn,
                opened: self.opened,
                since: Instant::now(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &tempfile::TempDir) -> Config {
        Config {
            url: format!("sqlite:///{}", folder.path().join("db").display()),
            statement_max: Duration::from_millis(200),
            busy_timeout: Duration::from_secs(600),
            ..Config::default()
        }
    }

    /// Somebody else has SQLite's only writer for longer than a statement may take.
    #[tokio::test]
    async fn a_statement_that_takes_too_long_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let [pool, other] = [(); 2].map(|()| Pool::new(&config(&folder)).unwrap());
        let create = Sql::new("CREATE TABLE one (id INTEGER)");
        pool.execute(&create).await.unwrap();
        let insert = Sql::new("INSERT INTO one VALUES (1)");
        let held = other.begin().await.unwrap();
        for _ in 0..2 {
            let late = pool.execute(&insert).await;
            assert!(matches!(late, Err(Error::Unavailable)), "{late:?}");
        }
        assert!(matches!(pool.begin().await, Err(Error::Unavailable)));
        held.end(Ok(()), &mut 0).await.unwrap().unwrap();
        let again = async { while pool.execute(&insert).await.is_err() {} };
        timeout(Duration::from_secs(60), again).await.unwrap();
    }

    /// What a transaction asks after such a statement, its end too, is refused.
    #[tokio::test]
    async fn a_transaction_ends_with_its_connection() {
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::new(&config(&folder)).unwrap();
        let mut open = pool.begin().await.unwrap();
        let slow = Sql::new(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000000) \
             SELECT count(*) FROM n",
        );
        for sql in [slow, Sql::new("SELECT 1")] {
            let late = open.fetch(&sql).await.map(drop);
            assert!(matches!(late, Err(Error::Unavailable)), "{late:?}");
        }
        let ended = open.end(Ok(()), &mut 0).await.unwrap();
        assert!(matches!(ended, Err(Error::Unavailable)), "{ended:?}");
    }
}
