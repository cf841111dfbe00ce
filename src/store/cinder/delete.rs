//! Removing what is published, and undoing attempts.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{ATTEMPT_KEY, Error, Patience, Result, Shared, attach};
use crate::{
    client::cinder::{self, Volume},
    store::rbd::{CLEAN_UP_PATIENCE, Names, close},
};

/// How long a fence waits for what an attempt of this process is about to do.
const GATE_PATIENCE: Duration = CLEAN_UP_PATIENCE;

/// Removes the volume that an address names, and waits until it is gone. [`Error::Busy`] while somebody has it.
pub(super) async fn delete(shared: &Arc<Shared>, url: &str) -> Result<()> {
    let id = shared.published(url).await?.id;
    if !shared.let_go(&id).await {
        return Err(Error::Busy(url.to_owned()));
    }
    let mut asked = shared.cinder.delete(&id).await;
    if matches!(asked, Err(cinder::Error::Refused(_))) && shared.take_from_the_dead(&id).await? {
        asked = shared.cinder.delete(&id).await;
    }
    match asked {
        Ok(()) => {}
        Err(cinder::Error::Refused(_)) => {
            if !is_going(shared, &id).await? {
                return Err(Error::Busy(url.to_owned()));
            }
        }
        Err(error) => return Err(shared.outcome(url, error)),
    }
    match shared.settled(&id, "deleting").await {
        Err(Error::NotFound(_)) => Ok(()),
        // Its back end says that it is in use.
        Ok(volume) if volume.status == "available" => Err(Error::Busy(url.to_owned())),
        Ok(volume) => Err(shared.backend_error(format!(
            "volume {id} could not be removed and is {:?}: look at Cinder's log",
            volume.status
        ))),
        Err(error) => Err(error),
    }
}

/// Whether somebody else removes it.
async fn is_going(shared: &Shared, id: &str) -> Result<bool> {
    match shared.cinder.volume(id).await {
        Ok(volume) => Ok(volume.status == "deleting"),
        Err(cinder::Error::NotFound) => Ok(true),
        Err(error) => Err(shared.outcome(id, error)),
    }
}

/// Whether somebody has the volume.
pub(super) async fn in_use(shared: &Arc<Shared>, url: &str) -> Result<bool> {
    let is_attached = async || match shared.published(url).await {
        Err(Error::NotFound(_)) => Ok(None),
        volume => volume.map(|volume| Some(volume.id).filter(|_| volume.status == "in-use")),
    };
    let Some(id) = is_attached().await? else {
        return Ok(false);
    };
    if !shared.let_go(&id).await {
        return Ok(true);
    }
    shared.take_from_the_dead(&id).await?;
    Ok(is_attached().await?.is_some())
}

/// Undoes an attempt of whatever process, so that its writer can publish nothing.
pub(super) async fn discard(shared: &Arc<Shared>, names: Names) -> Result<()> {
    // On a task of its own: half of it would be as bad as half of a commit.
    let shared = shared.clone();
    let discarding = tokio::spawn(async move {
        let Some(draft) = shared.drafts.get(&names) else {
            return remove_attempt(&shared, &names).await;
        };
        let gate = timeout(GATE_PATIENCE, draft.gate.lock()).await;
        let _gate = gate.map_err(|_| Error::Unavailable(shared.id.clone()))?;
        close(&draft, CLEAN_UP_PATIENCE).await;
        remove_attempt(&shared, &names).await?;
        shared.drafts.leave(&names);
        Ok(())
    });
    discarding.await.expect("discarding does not panic")
}

/// Removes the volumes of an attempt, published or not. No writer of this process is at work.
pub(super) async fn remove_attempt(shared: &Arc<Shared>, names: &Names) -> Result<()> {
    let attempt = names.attempt.to_string();
    let is_of_attempt = |volume: &Volume| {
        volume
            .metadata
            .get(ATTEMPT_KEY)
            .is_some_and(|of| *of == attempt)
    };
    for name in [&names.draft, &names.published] {
        let named = shared.cinder.named(name).await;
        let named = named.map_err(|error| shared.outcome(name, error))?;
        for volume in named.into_iter().filter(is_of_attempt) {
            remove(shared, names, &volume.id).await?;
        }
    }
    Ok(())
}

/// Removes a volume of an attempt, whoever has it: a writer that lives is shut out of it.
async fn remove(shared: &Shared, names: &Names, id: &str) -> Result<()> {
    let mut patience = Patience::new(CLEAN_UP_PATIENCE);
    let failed = |error| shared.outcome(&names.draft, error);
    loop {
        let volume = match shared.cinder.volume(id).await {
            Err(cinder::Error::NotFound) => return Ok(()),
            volume => volume.map_err(failed)?,
        };
        let attachments = match volume.status.as_str() {
            "available" | "deleting" => Vec::new(),
            _ => shared.cinder.attachments(id).await.map_err(failed)?,
        };
        for attachment in attachments {
            if let Ok(place) = attach::place(&attachment.connection) {
                shared.volumes.fence(&place, names).await?;
            }
            shared.cinder.detach(&attachment.id).await.map_err(failed)?;
        }
        if volume.status != "deleting" {
            match shared.cinder.delete(id).await {
                // What is refused now, as while it is extended, may not be later.
                Ok(()) | Err(cinder::Error::NotFound | cinder::Error::Refused(_)) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if !patience.wait().await {
            return Err(Error::Unavailable(shared.id.clone()));
        }
    }
}
