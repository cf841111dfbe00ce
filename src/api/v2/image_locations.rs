//! `/v2/images/{id}/locations`: bytes that a service has put into a store itself (reference A.5.6).

use serde_json::{Map, Value};

use super::{accepted, json};
use crate::{
    api::{
        Api, Call, Error, Result,
        operation::{Answer, Content, Operation},
        view,
    },
    control::location::Registration,
    http::Response,
    model::HashAlgorithm,
};

pub(in crate::api) const LIST: Operation = Operation::new(
    "List the locations of an image",
    "For services and administrators.",
    &[Answer::ok("Locations", "Where the data is.")],
    &[403, 404],
);

/// `GET`: a list, without anything around it.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    let locations = api.control.locations_show(&call.caller, &id).await?;
    Ok(json(view::locations(&locations)))
}

pub(in crate::api) const ADD: Operation = Operation::new(
    "Add a location",
    "Registers bytes that are in a store already as the data of a `queued` image. Its digests may come later, by a task.",
    &[Answer::empty(202, "The image has the location.")],
    &[403, 404, 409, 413],
)
.takes(&[Content::json("NewLocation")]);

/// `POST`: 202 once the image has the location. Its digests may still be to come.
pub async fn add(api: &Api, mut call: Call) -> Result<Response> {
    let mut body = call.json(api.settings.task_body_limit_bytes).await?;
    // Cinder sends the metadata of its own location here; what it says of the store, we know.
    if let Some(Value::Object(data)) = body.get_mut("validation_data") {
        data.shift_remove("store");
    }
    let checked = api.schemas.validate_registration(body.clone());
    checked.map_err(|violation| Error::schema_of("location", violation))?;
    let id = call.image_id();
    let given = registration(&body);
    let token = call.token.as_ref();
    let added = api.control.location_add(&call.caller, &id, &given, token);
    added.await?;
    Ok(accepted())
}

/// Of a body that the schema has accepted.
fn registration(body: &Value) -> Registration {
    let nothing = Map::new();
    let data = body["validation_data"].as_object().unwrap_or(&nothing);
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let algorithm: Option<HashAlgorithm> = text("os_hash_algo").and_then(|name| name.parse().ok());
    Registration {
        url: body["url"].as_str().unwrap_or_default().to_owned(),
        digest: algorithm.zip(text("os_hash_value").map(str::to_owned)),
    }
}
