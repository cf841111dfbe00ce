//! What an operator does beside running the service. Each returns the sentence to print.

use crate::config::Config;

/// Creates the schema where there is none, and brings our own tables up to date.
pub async fn db_sync(_config: Config) -> anyhow::Result<String> {
    anyhow::bail!("the database is not there yet")
}

/// The version of the schema.
pub async fn db_version(_config: Config) -> anyhow::Result<String> {
    anyhow::bail!("the database is not there yet")
}

/// Whether the schema is one that this version serves.
pub async fn db_check(_config: Config) -> anyhow::Result<String> {
    anyhow::bail!("the database is not there yet")
}
