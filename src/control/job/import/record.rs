//! What is recorded of an import: each store's success, and its end.

use serde_json::{Value, json};
use tracing::{info, warn};

use super::{Failed, Import, Outcome};
use crate::{
    control::{
        Result,
        db::{self, ImportEnd, Viewer},
        image::{ATTEMPTS_MAX, now},
        import::progress,
        job::digest::load,
        lease::{Covered, Transfer},
        sweep,
    },
    data::Receipt,
    model::{Attempt, Image, Location, Status, StoreId},
};

impl Import<'_> {
    /// Records that one store has the image, which is active from the first on.
    pub(super) async fn record_one(&self, transfer: &Transfer, receipt: &Receipt) -> Result<()> {
        let (db, job) = (&self.control.db, self.job);
        let mut writes = transfer.writes().into_iter();
        let write = writes.find(|write| write.store == receipt.store);
        let attempts: Vec<Attempt> = write.iter().map(|write| write.attempt).collect();
        for _ in 0..ATTEMPTS_MAX {
            let Some(before) = load(self.control, &job.image).await? else {
                return Err(db::Error::NotFound.into());
            };
            let mut after = before.clone();
            self.stored(&mut after, std::slice::from_ref(receipt));
            let advance = db.import_advance(job.id, self.node, &attempts, &before, &after);
            match advance.await {
                Ok(()) => return Ok(()),
                Err(db::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(db::Error::Busy.into())
    }

    /// The image with what was stored of it.
    fn stored(&self, image: &mut Image, receipts: &[Receipt]) {
        self.control.add_stored(image, receipts);
        self.change.apply(image);
        let stores: Vec<StoreId> = receipts.iter().map(|r| r.store.clone()).collect();
        self.end_progress(image, &stores);
        if image.status == Status::Importing {
            image.status = Status::Active;
        }
        image.updated_at = now();
    }

    /// The image of a task of its own says nothing of stores.
    fn end_progress(&self, image: &mut Image, stores: &[StoreId]) {
        if !self.input.creates {
            progress::end(image, stores);
        }
    }

    /// Every store has the image: all is recorded at once.
    pub(super) async fn record_all(
        self,
        receipts: &[Receipt],
        covered: Covered,
    ) -> Result<Outcome> {
        if let (Some(growth), Some(first)) = (&self.growth, receipts.first())
            && let Err(error) = growth.complete(first.size_bytes).await
        {
            self.control.undo(covered).await;
            return self.fail(Failed::of(error.to_string())).await;
        }
        let writes = covered.transfer().writes().into_iter();
        let attempts: Vec<Attempt> = writes.map(|write| write.attempt).collect();
        let change = |image: &mut Image| self.stored(image, receipts);
        match self.end(&attempts, change, self.success()).await {
            Ok(()) => covered.settle(),
            Err(db::Error::NotFound) => {
                self.control.undo(covered).await;
                return Ok(Outcome::Lost);
            }
            Err(db::Error::Lost) => {
                // As for an upload: another node may have looked for our objects before we
                // published them.
                for write in covered.transfer().writes() {
                    if let Err(error) = sweep::discard(self.control, &write).await {
                        warn!(attempt = %write.attempt, %error, "Could not remove a lost import's bytes");
                    }
                }
                covered.settle();
                return Ok(Outcome::Lost);
            }
            Err(error) => return Err(error.into()),
        }
        self.done().await
    }

    /// Every store has ended, and some may have failed.
    pub(super) async fn finish(self, lost: &[StoreId]) -> Result<Outcome> {
        let change = |image: &mut Image| {
            progress::fail(image, lost);
            self.end_progress(image, &self.targets);
            self.in_order(image);
            image.updated_at = now();
        };
        match self.end(&[], change, self.success()).await {
            Ok(()) => self.done().await,
            Err(db::Error::NotFound | db::Error::Lost) => Ok(Outcome::Lost),
            Err(error) => Err(error.into()),
        }
    }

    /// Locations are listed as their rows were written, which was as their stores ended: those that come
    /// before their turn by the request are written again.
    fn in_order(&self, image: &mut Image) {
        let turn = |location: &Location| {
            let store = location.store();
            let mut stores = self.input.stores.iter();
            stores.position(|name| store.as_ref().is_some_and(|store| store.as_str() == name))
        };
        if image.locations.is_sorted_by_key(turn) {
            return;
        }
        image.locations.sort_by_key(turn);
        for location in &mut image.locations {
            location.id = location.id.filter(|_| turn(location).is_none());
        }
    }

    /// Nothing came of it: an image that waits for data takes some again, and one that has some
    /// keeps it.
    pub(super) async fn fail(self, failed: Failed) -> Result<Outcome> {
        let (id, task) = (&self.job.image, self.job.id);
        let message = failed.message;
        warn!(image.id = %id, %task, message, "Import of image {id} failed");
        let blamed = match (failed.stores, self.input.must_succeed) {
            _ if self.blames_all() => self.targets.clone(),
            (stores, _) if !stores.is_empty() => stores,
            // Glance tries one after the other: the first ends all, or every one fails.
            (_, true) => self.targets.iter().take(1).cloned().collect(),
            (_, false) => self.targets.clone(),
        };
        let Some(image) = load(self.control, id).await? else {
            return Ok(Outcome::Lost);
        };
        // Whoever has taken it over meanwhile reads what is staged, and may have files of the same names.
        if !self.control.db.job_holds(task, self.node).await? {
            return Ok(Outcome::Lost);
        }
        if self.input.creates {
            return self.end_without_image(&image, message).await;
        }
        if image.status == Status::Importing {
            self.control.unstage(id).await?;
        }
        self.clear().await;
        let multistore = self.control.settings.multistore;
        let change = |image: &mut Image| {
            if multistore {
                progress::fail(image, &blamed);
            }
            self.end_progress(image, &self.targets);
            if image.status == Status::Importing {
                progress::requeue(image);
            }
            image.updated_at = now();
        };
        // An image that has data is what was asked for, unless every store had to get it.
        let is_enough = image.status != Status::Importing && !self.input.must_succeed;
        let outcome = match is_enough {
            true => self.success(),
            false => Err(message),
        };
        match self.end(&[], change, outcome).await {
            Ok(()) => Ok(Outcome::Done),
            Err(db::Error::NotFound | db::Error::Lost) => Ok(Outcome::Lost),
            Err(error) => Err(error.into()),
        }
    }

    /// The image that a task has made for itself goes with its failure.
    async fn end_without_image(&self, image: &Image, message: String) -> Result<Outcome> {
        self.clear().await;
        let ended = self.control.ended(Err(message));
        let db = &self.control.db;
        match db.import_undo(self.job.id, self.node, image, &ended).await {
            Ok(()) => Ok(Outcome::Done),
            Err(db::Error::NotFound | db::Error::Lost) => Ok(Outcome::Lost),
            Err(error) => Err(error.into()),
        }
    }

    /// What the last word of a task is that has moved bytes, unless it makes an image of its own.
    fn copied(&self, image: &Image) -> Option<String> {
        let size_bytes = image.size_bytes.filter(|bytes| *bytes > 0)?;
        (!self.input.creates).then(|| format!("Copied {} MiB", size_bytes >> 20))
    }

    fn success(&self) -> Result<Value, String> {
        Ok(json!({"image_id": self.job.image.as_str()}))
    }

    async fn done(self) -> Result<Outcome> {
        let id = &self.job.image;
        info!(image.id = %id, task = %self.job.id, "Imported image {id}");
        if !self.is_copy()
            && let Err(error) = self.control.unstage(id).await
        {
            warn!(image.id = %id, %error, "Could not remove staged data; the sweep will");
        }
        self.clear().await;
        Ok(Outcome::Done)
    }

    /// Changes the image and ends the job, its task and its lock. Whoever else changes the image at
    /// the same time, it is their change that is changed.
    async fn end(
        &self,
        attempts: &[Attempt],
        change: impl Fn(&mut Image),
        outcome: Result<Value, String>,
    ) -> db::Result<()> {
        let db = &self.control.db;
        let mut ended = self.control.ended(outcome);
        for _ in 0..ATTEMPTS_MAX {
            let found = db.image(&self.job.image, &Viewer::everything()).await?;
            let before = found.image;
            let mut after = before.clone();
            change(&mut after);
            ended.message = ended.message.or_else(|| self.copied(&after));
            let end = db.import_end(ImportEnd {
                id: self.job.id,
                node: self.node,
                attempts,
                before: &before,
                after: &after,
                ended: &ended,
            });
            match end.await {
                Err(db::Error::Conflict) => {}
                outcome => return outcome,
            }
        }
        Err(db::Error::Busy)
    }
}
