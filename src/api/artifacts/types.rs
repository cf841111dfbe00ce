//! `/schemas`: what the types of artifacts hold.

use serde_json::{Map, Value, json};

use super::{Api, Call, Result, typed};
use crate::{
    api::operation::{Answer, Content, Operation},
    http::Response,
};

const MEDIA_TYPE: &str = "application/schema+json; charset=UTF-8";

const SCHEMAS: Content = Content {
    media_type: "application/schema+json",
    schema: "ArtifactSchemas",
};

pub(in crate::api) const LIST: Operation = Operation::new(
    "List the types of artifacts",
    "With the schema of each.",
    &[Answer::with(
        200,
        "The schemas, by the types' names.",
        SCHEMAS,
    )],
    &[403, 406],
);

/// `GET /schemas`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let types = api.control.artifact_types(&call.caller)?;
    let schemas = types.map(|kind| (kind.name.clone(), kind.schema.clone()));
    Ok(schemas_of(schemas.collect()))
}

pub(in crate::api) const SHOW: Operation = Operation::new(
    "Show a type of artifacts",
    "",
    &[Answer::with(200, "Its schema, by its name.", SCHEMAS)],
    &[403, 404, 406],
);

/// `GET /schemas/{type}`.
pub async fn show(api: &Api, call: Call) -> Result<Response> {
    drop(api.control.artifact_types(&call.caller)?);
    let kind = api.control.artifact_type(&call.params[0])?;
    let schemas = [(kind.name.clone(), kind.schema.clone())];
    Ok(schemas_of(schemas.into_iter().collect()))
}

fn schemas_of(schemas: Map<String, Value>) -> Response {
    typed(&json!({"schemas": schemas}), MEDIA_TYPE)
}
