//! Staging (reference A.5.3): the bytes of an image that is still to be imported.
//!
//! They rest in the staging store under the image's id: in a directory of this host as Glance's do,
//! or in a store that every node has. Who can see them can import them.

use std::sync::Arc;

use tracing::{debug, warn};

use super::{
    Caller, Control, Error, Result, Rule,
    attempts::Attempts,
    db::{Bounds, Staged},
    encryption::Sealed,
    image::now,
    upload::{Upload, UploadRequest},
};
use crate::{
    data::{Encryption, Known, Receipt, WritePlan},
    model::{Image, ImageId, Status},
    store,
};

/// The property by which another worker finds whom to send the import to.
pub(super) const STAGE_HOST: &str = "os_glance_stage_host";
/// Staged data of one look.
const ROWS_MAX: u32 = 100;

impl Control {
    /// Decides on staging and moves the image to `uploading`, in Glance's order of checks. Plain bytes
    /// are encrypted here, so that none of them rest anywhere, and judged and verified while they can be.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::LimitExceeded`], [`Error::ImageNotFound`], [`Error::Denied`],
    /// [`Error::NotQueued`], and the store's and the database's; of plain bytes [`Error::FormatsUnset`],
    /// [`Error::Signature`], [`Error::Encryption`] too.
    pub async fn stage_begin(
        self: &Arc<Self>,
        caller: &Caller,
        request: &UploadRequest,
    ) -> Result<Upload> {
        caller.may_change()?;
        let id = request.image.clone();
        let queued = self.load(caller, &id, Error::ImageNotFound).await?;
        self.allow(Rule::ModifyImage, caller, &queued)?;
        let mut uploading = queued.clone();
        let moved = queued.status.transition(Status::Uploading);
        uploading.status = moved.map_err(Error::NotQueued)?;
        uploading.updated_at = now();
        if !caller.owns(&queued) {
            return Err(Error::NotOwner);
        }
        let plain = match request.is_plain {
            true => {
                let expect = self.expect(&queued)?;
                Some(self.demands(&queued, expect, request).await?)
            }
            false => None,
        };
        let (expect, signature, encryption) = match plain {
            Some(plain) => (Some(plain.expect), plain.signature, plain.encryption),
            None => (None, None, Encryption::None),
        };
        let store = self.settings.import.staging.store.clone();
        let size = self.settings.presized(request.size, &queued);
        let stored = encryption.stored(size);
        let intent = self.intend(&store, &queued, stored).await?;
        let bounds = self.bounds(caller).await?.map(Bounds::of_staging);
        let Attempts {
            covered,
            targets,
            writes,
        } = self.attempts(vec![(store, intent)], true);
        let plan = WritePlan {
            image: id,
            size,
            limit_bytes: self.settings.image_size_cap_bytes,
            targets,
            os_hash_algo: None,
            more_digests: Vec::new(),
            expect,
            known: Known::default(),
            signature,
            encryption,
        };
        let begun = self.begin(
            (&queued, &uploading),
            &writes,
            bounds,
            Bounds::of_staging,
            stored,
        );
        self.begun(begun.await, covered, |covered, growth| {
            Upload::staging(self.clone(), uploading, plan, covered, growth)
        })
    }

    /// Where staged data is to be found.
    pub(super) fn staged_at(&self, image: &Image, receipt: &Receipt) -> Staged {
        let local = self.settings.import.staging.local.as_ref();
        let sealed = receipt.plain.as_ref();
        Staged {
            image: image.id.clone(),
            store: receipt.store.clone(),
            url: receipt.url.clone(),
            host: local.map_or_else(String::new, |local| local.host.clone()),
            sealed: sealed.map(|plain| Sealed::new(image, plain).to_json()),
        }
    }

    /// Says in the image on which worker its staged data is, where others cannot see it.
    pub(super) fn mark_staged(&self, image: &mut Image) {
        let import = &self.settings.import;
        if let (Some(_), Some(url)) = (&import.staging.local, &import.self_url) {
            let url = Some(url.clone());
            image.properties.insert(STAGE_HOST.to_owned(), url);
        }
    }

    /// The staged data of an image: ours, or what a Glance has put into the same directory.
    pub(super) async fn staged(&self, image: &ImageId) -> Result<Option<Staged>> {
        if let Some(staged) = self.db.staged(image).await? {
            return Ok(Some(staged));
        }
        let staging = &self.settings.import.staging;
        Ok(staging.local.as_ref().map(|local| Staged {
            image: image.clone(),
            store: staging.store.clone(),
            url: format!("file://{}/{image}", local.path.display()),
            host: local.host.clone(),
            sealed: None,
        }))
    }

    /// Removes the staged data of an image, if there is any; what this node cannot see stays for
    /// one that can.
    pub(super) async fn unstage(&self, image: &ImageId) -> Result<()> {
        match self.staged(image).await? {
            Some(staged) => self.remove_staged(&staged).await,
            None => Ok(()),
        }
    }

    async fn remove_staged(&self, staged: &Staged) -> Result<()> {
        let Some(store) = self.stores.get(&staged.store) else {
            return Ok(());
        };
        match store.delete(&staged.url).await {
            Ok(()) => debug!(image.id = %staged.image, "Removed staged data"),
            Err(store::Error::NotFound(_)) if self.is_elsewhere(staged) => return Ok(()),
            Err(store::Error::NotFound(_) | store::Error::BadAddress(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.db.staged_forget(&staged.image).await?)
    }

    /// Whether the data, if this node does not see it, is in a directory of another host.
    pub(super) fn is_elsewhere(&self, staged: &Staged) -> bool {
        let local = self.settings.import.staging.local.as_ref();
        let own = local.map_or("", |local| local.host.as_str());
        !staged.host.is_empty() && staged.host != own
    }

    /// Removes staged data that nobody will ask for any more.
    pub(super) async fn sweep_staged(&self) {
        let dead = match self.db.staged_dead(ROWS_MAX).await {
            Ok(dead) => dead,
            Err(error) => {
                warn!(%error, "Could not look for dead staged data");
                return;
            }
        };
        for staged in dead {
            if let Err(error) = self.remove_staged(&staged).await {
                warn!(image.id = %staged.image, %error, "Could not remove staged data yet");
            }
        }
    }
}
