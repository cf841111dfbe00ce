//! `POST /v2/images/{id}/actions/...` (reference A.4.7).

use super::done;
use crate::{
    api::{Api, Call, Result},
    http::Response,
};

/// `.../deactivate`.
pub async fn deactivate(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    api.control.image_deactivate(&call.caller, &id).await?;
    Ok(done())
}

/// `.../reactivate`.
pub async fn reactivate(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    api.control.image_reactivate(&call.caller, &id).await?;
    Ok(done())
}
