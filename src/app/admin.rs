//! What an operator does beside running the service. Each returns the sentence to print.

use std::fs;

use anyhow::Context;

use crate::{
    config::Config,
    control::db::{Check, Db},
};

/// Creates the schema where there is none, and brings our own tables up to date.
pub async fn db_sync(config: Config) -> anyhow::Result<String> {
    let found = open(&config)?.sync().await?;
    Ok(match found {
        Check::Ready => "the database was up to date".to_owned(),
        Check::Empty => "the database is created".to_owned(),
        Check::Behind | Check::Newer(_) | Check::Unserved(_) => {
            "the fresnel_* tables are brought up to date".to_owned()
        }
    })
}

/// The version of the schema.
pub async fn db_version(config: Config) -> anyhow::Result<String> {
    Ok(open(&config)?.version().await?.to_string())
}

/// Whether the schema is one that this version serves; an error when it is not.
pub async fn db_check(config: Config) -> anyhow::Result<String> {
    let check = open(&config)?.check().await?;
    check.ready()?;
    Ok(check.to_string())
}

/// Opens the database without a look at its schema. The embedded one needs its directory.
fn open(config: &Config) -> anyhow::Result<Db> {
    if config.db.url.starts_with("sqlite") {
        let path = &config.data_dir;
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    Ok(Db::open(&config.db)?)
}
