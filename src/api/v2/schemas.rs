//! `/v2/schemas` (reference A.3.2).

use super::json;
use crate::{
    api::{Api, Call, Result},
    http::Response,
};

/// `GET /v2/schemas/image`.
pub async fn image(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.image.clone()))
}

/// `GET /v2/schemas/images`.
pub async fn images(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.images.clone()))
}

/// `GET /v2/schemas/member`.
pub async fn member(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.member.clone()))
}

/// `GET /v2/schemas/members`.
pub async fn members(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.members.clone()))
}
