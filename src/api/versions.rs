//! The versions document and the choice of a version by path or `Accept` (reference A.1.2).

use ::http::{HeaderValue, StatusCode, header, request::Parts, uri::Scheme};
use serde_json::{Value, json};

use super::{Api, extract, proxy::Prefix};
use crate::http::{Body, Response};

/// `Accept` with this beginning chooses the version, and the path has none.
const MEDIA_TYPE: &str = "application/vnd.openstack.images-";

/// The minor versions, in Glance's order: by cache, by stores, and the rest.
const WITH_CACHE: [&str; 5] = ["v2.18", "v2.17", "v2.16", "v2.15", "v2.14"];
const WITHOUT_CACHE: [&str; 1] = ["v2.15"];
const MULTISTORE: [&str; 6] = ["v2.13", "v2.12", "v2.11", "v2.10", "v2.9", "v2.8"];
const SINGLE_STORE: [&str; 1] = ["v2.9"];
const ALWAYS: [&str; 8] = [
    "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0",
];

/// The newest but for the cache's: the location API.
const LOCATIONS: &str = "v2.17";

/// The versions of this site, and the newest of them.
fn listed(api: &Api) -> (Vec<&'static str>, &'static str) {
    let has_cache = api.control.cache.is_some();
    let by_cache: &[&str] = match has_cache {
        true => &WITH_CACHE,
        false => &WITHOUT_CACHE,
    };
    let by_stores: &[&str] = match api.control.settings.multistore {
        true => &MULTISTORE,
        false => &SINGLE_STORE,
    };
    let (late, current): (&[&str], _) = match has_cache {
        true => (&[], WITH_CACHE[0]),
        false => (&[LOCATIONS], LOCATIONS),
    };
    ([by_cache, by_stores, late, &ALWAYS].concat(), current)
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
    let (ids, current) = listed(api);
    let versions = ids.into_iter().map(|id| {
        let status = if id == current {
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
    (version == "v2" || listed(api).0.contains(&version)).then_some(rest)
}

/// What stands before the second slash.
pub(super) fn first_segment(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    path.split('/').next().unwrap_or_default()
}
