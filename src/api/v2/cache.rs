//! `/v2/cache`: what this node keeps of images on its own disk (reference A.10).

use ::http::{HeaderName, StatusCode};
use serde_json::{Value, json as value};

use super::{accepted, done, json};
use crate::{
    api::{Api, Call, Error, Result},
    control::cache::{CacheState, Clear, ImageCache, Shown},
    http::Response,
    model::ImageId,
};

const CLEAR_TARGET: HeaderName = HeaderName::from_static("x-image-cache-clear-target");

/// `GET /v2/cache`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let state = api.control.cache_list(&call.caller)?;
    let (cached, queued) = (cached(&state), queued(&state));
    Ok(document(
        &value!({"cached_images": cached, "queued_images": queued}),
    ))
}

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

/// `PUT /v2/cache/{image}`.
pub async fn queue(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    api.control.cache_image(&call.caller, &id).await?;
    Ok(accepted())
}

/// `DELETE /v2/cache/{image}`.
pub async fn forget(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    api.control.cache_forget(&call.caller, &id).await?;
    Ok(done())
}

/// `GET /v2/cache/nodes/{image}`.
pub async fn nodes(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    let nodes = api.control.cache_nodes(&call.caller, &id).await?;
    Ok(document(&value!(nodes)))
}

/// `POST /v2/cache/clean`.
pub async fn clean(api: &Api, call: Call) -> Result<Response> {
    api.control.cache_clean(&call.caller).await?;
    let mut response = done();
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

/// `POST /v2/cache/prune`.
pub async fn prune(api: &Api, call: Call) -> Result<Response> {
    let removed = api.control.cache_prune(&call.caller).await?;
    Ok(document(&value!({
        "total_files_pruned": removed.entries,
        "total_bytes_pruned": removed.bytes,
    })))
}

/// `GET /v2/cached_images`.
pub async fn old_cached(api: &Api, call: Call) -> Result<Response> {
    let state = by_old_paths(api, &call)?.state();
    Ok(document(&value!({"cached_images": cached(&state)})))
}

/// `DELETE /v2/cached_images`.
pub async fn old_clear_cached(api: &Api, call: Call) -> Result<Response> {
    let deleted = by_old_paths(api, &call)?.clear(Clear::Cache).await?;
    Ok(document(&value!({"num_deleted": deleted})))
}

/// `DELETE /v2/cached_images/{image}`.
pub async fn old_forget(api: &Api, call: Call) -> Result<Response> {
    by_old_paths(api, &call)?.forget(&call.image_id()).await?;
    Ok(document(&Value::Null))
}

/// `GET /v2/queued_images`.
pub async fn old_queued(api: &Api, call: Call) -> Result<Response> {
    let state = by_old_paths(api, &call)?.state();
    Ok(document(&value!({"queued_images": queued(&state)})))
}

/// `DELETE /v2/queued_images`.
pub async fn old_clear_queued(api: &Api, call: Call) -> Result<Response> {
    let deleted = by_old_paths(api, &call)?.clear(Clear::Queue).await?;
    Ok(document(&value!({"num_deleted": deleted})))
}

/// `PUT /v2/queued_images/{image}`, which need not be one.
pub async fn old_queue(api: &Api, call: Call) -> Result<Response> {
    by_old_paths(api, &call)?.queue(&call.image_id())?;
    Ok(document(&Value::Null))
}

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
