//! `/v2/images/{id}/locations` (reference A.5.6, B.4): a service registers bytes that it has put
//! into a store itself.
//!
//! What is wrong with the address is told at once, where Glance answers 202 and fails later
//! unseen. Then one transaction moves the image: without a digest given it is `active` with its
//! digests to come, with one it is `importing` until the bytes are found to be those. A task tells
//! how far that is.

use serde_json::{Map, Value, json};
use tracing::info;

use super::{NewLocation, Refusal, validation};
use crate::{
    base::secret::Secret,
    control::{
        Caller, Control, Error, Result, Rule,
        db::{self, JobKind, NewJob, Rest, Work},
        image::{ATTEMPTS_MAX, now},
        import,
        job::DigestInput,
        task,
    },
    model::{
        HashAlgorithm, Image, ImageId, Location, LocationStatus, Status, TaskId, location,
        task::LOCATION_IMPORT,
    },
};

/// What a service says of bytes that are there already.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Where.
    pub url: String,
    /// What they hash to.
    pub digest: Option<(HashAlgorithm, String)>,
}

impl Registration {
    /// As the task has it.
    fn input(&self, image: &ImageId) -> Value {
        let validation = self.digest.as_ref().map(|(algorithm, value)| {
            json!({"os_hash_algo": algorithm.to_string(), "os_hash_value": value})
        });
        json!({"image_id": image.as_str(), "loc_url": self.url, "validation_data": validation})
    }
}

impl Control {
    /// Gives a queued image its bytes. The key manager hears of their key in whose name `token` is.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::ImageNotFound`], [`Error::Location`], [`Error::Denied`],
    /// [`Error::NotOwner`], [`Error::FormatsUnset`], and the store's and the database's.
    pub async fn location_add(
        &self,
        caller: &Caller,
        id: &ImageId,
        given: &Registration,
        token: Option<&Secret>,
    ) -> Result<()> {
        caller.may_change()?;
        for _ in 0..ATTEMPTS_MAX {
            let queued = self.load(caller, id, Error::ImageNotFound).await?;
            if queued.status != Status::Queued {
                return Err(Refusal::Status {
                    action: "add",
                    status: queued.status,
                }
                .into());
            }
            let rule = Rule::AddImageLocation;
            self.allow(rule, caller, &queued)?;
            if !caller.owns(&queued) {
                return Err(Error::NotOwner);
            }
            self.check_registration(caller, given).await?;
            if queued.properties.contains_key(import::LOCK) {
                return Err(Refusal::ActiveTask.into());
            }
            let task = task::begun(caller, LOCATION_IMPORT, Some(id.clone()), given.input(id));
            let (after, job) = self.registered(&queued, given, task.id).await?;
            let ended = self.ended(Ok(json!({"image_id": id.as_str()})));
            let work = Work {
                task: &task,
                rest: job.as_ref().map_or(Rest::Nothing(&ended), Rest::Job),
            };
            match self.save_located(&queued, &after, Some(&work)).await {
                Ok(()) => {
                    info!(request.id = caller.request_id, image.id = %id, url = location::shown(&given.url), status = %after.status, "Registered a location of an image");
                    self.job_added.notify_one();
                    self.need_key(&after, token).await;
                    return Ok(());
                }
                Err(db::Error::Taken) => return Err(Refusal::Unusable.into()),
                // Another request changed the status meanwhile: judge again by what it is now.
                Err(db::Error::Conflict) => {}
                Err(db::Error::NotFound) => return Err(Error::ImageNotFound(id.clone())),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict)
    }

    /// Where the image's bytes are; not those that rest encrypted, which nobody else can read there.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], [`Error::Denied`].
    pub async fn locations_show(&self, caller: &Caller, id: &ImageId) -> Result<Vec<Location>> {
        let image = self.load(caller, id, Error::ImageNotFound).await?;
        let rule = Rule::FetchImageLocation;
        self.allow(rule, caller, &image)?;
        // Glance reads none of a deactivated image, whoever asks but an administrator.
        if image.status == Status::Deactivated && !caller.is_admin {
            return Ok(Vec::new());
        }
        let mut locations = image.locations;
        let encrypts = |location: &Location| {
            let store = self.store_of(location);
            store.is_some_and(|store| self.settings.encrypts(store.id()))
        };
        locations
            .retain(|location| location.status == LocationStatus::Active && !encrypts(location));
        Ok(locations)
    }

    async fn check_registration(&self, caller: &Caller, given: &Registration) -> Result<()> {
        let reads_web = || self.stores.iter().any(|store| store.kind() == "http");
        let may = caller.is_service() || (given.url.starts_with("http") && reads_web());
        if !may {
            return Err(Refusal::NotForUsers.into());
        }
        if let Some((algorithm, value)) = &given.digest {
            validation::check_digest(*algorithm, value)?;
        }
        match &self.web {
            Some(web) if is_of_web(&given.url) && web.check(&given.url).await.is_err() => {
                Err(Refusal::Filtered(given.url.clone()).into())
            }
            _ => Ok(()),
        }
    }

    /// The image with its location, and what is still to be done to it.
    async fn registered(
        &self,
        queued: &Image,
        given: &Registration,
        task: TaskId,
    ) -> Result<(Image, Option<NewJob>)> {
        self.expect(queued)?;
        let location = NewLocation {
            url: given.url.clone(),
            metadata: Map::new(),
            validation: Vec::new(),
        };
        let mut image = queued.clone();
        self.add(&mut image, usize::MAX, &location).await?;
        image.updated_at = now();
        let verify = self.settings.do_secure_hash && given.digest.is_some();
        image.status = queued.status.transition(match verify {
            true => Status::Importing,
            false => Status::Active,
        })?;
        let named = given.digest.as_ref().map(|(algorithm, _)| *algorithm);
        let algorithm = named.unwrap_or(self.settings.hashing_algorithm);
        let value = given.digest.as_ref().map(|(_, value)| value.clone());
        if named.is_some() || self.settings.do_secure_hash {
            image.os_hash_algo = Some(algorithm.to_string());
        }
        if !self.settings.do_secure_hash {
            image.os_hash_value = value;
            return Ok((image, None));
        }
        let input = DigestInput {
            url: given.url.clone(),
            algorithm: algorithm.to_string(),
            expected: value,
        };
        let job = NewJob {
            id: task,
            kind: JobKind::Digest,
            image: queued.id.clone(),
            input: input.to_json(),
        };
        Ok((image, Some(job)))
    }
}

/// Whether it is a location of an `http` store.
pub(in crate::control) fn is_of_web(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}
