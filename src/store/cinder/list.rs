//! What lies in the project, whoever put it there: the volumes that are called as images' are, of the store's type
//! where it has one.

use tokio::sync::mpsc;

use super::{
    ATTEMPT_KEY, Entry, Error, Intent, NAME_PREFIX, Result, Shared, Stat, address, draft_of,
    names_of, size_bytes,
};
use crate::client::cinder::Volume;

/// Tells every volume of an image, and of an attempt.
pub(super) async fn list(shared: &Shared, found: &mpsc::Sender<Entry>) -> Result<()> {
    let kind = shared.config.volume_type.as_ref();
    let mut after = None;
    loop {
        let page = shared.cinder.volumes(after.as_deref()).await;
        let page = page.map_err(|error| shared.outcome(shared.id.as_str(), error))?;
        let is_image = |volume: &&Volume| {
            volume.name.starts_with(NAME_PREFIX)
                && (kind.is_none() || volume.volume_type.as_ref() == kind)
        };
        for volume in page.volumes.iter().filter(is_image) {
            if found.send(entry(shared, volume)).await.is_err() {
                return Ok(());
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn entry(shared: &Shared, volume: &Volume) -> Entry {
    let store = shared.config.multistore.then_some(shared.id.as_str());
    match draft_of(&volume.name) {
        Some(draft) => Entry::Draft(draft),
        None => Entry::Object(address::write(store, &volume.id)),
    }
}

/// Of an image what is noted of its size, of an attempt the volume's.
pub(super) async fn stat(shared: &Shared, entry: &Entry) -> Result<Stat> {
    let volume = match entry {
        Entry::Object(url) => shared.published(url).await?,
        Entry::Draft(intent) => of_attempt(shared, intent).await?,
    };
    Ok(Stat {
        size_bytes: size_bytes(&volume),
        modified: volume.modified,
    })
}

async fn of_attempt(shared: &Shared, intent: &Intent) -> Result<Volume> {
    let (names, attempt) = (names_of(intent)?, intent.attempt.to_string());
    let named = shared.cinder.named(&names.draft).await;
    let named = named.map_err(|error| shared.outcome(&names.draft, error))?;
    let mut named = named.into_iter();
    let found = named.find(|volume| volume.metadata.get(ATTEMPT_KEY) == Some(&attempt));
    found.ok_or(Error::NotFound(names.draft))
}
