//! `/v2/images/{id}/tags/{tag}` (reference A.6).

use serde_json::{Map, json};

use super::done;
use crate::{
    api::{Api, Call, Error, Result},
    http::Response,
};

/// `PUT`.
pub async fn add(api: &Api, call: Call) -> Result<Response> {
    let tag = &call.params[1];
    let part = Map::from_iter([("tags".to_owned(), json!([tag]))]);
    api.schemas.validate(&part).map_err(Error::schema)?;
    api.control
        .tag_add(&call.caller, &call.image_id(), tag)
        .await?;
    Ok(done())
}

/// `DELETE`.
pub async fn remove(api: &Api, call: Call) -> Result<Response> {
    let tag = &call.params[1];
    api.control
        .tag_remove(&call.caller, &call.image_id(), tag)
        .await?;
    Ok(done())
}
