//! `/v2/openapi.json`: the reference of this API. Not Glance's, which has nothing there.

use super::json;
use crate::{
    api::{
        Api, Call, Result,
        operation::{Answer, Operation},
    },
    http::Response,
};

pub(in crate::api) const DOCUMENT: Operation = Operation::new(
    "Show this reference",
    "An OpenAPI 3.1 document, written from the table that routes, with the formats of this site.",
    &[Answer::ok("Reference", "The document.")],
    &[],
);

/// `GET /v2/openapi.json`.
pub async fn document(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.openapi.clone()))
}
