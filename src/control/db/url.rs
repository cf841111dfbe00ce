//! SQLAlchemy's database URLs: `dialect+driver://user:password@host:port/database?option=value`.

use std::{borrow::Cow, path::PathBuf};

use percent_encoding::percent_decode_str;
use sqlx::{
    mysql::{MySqlConnectOptions, MySqlSslMode},
    postgres::{PgConnectOptions, PgSslMode},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{Config, conn::Target};

/// Why a connection string cannot be used. Never shows the string: it holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It has no `scheme://`.
    #[error("the database connection is no URL: expected dialect://...")]
    Malformed,
    /// A database that we do not speak.
    #[error("unsupported database {0:?}: expected sqlite, mysql, mariadb or postgresql")]
    Dialect(String),
    /// A port that is no number.
    #[error("the database connection has a wrong port")]
    Port,
    /// The network databases need a name after the host.
    #[error("the database connection names no database")]
    NoDatabase,
    /// SQLite in memory would be another database for each connection.
    #[error("SQLite in memory is not supported: name a file")]
    InMemory,
    /// A value that the option does not have.
    #[error("the database connection has a wrong value for {0:?}")]
    Option(String),
}

/// Statements that each connection keeps prepared.
const STATEMENTS_MAX: usize = 256;

/// The URL as it may be shown: without its password, which the last `@` ends (SQLAlchemy's rule),
/// and without its options, which may hold another.
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "(no URL)".to_owned();
    };
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) if scheme != "sqlite" => match login.split_once(':') {
            Some((user, _)) => (format!("{user}:***@"), place),
            None => (format!("{login}@"), place),
        },
        _ => (String::new(), rest),
    };
    let place = match place.split_once('?') {
        Some((place, _)) => format!("{place}?***"),
        None => place.to_owned(),
    };
    format!("{scheme}://{login}{place}")
}

/// The file of an embedded database; none of the others, and where the URL cannot be used.
pub(super) fn file(config: &Config) -> Option<PathBuf> {
    match parse(config).ok()? {
        Target::Sqlite(options) => Some(options.get_filename().into()),
        Target::Postgres(_) | Target::MySql(_) => None,
    }
}

/// How to connect to what the configuration names.
pub(super) fn parse(config: &Config) -> Result<Target, UrlError> {
    let (scheme, rest) = config.url.split_once("://").ok_or(UrlError::Malformed)?;
    let dialect = scheme.split('+').next().unwrap_or_default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let options = options(query);
    match dialect {
        "sqlite" => sqlite(rest, config),
        "mysql" | "mariadb" => mysql(&Place::parse(rest)?, &options),
        "postgresql" | "postgres" => postgres(&Place::parse(rest)?, &options),
        other => Err(UrlError::Dialect(other.to_owned())),
    }
}

/// What stands between `://` and `?`, decoded.
struct Place<'a> {
    user: Option<Cow<'a, str>>,
    password: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
    port: Option<u16>,
    database: Cow<'a, str>,
}

impl<'a> Place<'a> {
    fn parse(text: &'a str) -> Result<Self, UrlError> {
        // SQLAlchemy's own rule: the last `@` ends the password, which may hold an `@` itself.
        let (login, place) = match text.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, text),
        };
        let (address, database) = place.split_once('/').unwrap_or((place, ""));
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (address, None),
        };
        let (user, password) = match login.map(|l| l.split_once(':').unwrap_or((l, ""))) {
            Some((user, "")) => (Some(user), None),
            Some((user, password)) => (Some(user), Some(password)),
            None => (None, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if database.is_empty() {
            return Err(UrlError::NoDatabase);
        }
        Ok(Self {
            user: user.map(decoded),
            password: password.map(decoded),
            host: (!host.is_empty()).then(|| decoded(host)),
            port: match port {
                Some("") | None => None,
                Some(port) => Some(port.parse().map_err(|_| UrlError::Port)?),
            },
            database: decoded(database),
        })
    }
}

fn sqlite(path: &str, config: &Config) -> Result<Target, UrlError> {
    // `sqlite:///relative`, `sqlite:////absolute`; `sqlite://` is SQLAlchemy's memory.
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() || path == ":memory:" {
        return Err(UrlError::InMemory);
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(config.busy_timeout)
        .statement_cache_capacity(STATEMENTS_MAX);
    Ok(Target::Sqlite(options))
}

fn mysql(place: &Place<'_>, query: &[(String, String)]) -> Result<Target, UrlError> {
    let mut options = MySqlConnectOptions::new()
        .host(place.host.as_deref().unwrap_or("localhost"))
        .port(place.port.unwrap_or(3306))
        .database(&place.database)
        .statement_cache_capacity(STATEMENTS_MAX);
    if let Some(user) = &place.user {
        options = options.username(user);
    }
    if let Some(password) = &place.password {
        options = options.password(password);
    }
    for (name, value) in query {
        options = match name.as_str() {
            // The letters that the tables hold; what they cannot is refused when written.
            "charset" => options.charset(if value == "utf8" { "utf8mb3" } else { value }),
            "unix_socket" => options.socket(value),
            "ssl_ca" => options.ssl_ca(value).ssl_mode(MySqlSslMode::VerifyCa),
            "ssl_cert" => options.ssl_client_cert(value),
            "ssl_key" => options.ssl_client_key(value),
            "ssl_verify_identity" if is_true(value) => {
                options.ssl_mode(MySqlSslMode::VerifyIdentity)
            }
            _ => ignored(options, name),
        };
    }
    Ok(Target::MySql(options))
}

fn postgres(place: &Place<'_>, query: &[(String, String)]) -> Result<Target, UrlError> {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(place.host.as_deref().unwrap_or("localhost"))
        .port(place.port.unwrap_or(5432))
        .database(&place.database)
        .statement_cache_capacity(STATEMENTS_MAX)
        .application_name("fresnel");
    if let Some(user) = &place.user {
        options = options.username(user);
    }
    if let Some(password) = &place.password {
        options = options.password(password);
    }
    for (name, value) in query {
        options = match name.as_str() {
            "host" if value.starts_with('/') => options.socket(value),
            "host" => options.host(value),
            "port" => options.port(value.parse().map_err(|_| UrlError::Port)?),
            "sslmode" => {
                let mode: PgSslMode = value.parse().map_err(|_| UrlError::Option(name.clone()))?;
                options.ssl_mode(mode)
            }
            "sslrootcert" => options.ssl_root_cert(value),
            "sslcert" => options.ssl_client_cert(value),
            "sslkey" => options.ssl_client_key(value),
            _ => ignored(options, name),
        };
    }
    Ok(Target::Postgres(options))
}

/// An option of Python's driver that has no meaning here is said once and passed over.
fn ignored<T>(options: T, name: &str) -> T {
    tracing::warn!(
        option = name,
        "An option of the database connection is ignored"
    );
    options
}

fn is_true(value: &str) -> bool {
    ["true", "1", "yes", "on"].contains(&value.to_ascii_lowercase().as_str())
}

fn options(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name).into_owned(), decoded(value).into_owned())
        })
        .collect()
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_show() {
        for (url, shown) in [
            (
                "mysql+pymysql://glance:a@b:c/d?pass@db/glance?x=1",
                "mysql+pymysql://glance:***@db/glance?***",
            ),
            ("mysql://glance@db/glance", "mysql://glance@db/glance"),
            ("sqlite:////var/a@b:c", "sqlite:////var/a@b:c"),
            (
                "postgresql://db/glance?password=x&ssl=1",
                "postgresql://db/glance?***",
            ),
            ("secret", "(no URL)"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }

    fn target(url: &str) -> Result<Target, UrlError> {
        parse(&Config {
            url: url.to_owned(),
            ..Config::default()
        })
    }

    #[test]
    fn mysql_urls_are_sqlalchemys() {
        let url = "mysql+pymysql://glance:p%40ss%2Fw@db.example:3307/glance?charset=utf8";
        let Ok(Target::MySql(options)) = target(url) else {
            panic!("not MySQL");
        };
        assert_eq!(options.get_host(), "db.example");
        assert_eq!(options.get_port(), 3307);
        assert_eq!(options.get_username(), "glance");
        assert_eq!(options.get_database(), Some("glance"));
        assert_eq!(options.get_charset(), "utf8mb3");
        let place = Place::parse("glance:p%40ss%2Fw@db.example/glance").unwrap();
        assert_eq!(place.password.as_deref(), Some("p@ss/w"));
        let place = Place::parse("glance:p@ss@[::1]:3307/glance").unwrap();
        assert_eq!(place.password.as_deref(), Some("p@ss"));
        assert_eq!(place.host.as_deref(), Some("::1"));
    }

    #[test]
    fn sockets_are_options() {
        let Ok(Target::MySql(options)) = target("mysql://g:g@/glance?unix_socket=/run/my.sock")
        else {
            panic!("not MySQL");
        };
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/my.sock"));
        let Ok(Target::Postgres(options)) = target("postgresql://g:g@/glance?host=/run/pg") else {
            panic!("not PostgreSQL");
        };
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/pg"));
    }

    #[test]
    fn sqlite_paths_have_three_or_four_slashes() {
        for (url, path) in [
            ("sqlite:////var/x.db", "/var/x.db"),
            ("sqlite:///x.db", "x.db"),
        ] {
            let Ok(Target::Sqlite(options)) = target(url) else {
                panic!("not SQLite");
            };
            assert_eq!(options.get_filename().to_str(), Some(path));
        }
        assert_eq!(target("sqlite://").err(), Some(UrlError::InMemory));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_the_password() {
        let wrong = |url| target(url).err().unwrap();
        assert_eq!(
            wrong("oracle://a:secret@b/c"),
            UrlError::Dialect("oracle".into())
        );
        assert_eq!(wrong("mysql://a:secret@b"), UrlError::NoDatabase);
        assert_eq!(wrong("mysql://a:secret@b:x/c"), UrlError::Port);
        let config = Config {
            url: "mysql+pymysql://glance:sec@ret@db:1/glance?ssl_key=secret".to_owned(),
            ..Config::default()
        };
        let shown = format!("{config:?}");
        assert!(
            shown.contains("mysql+pymysql://glance:***@db:1/glance"),
            "{shown}"
        );
        assert!(
            !shown.contains("ret@") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
