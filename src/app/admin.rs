//! What an operator does beside running the service.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::{
    config::Config,
    control::{
        Policy, Protections,
        db::{Check, Db},
        metadef::{self, CatalogFile, Loaded},
        purge,
    },
};

use super::service::{database, each_store};

/// Images under way of others that are counted.
const STUCK_MAX: u32 = 1000;

pub use crate::{
    control::{
        db::Purged,
        metadef::LoadMode,
        purge::{Options as Purge, Outcome as PurgeOutcome},
    },
    store::{Finding, Verdict},
};

/// What was done or found: for people, and for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// A sentence.
    pub sentence: String,
    /// An object.
    pub facts: Value,
}

/// Creates the schema where there is none, and brings our own tables up to date.
pub async fn db_sync(config: Config) -> anyhow::Result<Done> {
    let synced = open(&config)?.sync().await;
    let (result, sentence) = match synced.with_context(|| database(&config))? {
        Check::Ready => ("unchanged", "the database was up to date"),
        Check::Empty => ("created", "the database is created"),
        Check::Behind | Check::Newer(_) | Check::Unserved(_) => {
            ("upgraded", "the fresnel_* tables are brought up to date")
        }
    };
    Ok(Done {
        sentence: sentence.to_owned(),
        facts: json!({"result": result}),
    })
}

/// The version of the schema.
pub async fn db_version(config: Config) -> anyhow::Result<Done> {
    let version = existing(&config)?.version().await;
    let version = version.with_context(|| database(&config))?.to_string();
    Ok(Done {
        facts: json!({"version": version}),
        sentence: version,
    })
}

/// Whether the schema is one that this version serves; an error when it is not.
pub async fn db_check(config: Config) -> anyhow::Result<Done> {
    let check = existing(&config)?.check().await;
    let check = check.with_context(|| database(&config))?;
    check.ready()?;
    Ok(Done {
        sentence: check.to_string(),
        facts: json!({"result": "ready"}),
    })
}

/// What was looked at before an upgrade.
#[derive(Clone, Debug)]
pub struct Looked {
    /// At what.
    pub what: &'static str,
    /// What is wrong with it, if anything.
    pub found: Readiness,
}

/// Whether this version can take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It can, but the operator should know this.
    Warning(String),
    /// It cannot.
    NotReady(String),
}

/// Whether this version can serve what is there: the database, the policy, the configuration, and
/// images that somebody else has under way.
pub async fn upgrade_check(config: Config) -> Vec<Looked> {
    let mut looked = Vec::new();
    let mut look = |what, found| looked.push(Looked { what, found });
    let warnings = config.warnings.join("; ");
    look("configuration", Readiness::unless(warnings));
    let (schema, under_way) = records(&config).await;
    look("database", schema);
    look("images", under_way);
    let policy = Policy::load(config.policy);
    let protections = match (&policy, &config.protections) {
        (Ok(policy), Some(settings)) => Protections::load(settings, policy).map(drop),
        _ => Ok(()),
    };
    look("policy", Readiness::of(policy.map(drop)));
    look("property protections", Readiness::of(protections));
    looked
}

/// The schema, and what others have under way where it can be asked.
async fn records(config: &Config) -> (Readiness, Readiness) {
    let asked = async {
        let db = existing(config)?;
        let check = db.check().await;
        check.with_context(|| database(config))?.ready()?;
        let stuck = db.images_stuck(Duration::ZERO, "", STUCK_MAX).await?;
        anyhow::Ok(stuck.len())
    };
    match asked.await {
        Err(error) => (Readiness::of(Err(error)), Readiness::Ready),
        Ok(0) => (Readiness::Ready, Readiness::Ready),
        Ok(count) => {
            let more = if count < STUCK_MAX as usize {
                ""
            } else {
                "or more "
            };
            let text = format!(
                "{count} {more}are saving, uploading or importing with nobody of this service at work: data \
                 that waits for its import, or a Glance's, which should end it; else see \
                 `fresnel image recover`"
            );
            (Readiness::Ready, Readiness::Warning(text))
        }
    }
}

impl Readiness {
    fn unless(warning: String) -> Self {
        match warning.is_empty() {
            true => Self::Ready,
            false => Self::Warning(warning),
        }
    }

    fn of<E: Into<anyhow::Error>>(outcome: Result<(), E>) -> Self {
        match outcome {
            Ok(()) => Self::Ready,
            Err(error) => Self::NotReady(format!("{:#}", error.into())),
        }
    }
}

/// Removes rows that are deleted in name only; `tell` hears how many of a table are gone.
pub async fn db_purge(
    config: Config,
    tables: &[Purged],
    options: &Purge,
    tell: &mut (dyn FnMut(Purged, u64) + Send),
) -> anyhow::Result<Vec<PurgeOutcome>> {
    Ok(purge::run(&ready(&config).await?, tables, options, tell).await?)
}

/// Loads metadata definitions. A file that cannot be read stops it; those before it are loaded.
pub async fn metadefs_load(config: Config, path: &Path, mode: LoadMode) -> anyhow::Result<Done> {
    let db = ready(&config).await?;
    let (mut created, mut merged, mut skipped) = (0, 0, 0);
    for path in catalog(path)? {
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let file = CatalogFile::parse(&text).with_context(|| path.display().to_string())?;
        let loaded = metadef::load(&db, file, mode).await;
        match loaded.with_context(|| path.display().to_string())? {
            Loaded::Created => created += 1,
            Loaded::Merged => merged += 1,
            Loaded::Skipped => skipped += 1,
        }
    }
    Ok(Done {
        sentence: format!(
            "namespaces: {created} loaded, {merged} merged, {skipped} left as they were"
        ),
        facts: json!({"loaded": created, "merged": merged, "left": skipped}),
    })
}

/// Removes all metadata definitions.
pub async fn metadefs_unload(config: Config, dry_run: bool) -> anyhow::Result<Done> {
    let db = ready(&config).await?;
    let count = metadef::export(&db).await?.len();
    let word = match dry_run {
        true => "would be removed",
        false => {
            db.metadefs_clear().await?;
            "are removed"
        }
    };
    Ok(Done {
        sentence: format!("the metadata definitions of {count} namespaces {word}"),
        facts: json!({"dry_run": dry_run, "removed": count}),
    })
}

/// Writes all metadata definitions to files of a directory.
pub async fn metadefs_export(config: Config, path: &Path) -> anyhow::Result<Done> {
    let files = metadef::export(&ready(&config).await?).await?;
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    for file in &files {
        let path = path.join(file.name());
        let text = serde_json::to_string_pretty(file)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let (count, path) = (files.len(), path.display().to_string());
    Ok(Done {
        sentence: format!("{count} namespaces are in {path}"),
        facts: json!({"written": count, "path": path}),
    })
}

/// A file, or those of a directory in the order of their names.
fn catalog(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|end| end == "json") {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("no *.json files are in {}", path.display());
    }
    files.sort();
    Ok(files)
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

/// Opens a database that can be served; the embedded one is made.
async fn ready(config: &Config) -> anyhow::Result<Db> {
    drop(open(config)?);
    let db = Db::connect(&config.db).await;
    db.with_context(|| database(config))
}

/// Opens a database to look at it: an embedded one that is not there is not made.
fn existing(config: &Config) -> anyhow::Result<Db> {
    if let Some(path) = config.db.file().filter(|path| !path.exists()) {
        bail!(
            "there is no database {}: run `fresnel db sync`",
            path.display()
        );
    }
    Ok(Db::open(&config.db)?)
}

/// Opens the database without a look at its schema. The embedded one needs its directory.
fn open(config: &Config) -> anyhow::Result<Db> {
    if config.db.url.starts_with("sqlite") {
        let path = &config.data_dir;
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    Ok(Db::open(&config.db)?)
}
