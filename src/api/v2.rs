//! Handlers, one file a resource: parse, ask control, render.

pub mod cache;
pub mod discovery;
pub mod fresnel;
pub mod image_actions;
pub mod image_data;
pub mod image_import;
pub mod image_locations;
pub mod image_members;
pub mod image_tags;
pub mod images;
pub mod metadefs;
pub mod reference;
pub mod schemas;
pub mod stores;
pub mod tasks;

use ::http::{HeaderValue, StatusCode, header};
use bytes::Bytes;

use crate::http::{Body, Response};

/// A JSON document, 200.
pub(super) fn json(document: Bytes) -> Response {
    let mut response = Response::new(Body::full(document));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Nothing, 204.
pub(super) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Begun, 202.
pub(super) fn accepted() -> Response {
    let mut response = done();
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// Done, 204; of a type nevertheless, which is webob's for whatever has no other.
pub(super) fn done() -> Response {
    let mut response = no_content();
    let kind = HeaderValue::from_static("text/html; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
