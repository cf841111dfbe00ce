//! `/v2/cache`: what this node keeps of images on its own disk (reference A.10).

use ::http::{HeaderName, StatusCode};
use serde_json::{Value, json as value};

use super::{accepted, done, json};
use crate::{
    api::{
        Api, Call, Error, Result,
        operation::{Answer, Operation, Parameter, Shape},
    },
    control::cache::{CacheState, Clear, ImageCache, Shown},
    http::Response,
    model::ImageId,
};

const CLEAR_TARGET: HeaderName = HeaderName::from_static("x-image-cache-clear-target");

pub(in crate::api) const LIST: Operation = Operation::new(
    "List what is cached",
    "",
    &[Answer::ok(
        "Cache",
        "The images that are there as a whole, and those that wait.",
    )],
    &[403, 404],
);

/// `GET /v2/cache`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let state = api.control.cache_list(&call.caller)?;
    let (cached, queued) = (cached(&state), queued(&state));
    Ok(document(
        &value!({"cached_images": cached, "queued_images": queued}),
    ))
}

pub(in crate::api) const CLEAR: Operation = Operation::new(
    "Clear the cache",
    "",
    &[Answer::empty(204, "It is done.")],
    &[403, 404],
)
.reads(&[Parameter::header(
    "X-Image-Cache-Clear-Target",
    Shape::OneOf(&["", "cache", "queue"]),
    "Only what is cached, or only what waits.",
)]);

/// `DELETE /v2/cache`.
pub async fn clear(api: &Api, call: Call) -> Result<Response> {
    let images = api.control.cache_may_clear(&call.caller)?;
    let target = call.header(&CLEAR_TARGET).unwrap_or_default();
    let what = match target.to_lowercase().as_str() {
        "" => Clear::Everything,
        "cache" => Clear::Cache,
        "queue" => Clear::Queue,
        _ => return Err(Error::CacheTarget),
    };
    images.clear(what).await?;
    Ok(done())
}

pub(in crate::api) const QUEUE: Operation = Operation::new(
    "Cache an image",
    "",
    &[Answer::empty(202, "It waits to be cached.")],
    &[403, 404, 405],
);

/// `PUT /v2/cache/{image}`.
pub async fn queue(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    api.control.cache_image(&call.caller, &id).await?;
    Ok(accepted())
}

pub(in crate::api) const FORGET: Operation = Operation::new(
    "Cache an image no more",
    "",
    &[Answer::empty(204, "It is neither cached nor waits.")],
    &[403, 404, 405],
);

/// `DELETE /v2/cache/{image}`.
pub async fn forget(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    api.control.cache_forget(&call.caller, &id).await?;
    Ok(done())
}

pub(in crate::api) const NODES: Operation = Operation::new(
    "List the nodes that cache an image",
    "",
    &[Answer::ok("CacheNodes", "Their addresses.")],
    &[403, 404, 409],
);

/// `GET /v2/cache/nodes/{image}`.
pub async fn nodes(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    let nodes = api.control.cache_nodes(&call.caller, &id).await?;
    Ok(document(&value!(nodes)))
}

pub(in crate::api) const CLEAN: Operation = Operation::new(
    "Clean the cache",
    "Removes what is of no use: what is damaged, and what broke off.",
    &[Answer::empty(200, "It is done.")],
    &[403, 404],
);

/// `POST /v2/cache/clean`.
pub async fn clean(api: &Api, call: Call) -> Result<Response> {
    api.control.cache_clean(&call.caller).await?;
    let mut response = done();
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

pub(in crate::api) const PRUNE: Operation = Operation::new(
    "Prune the cache",
    "Removes what is beyond `image_cache_max_size`.",
    &[Answer::ok("Pruned", "What was removed.")],
    &[403, 404],
);

/// `POST /v2/cache/prune`.
pub async fn prune(api: &Api, call: Call) -> Result<Response> {
    let removed = api.control.cache_prune(&call.caller).await?;
    Ok(document(&value!({
        "total_files_pruned": removed.entries,
        "total_bytes_pruned": removed.bytes,
    })))
}

pub(in crate::api) const OLD_CACHED: Operation = Operation::new(
    "List what is cached, on the old path",
    "The old paths are there with the flavor `cachemanagement`.",
    &[Answer::ok("CachedImages", "The images.")],
    &[403, 404],
);

/// `GET /v2/cached_images`.
pub async fn old_cached(api: &Api, call: Call) -> Result<Response> {
    let state = by_old_paths(api, &call)?.state();
    Ok(document(&value!({"cached_images": cached(&state)})))
}

pub(in crate::api) const OLD_CLEAR_CACHED: Operation = Operation::new(
    "Remove all that is cached, on the old path",
    "",
    &[Answer::ok("Deleted", "How many.")],
    &[403, 404],
);

/// `DELETE /v2/cached_images`.
pub async fn old_clear_cached(api: &Api, call: Call) -> Result<Response> {
    let deleted = by_old_paths(api, &call)?.clear(Clear::Cache).await?;
    Ok(document(&value!({"num_deleted": deleted})))
}

pub(in crate::api) const OLD_FORGET: Operation = Operation::new(
    "Cache an image no more, on the old path",
    "",
    &[Answer::ok("Nothing", "It is done.")],
    &[403, 404],
);

/// `DELETE /v2/cached_images/{image}`.
pub async fn old_forget(api: &Api, call: Call) -> Result<Response> {
    by_old_paths(api, &call)?.forget(&call.image_id()).await?;
    Ok(document(&Value::Null))
}

pub(in crate::api) const OLD_QUEUED: Operation = Operation::new(
    "List what waits, on the old path",
    "",
    &[Answer::ok("QueuedImages", "Their ids.")],
    &[403, 404],
);

/// `GET /v2/queued_images`.
pub async fn old_queued(api: &Api, call: Call) -> Result<Response> {
    let state = by_old_paths(api, &call)?.state();
    Ok(document(&value!({"queued_images": queued(&state)})))
}

pub(in crate::api) const OLD_CLEAR_QUEUED: Operation = Operation::new(
    "Forget all that waits, on the old path",
    "",
    &[Answer::ok("Deleted", "How many.")],
    &[403, 404],
);

/// `DELETE /v2/queued_images`.
pub async fn old_clear_queued(api: &Api, call: Call) -> Result<Response> {
    let deleted = by_old_paths(api, &call)?.clear(Clear::Queue).await?;
    Ok(document(&value!({"num_deleted": deleted})))
}

pub(in crate::api) const OLD_QUEUE: Operation = Operation::new(
    "Cache an image, on the old path",
    "",
    &[Answer::ok("Nothing", "It is done.")],
    &[403, 404],
);

/// `PUT /v2/queued_images/{image}`, which need not be one.
pub async fn old_queue(api: &Api, call: Call) -> Result<Response> {
    by_old_paths(api, &call)?.queue(&call.image_id())?;
    Ok(document(&Value::Null))
}

pub(in crate::api) const OLD_UNQUEUE: Operation = Operation::new(
    "Forget an image that waits, on the old path",
    "",
    &[Answer::ok("Nothing", "It is done.")],
    &[403, 404],
);

/// `DELETE /v2/queued_images/{image}`.
pub async fn old_unqueue(api: &Api, call: Call) -> Result<Response> {
    by_old_paths(api, &call)?.unqueue(&call.image_id());
    Ok(document(&Value::Null))
}

/// The cache, where its old paths are.
fn by_old_paths<'a>(api: &'a Api, call: &Call) -> Result<&'a ImageCache> {
    let images = api.control.cache_by_old_paths(&call.caller)?;
    images.ok_or(Error::NotFound)
}

fn cached(state: &CacheState) -> Vec<Value> {
    state.cached.iter().map(Shown::document).collect()
}

fn queued(state: &CacheState) -> Vec<&str> {
    state.queued.iter().map(ImageId::as_str).collect()
}

fn document(value: &Value) -> Response {
    json(value.to_string().into())
}
