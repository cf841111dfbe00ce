//! `/v2/metadefs` (reference A.11), one file a resource.

pub mod namespaces;
pub mod objects;
mod params;
pub mod properties;
mod property;
pub mod resource_types;
pub mod tags;
mod view;

use ::http::StatusCode;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::json;
use crate::{
    api::{
        Api, Call, Error, Result,
        operation::{Parameter, Shape},
        schema::metadef::Form,
    },
    http::Response,
};

const LIMIT: Parameter = Parameter::query("limit", Shape::WholeOrEmpty, "How many at most.");
const MARKER: Parameter = Parameter::query(
    "marker",
    Shape::Text,
    "The name of the last one of the page before.",
);
/// Of what is in a namespace.
const UNHEEDED_VISIBILITY: Parameter = Parameter::query(
    "visibility",
    Shape::OneOf(&["", "public", "private", "shared"]),
    "Is checked and heeded no further.",
);

/// What only we set, of what tells its own address.
const READ_ONLY: [&str; 4] = ["self", "schema", "created_at", "updated_at"];
/// What only we set.
const READ_ONLY_TIMES: [&str; 2] = ["created_at", "updated_at"];

/// The body of a request as an object that the form takes.
async fn body(
    api: &Api,
    call: &mut Call,
    form: &Form,
    read_only: &[&str],
) -> Result<Map<String, Value>> {
    let Value::Object(body) = call.json(api.settings.json_body_limit_bytes).await? else {
        return Err(Error::BodyScalar);
    };
    if let Some(name) = read_only.iter().find(|name| body.contains_key(**name)) {
        return Err(Error::Forbidden(format!(
            "Attribute '{name}' is read-only."
        )));
    }
    check(form, &body)?;
    Ok(body)
}

fn check(form: &Form, object: &Map<String, Value>) -> Result<()> {
    let checked = form.validate(object);
    checked.map_err(|violation| Error::schema_of(&form.name, violation))
}

/// A text of an object that the form has taken.
fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn document(value: Value) -> Bytes {
    value.to_string().into()
}

/// Made, 201.
fn created(document: Bytes) -> Response {
    let mut response = json(document);
    *response.status_mut() = StatusCode::CREATED;
    response
}

/// The path's namespace.
fn namespace(call: &Call) -> &str {
    &call.params[0]
}

/// What the path names in it.
fn name(call: &Call) -> &str {
    &call.params[1]
}
