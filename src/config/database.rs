//! `[database]`, into [`db::Config`].

use std::time::Duration;

use super::{option::section, value::Value};
use crate::control::db;

section! {
    /// Where the records are.
    Database in "database" {
        /// SQLAlchemy URL: `mysql+pymysql://`, `postgresql://` or `sqlite://`.
        connection: ConnectionUrl = "sqlite:///${fresnel.data_dir}/fresnel.sqlite";
        /// Connections in use at once are at most this many and `max_overflow` together.
        max_pool_size: u32 = "5", min 1;
        /// See `max_pool_size`.
        max_overflow: u32 = "11";
        /// Seconds that a request waits for a connection.
        pool_timeout: u32 = "30", min 1;
        /// Seconds after which a connection is replaced.
        connection_recycle_time: u32 = "3600", min 1;
        /// How often more `fresnel serve` tries a database that does not answer while it starts; -1 is for
        /// ever.
        max_retries: i64 = "10", min -1;
        /// Seconds between these tries.
        retry_interval: u32 = "10", min 1;
    }
}

impl Database {
    /// For the layer that connects, and gives up statements that take longer than `statement_max`.
    pub(crate) fn settings(self, statement_max: Duration) -> db::Config {
        db::Config {
            url: self.connection.0,
            connections_max: self.max_pool_size.saturating_add(self.max_overflow),
            acquire_timeout: Duration::from_secs(self.pool_timeout.into()),
            lifetime_max: Duration::from_secs(self.connection_recycle_time.into()),
            statement_max,
            start_retries_max: u64::try_from(self.max_retries).ok(),
            start_retry_interval: Duration::from_secs(self.retry_interval.into()),
            ..db::Config::default()
        }
    }
}

/// A URL of a database that we speak to; its password is never shown.
#[derive(Clone)]
pub(crate) struct ConnectionUrl(String);

impl std::fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&db::masked(&self.0))
    }
}

impl Value for ConnectionUrl {
    const KIND: &'static str = "URL";
    const SHOW: fn(&str) -> String = db::masked;

    fn parse(text: &str) -> Result<Self, String> {
        let config = db::Config {
            url: text.to_owned(),
            ..db::Config::default()
        };
        config.check().map_err(|error| error.to_string())?;
        Ok(Self(config.url))
    }
}
