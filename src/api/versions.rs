//! The versions document and the choice of a version by path or `Accept` (reference A.1.2).

use ::http::{HeaderValue, StatusCode, header, request::Parts, uri::Scheme};
use serde_json::{Value, json};

use super::{Api, extract, proxy::Prefix};
use crate::http::{Body, Response};

/// `Accept` with this beginning chooses the version, and the path has none.
const MEDIA_TYPE: &str = "application/vnd.openstack.images-";

/// The minor versions that work, in Glance's order. Left out are those whose promise is not kept
/// yet: 2.14, 2.16 and 2.18 (the cache). Clients look for these before they use them.
const MULTISTORE: [&str; 16] = [
    "v2.15", "v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8", CURRENT, "v2.7", "v2.6", "v2.5",
    "v2.4", "v2.3", "v2.2", "v2.1", "v2.0",
];

/// 2.8 and 2.10 to 2.13 are multi-store mode's.
const SINGLE_STORE: [&str; 11] = [
    "v2.15", "v2.9", CURRENT, "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0",
];

/// The newest: the location API.
const CURRENT: &str = "v2.17";

fn listed(api: &Api) -> &'static [&'static str] {
    if api.control.settings.multistore {
        &MULTISTORE
    } else {
        &SINGLE_STORE
    }
}

/// The document.
pub(super) fn document(api: &Api, head: &Parts, scheme: &Scheme, status: StatusCode) -> Response {
    let base = match &api.settings.public_endpoint {
        Some(endpoint) => endpoint.clone(),
        None => {
            let prefix = head.extensions.get::<Prefix>();
            let prefix = prefix.map_or("", |prefix| prefix.0.as_str());
            format!("{}{prefix}", extract::origin(head, scheme))
        }
    };
    let href = format!("{}/v2/", base.trim_end_matches('/'));
    let versions = listed(api).iter().map(|id| {
        let status = if *id == CURRENT {
            "CURRENT"
        } else {
            "SUPPORTED"
        };
        json!({"id": id, "status": status, "links": [{"rel": "self", "href": href}]})
    });
    let document = json!({"versions": versions.collect::<Vec<Value>>()});
    let mut response = Response::new(Body::full(document.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The path without its version, if the request names one that is served.
pub(super) fn negotiate<'a>(api: &Api, head: &Parts, path: &'a str) -> Option<&'a str> {
    let accept = head.headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let (version, rest) = match accept.and_then(|accept| accept.strip_prefix(MEDIA_TYPE)) {
        Some(version) => (version, path),
        None => {
            let version = first_segment(path);
            let path = path.trim_start_matches('/');
            (version, &path[version.len()..])
        }
    };
    (version == "v2" || listed(api).contains(&version)).then_some(rest)
}

/// What stands before the second slash.
pub(super) fn first_segment(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    path.split('/').next().unwrap_or_default()
}
