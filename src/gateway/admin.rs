//! The node's own cache, for whoever may open its socket: the paths of Glance's cache API (reference
//! A.10), with nobody's token and no policy in front of them.

use std::sync::Arc;

use ::http::{HeaderValue, Method, StatusCode, header, request::Parts};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{Gateway, Route, end, permit::Permit};
use crate::{
    cache::{Cache, Shown},
    client::upstream,
    http::{self, Access, Body, Handler, Request, Response},
    model::ImageId,
};

const CLEAR_TARGET: &str = "x-image-cache-clear-target";

/// Answers on the socket.
#[derive(Debug)]
pub struct Admin {
    gateway: Arc<Gateway>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("The resource could not be found.")]
    NoPath,
    #[error("The target of a clear is cache or queue")]
    Target,
    #[error("Only images with status active can be targeted for queueing")]
    Uncacheable,
    #[error("Too many images wait to be cached.")]
    QueueFull,
    #[error("The node has erred.")]
    Crashed,
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
}

impl Admin {
    /// Of this node.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }

    async fn answer(&self, head: &Parts) -> Result<Response, Error> {
        let path = head.uri.path().strip_prefix("/v2/cache");
        let path = path.ok_or(Error::NoPath)?;
        match (&head.method, path) {
            (&Method::GET, "") => Ok(self.list()),
            (&Method::DELETE, "") => self.clear(head).await,
            (&Method::POST, "/clean") => self.clean().await,
            (&Method::POST, "/prune") => self.prune().await,
            (&Method::PUT, path) => self.queue(&image(path)?).await,
            (&Method::DELETE, path) => self.forget(image(path)?).await,
            _ => Err(Error::NoPath),
        }
    }

    fn list(&self) -> Response {
        let entries = self.gateway.cache.images();
        let cached = entries.iter().filter(|shown| shown.is_whole());
        let cached: Vec<Value> = cached.map(Shown::document).collect();
        let queued = self.gateway.queue.images();
        let queued: Vec<&str> = queued.iter().map(ImageId::as_str).collect();
        document(&json!({"cached_images": cached, "queued_images": queued}))
    }

    async fn clear(&self, head: &Parts) -> Result<Response, Error> {
        let target = head.headers.get(CLEAR_TARGET).map(HeaderValue::as_bytes);
        let target = target.unwrap_or_default().to_ascii_lowercase();
        let (cache, queue) = match target.as_slice() {
            b"" => (true, true),
            b"cache" => (true, false),
            b"queue" => (false, true),
            _ => return Err(Error::Target),
        };
        if queue {
            self.gateway.queue.clear();
        }
        if cache {
            self.on_disk(|cache| cache.clear()).await?;
        }
        Ok(bare(StatusCode::NO_CONTENT))
    }

    /// The upstream is asked first, so that a mistake is told to who made it.
    async fn queue(&self, image: &ImageId) -> Result<Response, Error> {
        if self.gateway.cache.has(image) {
            return Ok(bare(StatusCode::ACCEPTED));
        }
        match self.gateway.own_permit(image).await?.1 {
            Permit::Granted(..) if self.gateway.queue.add(image) => Ok(bare(StatusCode::ACCEPTED)),
            Permit::Granted(..) => Err(Error::QueueFull),
            Permit::Past(_) => Err(Error::Uncacheable),
            Permit::Refused(response) => Ok(response),
        }
    }

    async fn forget(&self, image: ImageId) -> Result<Response, Error> {
        let is_there = self.gateway.queue.has(&image);
        self.gateway.queue.remove(&image);
        let removed = self.on_disk(move |cache| cache.remove(&image)).await?;
        match is_there || removed.entries > 0 {
            true => Ok(bare(StatusCode::NO_CONTENT)),
            false => Err(Error::NoPath),
        }
    }

    async fn clean(&self) -> Result<Response, Error> {
        let stall = self.gateway.settings.stall;
        self.on_disk(move |cache| cache.clean(stall)).await?;
        Ok(bare(StatusCode::OK))
    }

    async fn prune(&self) -> Result<Response, Error> {
        let removed = self.on_disk(|cache| cache.prune()).await?;
        Ok(document(&json!({
            "total_files_pruned": removed.entries,
            "total_bytes_pruned": removed.bytes,
        })))
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(Cache) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let cache = self.gateway.cache.clone();
        let done = spawn_blocking(move || work(cache)).await;
        done.map_err(|_| Error::Crashed)
    }
}

#[async_trait]
impl Handler for Admin {
    async fn handle(&self, request: Request) -> Response {
        let (access, head) = (Access::of(&request), request.head);
        let accept = head.headers.get(header::ACCEPT);
        let mut response = self.answer(&head).await.unwrap_or_else(|error| {
            let status = match &error {
                Error::NoPath => StatusCode::NOT_FOUND,
                Error::Target | Error::Uncacheable => StatusCode::BAD_REQUEST,
                Error::QueueFull => StatusCode::SERVICE_UNAVAILABLE,
                Error::Crashed => StatusCode::INTERNAL_SERVER_ERROR,
                Error::Upstream(error) => return self.gateway.unavailable(error, accept),
            };
            let accept = accept.and_then(|accept| accept.to_str().ok());
            http::error::render(status, &error.to_string(), "", accept)
        });
        end(access, Route::Admin, &mut response);
        response
    }
}

/// The image that a path ends with.
fn image(path: &str) -> Result<ImageId, Error> {
    let image = path.strip_prefix('/').map(ImageId::new);
    let image = image.filter(ImageId::is_uuid_shaped);
    image.ok_or(Error::NoPath)
}

fn document(value: &Value) -> Response {
    let mut response = Response::new(Body::full(value.to_string()));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
