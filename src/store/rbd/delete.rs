//! Removing what is published, and undoing attempts.
//!
//! Everything goes to the trash, in a few quick steps each of which can be done again; the data is
//! removed in the background.

use std::{sync::Arc, time::Duration};

use fresnel_ceph::{Image, Outcome, Pool, Result};
use tokio::{runtime::Handle, time::timeout};
use tracing::warn;

use super::{
    Error, SNAPSHOT, Shared,
    address::Address,
    connection::{Failure, addresses, while_busy},
    draft::{Mark, Names},
    trash,
    write::close,
};

/// What an attempt gets to be undone before it is left to the next try: a client waits for it.
pub(in crate::store) const CLEAN_UP_PATIENCE: Duration = Duration::from_secs(15);
/// How long a deletion waits for somebody who has the image open.
const IN_USE_PATIENCE: Duration = Duration::from_secs(3);

/// What came of a deletion.
enum Deleted {
    /// The image is in the trash.
    Moved,
    /// It has clones of format 1, and nothing has changed.
    HasClones,
}

/// Removes what an address names. [`Error::Busy`] while it has clones (of format 1), and then
/// nothing has changed.
pub(super) async fn delete(shared: &Arc<Shared>, url: &str, address: Address) -> super::Result<()> {
    let moved = while_busy(IN_USE_PATIENCE, || {
        let (owned, address) = (shared.clone(), address.clone());
        let delete = move |pool: &Pool| to_trash(&owned, pool, &address);
        shared.read.call(shared.read.patience, delete)
    });
    match moved
        .await
        .map_err(|failure| shared.outcome(url, failure))?
    {
        Deleted::Moved => Ok(()),
        Deleted::HasClones => Err(Error::Busy(url.to_owned())),
    }
}

/// Whether a deletion would be [`Error::Busy`]. The test is to forbid clones and, when that was
/// possible, to allow them again.
pub(super) async fn in_use(
    shared: &Arc<Shared>,
    url: &str,
    address: Address,
) -> super::Result<bool> {
    let Address {
        image,
        snapshot: Some(snapshot),
        ..
    } = address
    else {
        return Ok(false);
    };
    let test = move |pool: &Pool| {
        let image = pool.open_image(&image)?;
        if !image.snap_is_protected(&snapshot)? {
            return Ok(false);
        }
        match image.snap_unprotect(&snapshot) {
            Ok(()) => image.snap_protect(&snapshot).map(|()| false),
            Err(error) if error.outcome() == Some(Outcome::Busy) => Ok(true),
            Err(error) => Err(error),
        }
    };
    let tested = shared.read.call(shared.read.patience, test).await;
    match tested.map_err(|failure| shared.outcome(url, failure)) {
        Err(Error::NotFound(_)) => Ok(false),
        result => result,
    }
}

/// Undoes an attempt of whatever process, so that its writer can publish nothing.
pub(super) async fn discard(shared: &Arc<Shared>, names: Names) -> super::Result<()> {
    // On a task of its own: half of it would be as bad as half of a commit.
    let shared = shared.clone();
    let discarding = tokio::spawn(async move {
        let Some(draft) = shared.drafts.get(&names) else {
            return remove_attempt(&shared, &names).await;
        };
        let gate = timeout(CLEAN_UP_PATIENCE, draft.gate.lock()).await;
        let _gate = gate.map_err(|_| Error::Unavailable(shared.id.clone()))?;
        close(&draft, CLEAN_UP_PATIENCE).await;
        remove_attempt(&shared, &names).await?;
        shared.drafts.leave(&names);
        Ok(())
    });
    discarding.await.expect("discarding does not panic")
}

/// Removes the images of an attempt, published or not. No writer of this process is at work.
pub(super) async fn remove_attempt(shared: &Arc<Shared>, names: &Names) -> super::Result<()> {
    let ours = addresses([&shared.write, &shared.read]);
    let ours = ours.map_err(|error| shared.outcome(&names.draft, Failure::NotConnected(error)))?;
    let removed = while_busy(CLEAN_UP_PATIENCE, || {
        let (owned, names, ours) = (shared.clone(), names.clone(), ours.clone());
        let remove = move |pool: &Pool| attempt_to_trash(&owned, pool, &names, &ours);
        shared.read.call(CLEAN_UP_PATIENCE, remove)
    });
    let removed = removed.await;
    removed.map_err(|failure| shared.outcome(&names.draft, failure))
}

/// Moves the images of an attempt to the trash. Blocks.
fn attempt_to_trash(shared: &Shared, pool: &Pool, names: &Names, ours: &[String]) -> Result<()> {
    mend_rename(pool, names)?;
    for (name, is_draft) in [(&names.draft, true), (&names.published, false)] {
        if pool.image_id(name)?.is_none() {
            continue;
        }
        let image = match pool.open_read_only(name, None) {
            // A name without an image: creating it broke off.
            Err(error) if is_draft && error.outcome() == Some(Outcome::NotFound) => {
                pool.forget_name(name)?;
                continue;
            }
            image => image?,
        };
        let mark = Mark::read(&image)?;
        let of_attempt = |mark: &Mark| mark.attempt == names.attempt.to_string();
        if !is_draft && !mark.as_ref().is_some_and(of_attempt) {
            continue;
        }
        shut_out(pool, &image, mark, ours)?;
        drop(image);
        let image = pool.open_image(name)?;
        forbid_clones(&image, SNAPSHOT)?;
        remove_snapshot(&image, SNAPSHOT)?;
        move_to_trash(shared, pool, name, image)?;
    }
    Ok(())
}

/// Shuts the writer of an attempt out, if that is another process: what it has sent and what it will
/// send is lost, and the watch of one that has died ends at once.
pub(super) fn shut_out(
    pool: &Pool,
    image: &Image,
    mark: Option<Mark>,
    ours: &[String],
) -> Result<()> {
    let writers = match mark {
        Some(mark) => vec![mark.writer],
        // It died before it could say who it is.
        None => image.watchers()?,
    };
    for writer in writers.iter().filter(|writer| !ours.contains(writer)) {
        match pool.cluster().blocklist(writer) {
            Err(error) if error.outcome() == Some(Outcome::Denied) => {
                warn!(
                    writer,
                    "May not shut out the writer of a dead upload: \
                     the user lacks the monitor capability 'profile rbd'"
                );
            }
            result => result?,
        }
    }
    Ok(())
}

/// A rename that broke off leaves one image under two names: the one that the directory has not is
/// taken away.
fn mend_rename(pool: &Pool, names: &Names) -> Result<()> {
    let id = pool.image_id(&names.draft)?;
    if id.is_none() || id != pool.image_id(&names.published)? {
        return Ok(());
    }
    let counts = pool.name_of(&id.expect("looked at above"))?;
    if counts.as_ref() == Some(&names.published) {
        pool.forget_name(&names.draft)
    } else {
        pool.forget_name(&names.published)
    }
}

/// Moves a published image to the trash. Blocks. [`Outcome::Busy`] while somebody has it open to
/// change it.
fn to_trash(shared: &Shared, pool: &Pool, address: &Address) -> Result<Deleted> {
    let name = &address.image;
    let image = pool.open_image(name)?;
    let Some(snapshot) = &address.snapshot else {
        return move_to_trash(shared, pool, name, image).map(|()| Deleted::Moved);
    };
    match forbid_clones(&image, snapshot) {
        Err(error) if error.outcome() == Some(Outcome::Busy) => return Ok(Deleted::HasClones),
        result => result?,
    }
    let removed = remove_snapshot(&image, snapshot);
    let moved = removed.and_then(|()| move_to_trash(shared, pool, name, image));
    if moved.is_err() {
        // It is there after all, and so must be what it was.
        if let Err(error) = restore(pool, name, snapshot) {
            warn!(image = name, %error, "Could not restore the snapshot of an image that could not be removed");
        }
    }
    moved.map(|()| Deleted::Moved)
}

/// [`Outcome::Busy`] while there are clones of format 1; then nothing has changed.
fn forbid_clones(image: &Image, snapshot: &str) -> Result<()> {
    match image.snap_unprotect(snapshot) {
        Err(error) if matches!(error.outcome(), Some(Outcome::Invalid | Outcome::NotFound)) => {
            Ok(())
        }
        result => result,
    }
}

fn remove_snapshot(image: &Image, snapshot: &str) -> Result<()> {
    match image.snap_remove(snapshot) {
        Err(error) if error.outcome() == Some(Outcome::NotFound) => Ok(()),
        result => result,
    }
}

fn restore(pool: &Pool, name: &str, snapshot: &str) -> Result<()> {
    let image = pool.open_image(name)?;
    let exists = |error: &fresnel_ceph::Error| {
        matches!(error.outcome(), Some(Outcome::Exists | Outcome::Busy))
    };
    for restored in [image.snap_create(snapshot), image.snap_protect(snapshot)] {
        match restored {
            Err(error) if exists(&error) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Closes an image and moves it to the trash, marked as ours to remove, and has it removed: also when
/// that took so long that nobody waits for it any more.
fn move_to_trash(shared: &Shared, pool: &Pool, name: &str, image: Image) -> Result<()> {
    let id = image.id()?;
    trash::mark(&image, &id)?;
    let closed = image.closed();
    drop(image);
    // Our own watch would be in the way.
    Handle::current().block_on(closed);
    pool.trash_move(name)?;
    shared.remove_later(id);
    Ok(())
}
