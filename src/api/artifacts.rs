//! Glare's API (reference J.2): `/artifacts`, `/schemas`, `/quotas` and `/project-quotas`, beside the images
//! on the same listener, where the operator has turned artifacts on.

pub mod blobs;
mod fault;
mod microversion;
mod query;
pub mod quotas;
pub mod records;
pub mod types;
mod view;

use ::http::{HeaderName, HeaderValue, StatusCode, header, request::Parts, uri::Scheme};
use serde_json::{Value, json};

use super::{
    Api, Asked, Call, Error, REQUEST_ID, Result,
    route::{self, Endpoint, Route, to},
    versions::first_segment,
};
use crate::{
    control::{self, artifact::Refusal},
    http::{Access, Body, RequestBody, Response},
};
use microversion::Microversion;

/// Every route, and what each promises.
#[rustfmt::skip]
pub(super) const ROUTES: &[Route] = &[
    Route::new("/schemas", &[
        Endpoint::bare("GET", to!(types::list), types::LIST),
    ]),
    Route::new("/schemas/{type}", &[
        Endpoint::bare("GET", to!(types::show), types::SHOW),
    ]),
    Route::new("/artifacts/{type}", &[
        Endpoint::bare("GET", to!(records::list), records::LIST),
        Endpoint::new("POST", to!(records::create), records::CREATE),
    ]),
    Route::new("/artifacts/{type}/{artifact}", &[
        Endpoint::bare("GET", to!(records::show), records::SHOW),
        Endpoint::new("PATCH", to!(records::update), records::UPDATE),
        Endpoint::bare("DELETE", to!(records::delete), records::DELETE),
    ]),
    Route::new("/artifacts/{type}/{artifact}/{blob}", &[
        Endpoint::bare("GET", to!(blobs::download), blobs::DOWNLOAD),
        Endpoint::new("PUT", to!(blobs::upload), blobs::UPLOAD),
        Endpoint::new("DELETE", to!(blobs::delete), blobs::DELETE),
    ]),
    Route::deep("/artifacts/{type}/{artifact}/{blob}/{key}", &[
        Endpoint::bare("GET", to!(blobs::download_of_folder), blobs::DOWNLOAD_OF_FOLDER),
        Endpoint::new("PUT", to!(blobs::upload_to_folder), blobs::UPLOAD_TO_FOLDER),
        Endpoint::new("DELETE", to!(blobs::delete_of_folder), blobs::DELETE_OF_FOLDER),
    ]),
    Route::new("/quotas", &[
        Endpoint::bare("GET", to!(quotas::list), quotas::LIST),
        Endpoint::new("PUT", to!(quotas::set), quotas::SET),
    ]),
    Route::new("/project-quotas", &[
        Endpoint::bare("GET", to!(quotas::own), quotas::OWN),
    ]),
    Route::new("/project-quotas/{project}", &[
        Endpoint::bare("GET", to!(quotas::of_project), quotas::OF_PROJECT),
    ]),
];

/// What their paths begin with.
const ROOTS: [&str; 4] = ["artifacts", "schemas", "quotas", "project-quotas"];

const API_VERSION: HeaderName = HeaderName::from_static("openstack-api-version");

/// Whether a path is one of ours.
pub(super) fn serves(api: &Api, path: &str) -> bool {
    api.control.settings.artifacts.enabled && ROOTS.contains(&first_segment(path))
}

/// Answers a path of ours. Also says which route it was.
pub(super) async fn answer(
    api: &Api,
    mut head: Parts,
    body: RequestBody,
    scheme: Scheme,
    path: &str,
    access: &mut Access,
) -> (&'static str, Response) {
    if path.trim_matches('/') == "artifacts" {
        return ("/artifacts", microversion::document());
    }
    let asked = Asked::of(&head);
    let version = match Microversion::of(&head.headers) {
        Ok(version) => version,
        Err(refusal) => {
            let error = Error::Control(control::Error::Artifact(refusal));
            return ("/artifacts", fault::render(&error, &asked, access.id()));
        }
    };
    let (caller, token) = match api.caller(&mut head, path, access).await {
        Ok(known) => known,
        Err(error) => return ("/artifacts", fault::render(&error, &asked, access.id())),
    };
    let call = Call::new(caller, token, head, body, scheme);
    let (route, result) = route::dispatch(api, ROUTES, call, path).await;
    let mut response = result.unwrap_or_else(|error| fault::render(&error, &asked, access.id()));
    let headers = response.headers_mut();
    headers.insert(API_VERSION, version.header());
    headers.append(
        header::VARY,
        HeaderValue::from_static("OpenStack-API-Version"),
    );
    if let Ok(value) = HeaderValue::from_str(access.id()) {
        headers.insert(REQUEST_ID, value);
    }
    (route, response)
}

/// A JSON document, 200.
fn json_of(document: &Value) -> Response {
    typed(document, "application/json; charset=UTF-8")
}

fn typed(document: &Value, media_type: &'static str) -> Response {
    let mut response = Response::new(Body::full(document.to_string()));
    let kind = HeaderValue::from_static(media_type);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn created(document: &Value) -> Response {
    let mut response = json_of(document);
    *response.status_mut() = StatusCode::CREATED;
    response
}

/// The body must say that it is of a media type.
fn expect_media_type(call: &Call, expected: &'static str) -> Result<()> {
    let given = media_type(call)?;
    match given == expected {
        true => Ok(()),
        false => Err(refuse(Refusal::MediaType {
            given: given.to_owned(),
            expected,
        })),
    }
}

/// What the body says that it is.
fn media_type(call: &Call) -> Result<&str> {
    match call.content_type() {
        "" => Err(invalid("Content-Type must be specified.")),
        given => Ok(given),
    }
}

fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    refuse(Refusal::invalid(text))
}

fn refuse(refusal: Refusal) -> Error {
    Error::Control(control::Error::Artifact(refusal))
}

/// What a document of errors has beside the text.
fn error_document(
    code: StatusCode,
    title: &str,
    explanation: &str,
    text: &str,
    kind: &str,
) -> Value {
    json!({
        "code": code.as_u16(),
        "title": title,
        "explanation": explanation,
        "message": text,
        "error": {"message": text, "type": kind},
    })
}
