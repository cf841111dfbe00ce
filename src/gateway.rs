//! The cache node: in front of any image service, with no database of its own. Image data comes from
//! this node's disk, everything else passes.
//!
//! The upstream decides about every download, with the caller's own token, before a byte is sent: what
//! is on the disk is nobody's to have who could not have it from there. What the upstream refuses, it
//! refuses in its own words.

mod download;
mod origin;
mod pass;
mod permit;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use ::http::{HeaderValue, Method, StatusCode, header};
use async_trait::async_trait;
use parking_lot::Mutex;
use tracing::{info, warn};

use crate::{
    cache::Cache,
    client::upstream::{self, Upstream},
    data::digest::Engine,
    http::{self, Handler, Request, Response},
    model::ImageId,
};
use permit::Permits;

/// Images whose upstream is known to give no ranges.
const SEQUENTIAL_MAX: usize = 4096;

/// What the operator decides about the node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// For how long the upstream's yes to a download is a yes; 0 asks each time.
    pub access_cache: Duration,
}

/// Answers for an upstream.
#[derive(Debug)]
pub struct Gateway {
    upstream: Upstream,
    cache: Cache,
    engine: Engine,
    permits: Permits,
    /// Shared with the origins that learn it.
    sequential: Arc<Mutex<HashSet<ImageId>>>,
}

/// Which way a request took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Download,
    Pass,
}

impl Gateway {
    /// In front of `upstream`.
    pub fn new(upstream: Upstream, cache: Cache, engine: Engine, settings: Settings) -> Self {
        Self {
            permits: Permits::new(settings.access_cache),
            upstream,
            cache,
            engine,
            sequential: Arc::default(),
        }
    }

    async fn answer(&self, request: Request) -> (Route, Result<Response, upstream::Error>) {
        match download::Asked::of(&request.head) {
            Some(asked) => (Route::Download, self.download(asked, request).await),
            None => (Route::Pass, self.pass(request).await),
        }
    }
}

#[async_trait]
impl Handler for Gateway {
    async fn handle(&self, request: Request) -> Response {
        let started = Instant::now();
        let (method, path) = (
            request.head.method.clone(),
            request.head.uri.path().to_owned(),
        );
        let accept = request.head.headers.get(header::ACCEPT).cloned();
        let (route, answer) = self.answer(request).await;
        let response = answer.unwrap_or_else(|error| {
            warn!(%error, "The upstream cannot be asked");
            unavailable(accept.as_ref())
        });
        record(&method, &path, route, &response, started);
        response
    }
}

/// The upstream is down: its clients know what that means.
fn unavailable(accept: Option<&HeaderValue>) -> Response {
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let text = "The image service behind this node does not answer.";
    let mut response = http::error::render(StatusCode::SERVICE_UNAVAILABLE, text, "", accept);
    let later = HeaderValue::from_static("10");
    response.headers_mut().insert(header::RETRY_AFTER, later);
    response
}

/// The access log and the counters. The query is not logged: it may hold secrets.
fn record(method: &Method, path: &str, route: Route, response: &Response, started: Instant) {
    let elapsed = started.elapsed();
    let status = response.status();
    let name = match route {
        Route::Download => "/images/{image}/file",
        Route::Pass => "upstream",
    };
    let labels = [
        ("route", name.to_owned()),
        ("status", status.as_str().to_owned()),
    ];
    metrics::counter!("fresnel_node_requests_total", &labels).increment(1);
    metrics::histogram!("fresnel_node_request_seconds", "route" => name)
        .record(elapsed.as_secs_f64());
    let (status, ms) = (status.as_u16(), elapsed.as_secs_f64() * 1000.0);
    info!(target: "fresnel::access", { status, ms }, "{method} {path}");
}
