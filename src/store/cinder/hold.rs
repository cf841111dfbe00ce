//! Volumes that this process has attached to read them: once, however many read. Cinder lets nobody else have a
//! volume that is attached, unless its type is multiattach.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Mutex as Gate;

use super::{Result, Shared, attach::Attachment};
use crate::{client::cinder::Mode, store::rbd};

/// By the volumes' ids.
#[derive(Debug, Default)]
pub(super) struct Holds {
    known: Mutex<HashMap<String, Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Who reads, or is about to.
    readers: usize,
    /// Held by whoever attaches or detaches.
    attached: Arc<Gate<Option<Attachment>>>,
}

/// A reader's part in an attachment, which ends after the last of them.
pub(super) struct Hold {
    shared: Arc<Shared>,
    volume: String,
}

impl Hold {
    /// Attaches a volume, unless it is; and says where it is.
    pub(super) async fn take(shared: &Arc<Shared>, volume: &str) -> Result<(Self, rbd::Volume)> {
        let attached = {
            let mut known = shared.holds.known.lock();
            let slot = known.entry(volume.to_owned()).or_default();
            slot.readers += 1;
            slot.attached.clone()
        };
        let hold = Self {
            shared: shared.clone(),
            volume: volume.to_owned(),
        };
        // On a task of its own: a reader that goes away must not leave half an attachment.
        let attaching = attached_once(shared.clone(), volume.to_owned(), attached);
        let place = tokio::spawn(attaching).await;
        let place = place.expect("attaching does not panic")?;
        Ok((hold, place))
    }
}

async fn attached_once(
    shared: Arc<Shared>,
    volume: String,
    attached: Arc<Gate<Option<Attachment>>>,
) -> Result<rbd::Volume> {
    let mut attached = attached.lock().await;
    if let Some(attachment) = &*attached {
        return Ok(attachment.volume.clone());
    }
    let attachment = shared.attach(&volume, Mode::Read).await?;
    Ok(attached.insert(attachment).volume.clone())
}

impl Drop for Hold {
    fn drop(&mut self) {
        let (shared, volume) = (self.shared.clone(), std::mem::take(&mut self.volume));
        if let Some(slot) = shared.holds.known.lock().get_mut(&volume) {
            slot.readers -= 1;
        }
        // Without a runtime the process ends, and the next one ends the attachment.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { shared.let_go(&volume).await });
        }
    }
}

impl Shared {
    /// Detaches a volume that nobody reads any more; whether nobody does.
    pub(super) async fn let_go(&self, volume: &str) -> bool {
        let known = &self.holds.known;
        let gate = known.lock().get(volume).map(|slot| slot.attached.clone());
        let Some(gate) = gate else {
            return true;
        };
        // Of this very attachment: there may be a later one by now.
        let readers = || {
            let known = known.lock();
            let slot = known
                .get(volume)
                .filter(|slot| Arc::ptr_eq(&slot.attached, &gate));
            slot.map(|slot| slot.readers)
        };
        let mut attached = gate.lock().await;
        if readers() > Some(0) {
            return false;
        }
        if let Some(attachment) = attached.take() {
            self.detach(&attachment.id).await;
        }
        let mut known = known.lock();
        let is_last = |slot: &Slot| slot.readers == 0 && Arc::ptr_eq(&slot.attached, &gate);
        if known.get(volume).is_some_and(is_last) {
            known.remove(volume);
        }
        true
    }
}
