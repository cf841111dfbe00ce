//! The request: Glance's checks in its order, then one transaction.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tracing::{info, warn};
use uuid::Uuid;

use super::{LOCK, Method, Refusal, Remote, Web, progress};
use crate::{
    base::secret::Secret,
    control::{
        Caller, Control, Error, Result, Rule,
        db::{self, Bounds, ImportStart, JobKind, NewJob, Reservation, Stored},
        image::{ATTEMPTS_MAX, now},
        job::{ImportInput, RemoteInput},
        stage::STAGE_HOST,
        task,
    },
    model::{Image, ImageId, Status, StoreId, Task, TaskId, TaskStatus, task::API_IMAGE_IMPORT},
};

/// A lock whose task has not been heard of for so long is no lock any more.
const LOCK_LASTS: TimeDelta = TimeDelta::minutes(60);

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The image.
    pub image: ImageId,
    /// How.
    pub method: Method,
    /// From where, where the method asks for that.
    pub web: Option<Web>,
    /// From which image of another service, where the method asks for that.
    pub remote: Option<Remote>,
    /// With which token others are asked for the client.
    pub token: Option<Secret>,
    /// `stores`.
    pub stores: Option<Vec<String>>,
    /// `all_stores`.
    pub all_stores: bool,
    /// `all_stores_must_succeed`.
    pub must_succeed: bool,
    /// The header `x-image-meta-store`.
    pub store: Option<String>,
    /// All that was asked for, for the task.
    pub body: Value,
}

/// What comes of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// A task does it, or there is nothing to do.
    Here,
    /// The data is staged on this worker, who is to be asked.
    Elsewhere(String),
}

/// A lock that is to be broken.
struct Stale {
    lock: String,
    task: Option<Task>,
}

impl Control {
    /// Begins an import.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::LimitExceeded`], [`Error::ImageNotFound`], [`Error::Import`],
    /// [`Error::Denied`], [`Error::NotOwner`], [`Error::Status`].
    pub async fn import(&self, caller: &Caller, request: &ImportRequest) -> Result<Begun> {
        caller.may_change()?;
        self.refuse_full(caller).await?;
        for _ in 0..ATTEMPTS_MAX {
            let image = self.load(caller, &request.image, Error::ImageNotFound);
            let image = image.await?;
            self.check_target(caller, &image, request)?;
            let stale = self.stale_lock(&image).await?;
            let stores = self.targets(&image, request)?;
            if stores.is_empty() && request.method == Method::CopyImage && request.all_stores {
                return Ok(Begun::Here);
            }
            if !request.must_succeed && !self.settings.multistore {
                let uri = request.web.as_ref().map(|web| web.uri.clone());
                return Err(Refusal::SingleStore(uri).into());
            }
            if let (Method::GlanceDirect, Some(host)) = (request.method, self.stage_host(&image)) {
                return Ok(Begun::Elsewhere(host));
            }
            self.check_address(request).await?;
            match self.record(caller, &image, request, &stores, stale).await {
                Ok(()) => {
                    info!(request.id = caller.request_id, image.id = %image.id, method = request.method.as_str(), "An import begins");
                    self.job_added.notify_one();
                    if request.method != Method::CopyImage {
                        self.need_key(&image, request.token.as_ref()).await;
                    }
                    return Ok(Begun::Here);
                }
                // Another request changed the status meanwhile: judge again by what it is now.
                Err(Error::Db(db::Error::Conflict)) => {}
                Err(Error::Db(db::Error::NotFound)) => return Err(Error::ImageNotFound(image.id)),
                Err(Error::Db(db::Error::Locked)) => {
                    return Err(Refusal::Overtaken(image.id).into());
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict)
    }

    /// Refuses a project that has more in stores than it may already.
    async fn refuse_full(&self, caller: &Caller) -> Result<()> {
        let Some(bounds) = self.bounds(caller).await? else {
            return Ok(());
        };
        let Some(Stored::ImageSizeTotal { limit_mib }) = bounds.stored else {
            return Ok(());
        };
        let used = self.db.usage(bounds.project.as_ref()).await?;
        let usage = (used.stored_bytes + used.reserved_bytes) >> 20;
        if usage <= limit_mib {
            return Ok(());
        }
        Err(Error::LimitExceeded {
            project: bounds.project,
            resource: db::IMAGE_SIZE_TOTAL,
            limit: limit_mib,
            usage,
            delta: 0,
        })
    }

    fn check_target(&self, caller: &Caller, image: &Image, request: &ImportRequest) -> Result<()> {
        let (method, status) = (request.method, image.status);
        match (method, status) {
            (Method::CopyImage, Status::Active) => {}
            (Method::CopyImage, _) => return Err(Refusal::NotActive.into()),
            (_, Status::Active) => return Err(Refusal::Active.into()),
            (Method::WebDownload | Method::GlanceDownload, Status::Queued)
            | (Method::GlanceDirect, Status::Uploading) => {}
            (Method::WebDownload | Method::GlanceDownload, _) => {
                return Err(Refusal::NotQueued(method).into());
            }
            (Method::GlanceDirect, _) => return Err(Refusal::NotStaged.into()),
        }
        for (name, format) in [
            ("container_format", &image.container_format),
            ("disk_format", &image.disk_format),
        ] {
            if format.as_deref().unwrap_or_default().is_empty() {
                return Err(Refusal::FormatUnset(name).into());
            }
        }
        if method == Method::GlanceDownload {
            check_remote(request.remote.as_ref())?;
        }
        match method {
            Method::CopyImage => self.allow(Rule::CopyImage, caller, image),
            Method::GlanceDirect | Method::WebDownload | Method::GlanceDownload => {
                self.allow(Rule::ModifyImage, caller, image)?;
                caller.owns(image).then_some(()).ok_or(Error::NotOwner)
            }
        }
    }

    /// Refuses an address that the operator's policy does not have fetched.
    async fn check_address(&self, request: &ImportRequest) -> Result<(), Refusal> {
        if request.method != Method::WebDownload {
            return Ok(());
        }
        let uri = request.web.as_ref().map(|web| web.uri.as_str());
        let refused = || Refusal::Address(uri.map(str::to_owned));
        let (Some(uri), Some(web)) = (uri, &self.web) else {
            return Err(refused());
        };
        web.check(uri).await.map_err(|_| refused())
    }

    /// The lock of a task that has not been heard of for too long; none where there is no lock.
    async fn stale_lock(&self, image: &Image) -> Result<Option<Stale>> {
        let Some(lock) = image.properties.get(LOCK) else {
            return Ok(None);
        };
        let lock = lock.clone().unwrap_or_default();
        let task = match lock.parse::<TaskId>() {
            Ok(id) => match self.db.task(id).await {
                Ok(task) => Some(task),
                Err(db::Error::NotFound) => None,
                Err(error) => return Err(error.into()),
            },
            Err(_) => None,
        };
        let is_alive = task.as_ref().is_some_and(|task| {
            let lasts = match task.status {
                TaskStatus::Pending => LOCK_LASTS * 2,
                _ => LOCK_LASTS,
            };
            now() - task.updated_at < lasts
        });
        if is_alive {
            return Err(Refusal::ActiveTask.into());
        }
        warn!(image.id = %image.id, task.id = lock, "The lock of an import that is not heard of any more is broken");
        Ok(Some(Stale { lock, task }))
    }

    /// Where the image is to go. Empty in single-store mode too, where nobody names the store.
    fn targets(&self, image: &Image, request: &ImportRequest) -> Result<Vec<StoreId>, Refusal> {
        if !self.settings.multistore {
            return match request.method {
                Method::CopyImage => Err(Refusal::Present(self.stores.default_id().clone())),
                _ => Ok(Vec::new()),
            };
        }
        let mut stores = self.chosen(request)?;
        if request.method != Method::CopyImage {
            return Ok(stores);
        }
        for present in image
            .locations
            .iter()
            .filter_map(|location| location.store())
        {
            let there = stores.iter().position(|store| *store == present);
            match there {
                Some(place) if request.all_stores => drop(stores.remove(place)),
                Some(_) => return Err(Refusal::Present(present)),
                None => {}
            }
        }
        Ok(stores)
    }

    fn chosen(&self, request: &ImportRequest) -> Result<Vec<StoreId>, Refusal> {
        let named = match (&request.stores, &request.store) {
            (Some(_), _) | (_, Some(_)) if request.all_stores => return Err(Refusal::AllAndSome),
            (Some(_), Some(_)) => return Err(Refusal::HeaderAndSome),
            (Some(names), None) => names.iter().map(|name| StoreId::new(name)).collect(),
            (None, Some(name)) => vec![StoreId::new(name)],
            (None, None) if request.all_stores => {
                let all = self.settings.stores.iter();
                return Ok(all
                    .filter(|store| !store.read_only)
                    .map(|store| store.id.clone())
                    .collect());
            }
            (None, None) => vec![self.stores.default_id().clone()],
        };
        let mut stores: Vec<StoreId> = Vec::new();
        for store in named {
            if !self.is_target(&store) {
                return Err(Refusal::UnknownStore(store));
            }
            if !stores.contains(&store) {
                stores.push(store);
            }
        }
        Ok(stores)
    }

    async fn record(
        &self,
        caller: &Caller,
        before: &Image,
        request: &ImportRequest,
        stores: &[StoreId],
        stale: Option<Stale>,
    ) -> Result<()> {
        let mut after = before.clone();
        after.updated_at = now();
        if let Some(Stale { task, .. }) = &stale {
            forget_progress(&mut after, task.as_ref());
        }
        let unbegun = after.clone();
        progress::begin(&mut after, stores);
        after.properties.remove(STAGE_HOST);
        if request.method != Method::CopyImage {
            after.status = before.status.transition(Status::Importing)?;
        }
        let task = new_task(caller, request, stores);
        let job = NewJob {
            id: task.id,
            kind: JobKind::Import,
            image: before.id.clone(),
            input: self.input(caller, before, request, stores).await.to_json(),
        };
        let preempted = self.ended(Err("Expired lock preempted".to_owned()));
        let narrow = narrow(request.method);
        let mut bounds = self.bounds(caller).await?.map(narrow);
        if let (Some(token), Some(_)) = (&request.token, &request.remote) {
            self.entrust(job.id, token).await?;
        }
        loop {
            let within = bounds.clone().map(|bounds| Reservation {
                bounds,
                size_bytes: before.size_bytes,
            });
            let begun = self.db.import_begin(ImportStart {
                before,
                after: &after,
                task: &task,
                job: &job,
                stale: stale.as_ref().map(|stale| db::Stale {
                    lock: &stale.lock,
                    task: stale.task.as_ref().map(|task| task.id),
                    ended: &preempted,
                }),
                within: within.as_ref(),
            });
            let Err(error) = begun.await else {
                return Ok(());
            };
            let error = match error {
                db::Error::OverQuota(_) => match self.try_again(&mut bounds, narrow, error).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                error => error.into(),
            };
            // A trust that was made goes with the sweep.
            self.held.forget(job.id);
            return match error {
                error @ Error::LimitExceeded { .. } => {
                    self.refused(before, unbegun, stores, task, error).await
                }
                error => Err(error),
            };
        }
    }

    async fn input(
        &self,
        caller: &Caller,
        image: &Image,
        request: &ImportRequest,
        stores: &[StoreId],
    ) -> ImportInput {
        let is_copy = request.method == Method::CopyImage;
        let certified = self.certified(image, request.token.as_ref(), is_copy);
        let remote = request.remote.as_ref().map(|remote| {
            let service = caller.image_services.iter().find(|service| {
                let region = remote.region.as_deref().unwrap_or_default();
                service.region.eq_ignore_ascii_case(region) && service.interface == remote.interface
            });
            RemoteInput {
                endpoint: service.map(|service| service.url.clone()),
                image: remote.image.clone().unwrap_or_default(),
                node: self.leases.node().to_string(),
            }
        });
        ImportInput {
            method: request.method,
            web: request.web.clone(),
            remote,
            stores: stores.iter().map(|s| s.as_str().to_owned()).collect(),
            must_succeed: request.must_succeed,
            project: caller.project.as_ref().map(|p| p.as_str().to_owned()),
            inject: self.injects(caller),
            creates: false,
            certified: certified.await,
        }
    }

    /// Whether the caller's images get the operator's properties.
    pub(in crate::control) fn injects(&self, caller: &Caller) -> bool {
        let inject = self.settings.import.plugins.inject.as_ref();
        inject.is_some_and(|inject| {
            let mut roles = caller.roles.iter();
            !roles.any(|role| inject.spared_roles.contains(role))
        })
    }

    /// A limit is in the way. Glance has answered by the time that it finds out: the task says so,
    /// and the image is as if nothing had been staged.
    async fn refused(
        &self,
        before: &Image,
        mut after: Image,
        stores: &[StoreId],
        task: Task,
        error: Error,
    ) -> Result<()> {
        progress::begin(&mut after, stores);
        progress::end(&mut after, stores);
        if before.status == Status::Uploading {
            self.unstage(&before.id).await?;
            after.properties.remove(STAGE_HOST);
            progress::requeue(&mut after);
        }
        let task = self.failed(task, error.to_string());
        Ok(self.db.import_refused(&task, before, &after).await?)
    }
}

/// What of a project's limits such an import may pass.
fn narrow(method: Method) -> fn(Bounds) -> Bounds {
    match method {
        Method::GlanceDirect => Bounds::of_staged_import,
        Method::WebDownload | Method::GlanceDownload | Method::CopyImage => Bounds::of_import,
    }
}

fn check_remote(remote: Option<&Remote>) -> Result<(), Refusal> {
    let region = remote.and_then(|remote| remote.region.as_ref());
    region.ok_or(Refusal::RemoteUnset("glance_region"))?;
    let image = remote.and_then(|remote| remote.image.as_ref());
    let image = image.ok_or(Refusal::RemoteUnset("glance_image_id"))?;
    match Uuid::try_parse(image) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::RemoteId(image.clone())),
    }
}

fn new_task(caller: &Caller, request: &ImportRequest, stores: &[StoreId]) -> Task {
    // In single-store mode Glance names the one store None.
    let backend: Vec<Value> = match stores {
        [] => vec![Value::Null],
        stores => stores.iter().map(|store| store.as_str().into()).collect(),
    };
    let input = json!({
        "image_id": request.image.as_str(),
        "import_req": request.body,
        "backend": backend,
    });
    task::begun(caller, API_IMAGE_IMPORT, Some(request.image.clone()), input)
}

/// What a task that is not heard of any more said of its stores.
fn forget_progress(image: &mut Image, task: Option<&Task>) {
    let Some(Value::Array(stores)) = task.map(|task| &task.input["backend"]) else {
        return;
    };
    let stores = stores.iter().filter_map(Value::as_str).map(StoreId::new);
    let stores: Vec<StoreId> = stores.collect();
    progress::begin(image, &stores);
    progress::end(image, &stores);
}
