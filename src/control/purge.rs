//! Removes rows that are deleted in name only, a batch at a time, so that no lock is held for long. An
//! operator's command, never run by itself.

use std::time::Duration;

use chrono::NaiveDateTime;

use super::{
    Result,
    db::{Db, Purged},
    image::now,
};

/// The rows of one transaction.
const BATCH_ROWS: u32 = 500;

/// What the operator wants.
#[derive(Clone, Debug)]
pub struct Options {
    /// Deleted for so long.
    pub older_than: Duration,
    /// No more rows of each table.
    pub rows_max: Option<u64>,
    /// Remove nothing, and tell what would be removed.
    pub dry_run: bool,
}

/// What became of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which.
    pub table: Purged,
    /// Rows that are gone, or would be.
    pub removed: u64,
    /// Rows that are as old and stay.
    pub kept: u64,
}

/// Told how many rows of a table are gone so far.
pub type Tell<'a> = &'a mut (dyn FnMut(Purged, u64) + Send);

/// Purges the tables in their order.
///
/// # Errors
/// Only those of the database; what is removed by then stays so.
pub async fn run(
    db: &Db,
    tables: &[Purged],
    options: &Options,
    tell: Tell<'_>,
) -> Result<Vec<Outcome>> {
    let before = ago(options.older_than);
    let mut outcomes = Vec::with_capacity(tables.len());
    for &table in tables {
        let removed = match options.dry_run {
            true => db.purgeable(table, before, options.rows_max).await?,
            false => purge(db, table, before, options.rows_max, tell).await?,
        };
        let kept = db.purge_kept(table, before).await?;
        outcomes.push(Outcome {
            table,
            removed,
            kept,
        });
    }
    Ok(outcomes)
}

async fn purge(
    db: &Db,
    table: Purged,
    before: NaiveDateTime,
    rows_max: Option<u64>,
    tell: Tell<'_>,
) -> Result<u64> {
    let mut removed = 0;
    loop {
        let left = rows_max.map_or(u64::MAX, |most| most.saturating_sub(removed));
        let limit = u32::try_from(left).unwrap_or(BATCH_ROWS).min(BATCH_ROWS);
        let now = match limit {
            0 => 0,
            limit => db.purge(table, before, limit).await?,
        };
        removed += now;
        if now == 0 {
            return Ok(removed);
        }
        tell(table, removed);
    }
}

fn ago(age: Duration) -> NaiveDateTime {
    let age = chrono::Duration::from_std(age).unwrap_or(chrono::Duration::MAX);
    now().checked_sub_signed(age).unwrap_or_default()
}
