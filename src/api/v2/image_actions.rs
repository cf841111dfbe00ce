//! `POST /v2/images/{id}/actions/...` (reference A.4.7).

use super::done;
use crate::{
    api::{
        Api, Call, Result,
        operation::{Answer, Operation},
    },
    http::Response,
};

pub(in crate::api) const DEACTIVATE: Operation = Operation::new(
    "Deactivate an image",
    "From then on only administrators download it.",
    &[Answer::empty(204, "It is deactivated.")],
    &[403, 404, 409],
);

/// `.../deactivate`.
pub async fn deactivate(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    api.control.image_deactivate(&call.caller, &id).await?;
    Ok(done())
}

pub(in crate::api) const REACTIVATE: Operation = Operation::new(
    "Reactivate an image",
    "",
    &[Answer::empty(204, "It is active.")],
    &[403, 404, 409],
);

/// `.../reactivate`.
pub async fn reactivate(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    api.control.image_reactivate(&call.caller, &id).await?;
    Ok(done())
}
