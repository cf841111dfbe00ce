//! `/v2/schemas` (reference A.3.2).

use super::{discovery::protections, json};
use crate::{
    api::{Api, Call, Result},
    http::Response,
};

/// `GET /v2/schemas/image`.
pub async fn image(api: &Api, call: Call) -> Result<Response> {
    Ok(json(match protections(api, &call.caller) {
        None => api.schemas.image.clone(),
        Some(rules) => api.schemas.protected(rules).0,
    }))
}

/// `GET /v2/schemas/images`.
pub async fn images(api: &Api, call: Call) -> Result<Response> {
    Ok(json(match protections(api, &call.caller) {
        None => api.schemas.images.clone(),
        Some(rules) => api.schemas.protected(rules).1,
    }))
}

/// `GET /v2/schemas/member`.
pub async fn member(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.member.clone()))
}

/// `GET /v2/schemas/task`.
pub async fn task(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.task.clone()))
}

/// `GET /v2/schemas/tasks`.
pub async fn tasks(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.tasks.clone()))
}

/// `GET /v2/schemas/members`.
pub async fn members(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.members.clone()))
}
