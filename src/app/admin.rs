//! What an operator does beside running the service. Each returns the sentence to print.

use std::fs;

use anyhow::{Context, bail};

use crate::{
    config::Config,
    control::db::{Check, Db},
};

use super::service::each_store;

pub use crate::store::{Finding, Verdict};

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

/// Looks at every store, or at the one of that name: each with what was found.
///
/// # Errors
/// When there is no store of that name.
pub async fn store_check(
    config: Config,
    only: Option<&str>,
) -> anyhow::Result<Vec<(String, Vec<Finding>)>> {
    let mut checked = Vec::new();
    for (id, opened) in each_store(&config, &[])? {
        if only.is_some_and(|only| only != id.as_str()) {
            continue;
        }
        let findings = match opened {
            Ok(store) => store.check().await,
            Err(error) => vec![Finding::wrong(format!("{:#}", anyhow::Error::from(error)))],
        };
        checked.push((id.to_string(), findings));
    }
    if let (Some(only), true) = (only, checked.is_empty()) {
        bail!("there is no store {only}");
    }
    Ok(checked)
}

/// Opens the database without a look at its schema. The embedded one needs its directory.
fn open(config: &Config) -> anyhow::Result<Db> {
    if config.db.url.starts_with("sqlite") {
        let path = &config.data_dir;
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    Ok(Db::open(&config.db)?)
}
