//! `/v2/images/{id}/tags/{tag}` (reference A.6).

use serde_json::{Map, json};

use super::done;
use crate::{
    api::{
        Api, Call, Error, Result,
        operation::{Answer, Operation},
    },
    http::Response,
};

pub(in crate::api) const ADD: Operation = Operation::new(
    "Tag an image",
    "",
    &[Answer::empty(204, "The image has the tag.")],
    &[403, 404, 409, 413],
);

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

pub(in crate::api) const REMOVE: Operation = Operation::new(
    "Take a tag off an image",
    "",
    &[Answer::empty(204, "The image does not have the tag.")],
    &[403, 404, 409],
);

/// `DELETE`.
pub async fn remove(api: &Api, call: Call) -> Result<Response> {
    let tag = &call.params[1];
    api.control
        .tag_remove(&call.caller, &call.image_id(), tag)
        .await?;
    Ok(done())
}
