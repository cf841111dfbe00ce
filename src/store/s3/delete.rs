//! Removing what is published, and undoing attempts.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Error, Intent, Result, Shared,
    draft::{self, Trace},
};
use crate::{client::s3, model::Attempt};

/// What an attempt gets to be undone before it is left to the next try: a client waits for it.
pub(super) const CLEAN_UP_PATIENCE: Duration = Duration::from_secs(15);
/// A part that was on its way when its upload was ended may outlive it, until it is ended again.
const ABORTS_MAX: usize = 3;

/// Undoes an attempt of whatever process, so that its writer can publish nothing.
pub(super) async fn discard(shared: &Arc<Shared>, intent: &Intent) -> Result<()> {
    let key = draft::key(&intent.image)?;
    let written = Trace::parse(&intent.object, &shared.config.bucket, &key);
    let written = written.ok_or_else(|| Error::BadAddress(intent.object.clone()))?;
    let attempt = intent.attempt;
    // On a task of its own: half of it would be as bad as half of a commit.
    let shared = shared.clone();
    let discarding = tokio::spawn(async move {
        let Some(draft) = shared.drafts.get(attempt) else {
            return in_time(&shared, remove_attempt(&shared, &key, attempt, written)).await;
        };
        draft.close();
        let gate = timeout(CLEAN_UP_PATIENCE, draft.gate.lock()).await;
        let _gate = gate.map_err(|_| Error::Unavailable(shared.id.clone()))?;
        // Whoever had the gate knows more than the journal.
        let trace = draft.trace();
        in_time(&shared, remove_attempt(&shared, &key, attempt, trace)).await?;
        shared.drafts.leave(attempt);
        Ok(())
    });
    discarding.await.expect("discarding does not panic")
}

/// Ends an attempt's uploads, and takes back what it published. Nothing else of this process works
/// on it.
pub(super) async fn remove_attempt(
    shared: &Shared,
    key: &str,
    attempt: Attempt,
    trace: Trace,
) -> Result<()> {
    for upload in shared.traced(key, trace).await? {
        abort(shared, key, &upload).await?;
    }
    let published = shared.head(key).await?;
    let mark = published.and_then(|head| head.mark);
    if mark.is_some_and(|mark| mark == attempt.to_string()) {
        let deleted = shared.bucket.delete(key).await;
        deleted.map_err(|error| shared.outcome(key, error))?;
    }
    Ok(())
}

async fn abort(shared: &Shared, key: &str, upload: &str) -> Result<()> {
    for _ in 0..ABORTS_MAX {
        let aborted = match shared.bucket.abort(key, upload).await {
            Ok(()) => shared.bucket.has_parts(key, upload).await.map(drop),
            failed => failed,
        };
        match aborted {
            Ok(()) => {}
            Err(s3::Error::NoUpload | s3::Error::NoBucket) => return Ok(()),
            Err(error) => return Err(shared.outcome(key, error)),
        }
    }
    Err(shared.backend_error(format!("the upload {upload} of {key} does not end")))
}

pub(super) async fn in_time<T>(
    shared: &Shared,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let done = timeout(CLEAN_UP_PATIENCE, work).await;
    done.unwrap_or_else(|_| Err(Error::Unavailable(shared.id.clone())))
}
