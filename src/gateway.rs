//! The cache node: in front of any image service, with no database of its own. Image data comes from
//! this node's disk, everything else passes.
//!
//! The upstream decides about every download, with the caller's own token, before a byte is sent: what
//! is on the disk is nobody's to have who could not have it from there. What the upstream refuses, it
//! refuses in its own words.

mod admin;
mod download;
mod origin;
mod pass;
mod permit;
mod prefetch;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::warn;

use crate::{
    base::seldom::Seldom,
    cache::{Cache, Queue},
    client::upstream::{self, Own, Upstream},
    data::digest::Engine,
    http::{self, Access, Handler, Request, Response},
    model::ImageId,
};
use permit::Permits;

pub use admin::Admin;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Images whose upstream is known to give no ranges.
const SEQUENTIAL_MAX: usize = 4096;

/// What the operator decides about the node.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// For how long the upstream's yes to a download is a yes; 0 asks each time.
    pub access_cache: Duration,
    /// An image that is only there in part may stand still so long before `clean` removes it.
    pub stall: Duration,
    /// Images that are fetched before anybody asks, and stay, as far as there is room.
    pub kept: Vec<ImageId>,
    /// Where the node answers for its own cache; none is nowhere.
    pub admin_socket: Option<PathBuf>,
}

/// Answers for an upstream.
#[derive(Debug)]
pub struct Gateway {
    upstream: Upstream,
    own: Own,
    cache: Cache,
    queue: Queue,
    engine: Engine,
    permits: Permits,
    /// Shared with the origins that learn it.
    sequential: Arc<Mutex<HashSet<ImageId>>>,
    /// Images that are asked for while their permission is.
    beginnings: Mutex<HashMap<ImageId, watch::Receiver<()>>>,
    settings: Settings,
    /// The upstream could not be asked.
    away: Seldom,
}

/// Which way a request took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Download,
    Pass,
    Admin,
}

impl Gateway {
    /// In front of `upstream`, to which we are `own` where nobody has asked us.
    pub fn new(
        upstream: Upstream,
        own: Own,
        cache: Cache,
        engine: Engine,
        settings: Settings,
    ) -> Self {
        Self {
            permits: Permits::new(settings.access_cache),
            upstream,
            own,
            cache,
            queue: Queue::default(),
            engine,
            sequential: Arc::default(),
            beginnings: Mutex::default(),
            settings,
            away: Seldom::new(),
        }
    }

    /// The upstream is down: its clients know what that means.
    fn unavailable(&self, error: &upstream::Error, accept: Option<&HeaderValue>) -> Response {
        if let Some(times) = self.away.times() {
            warn!(%error, times, "The upstream cannot be asked");
        }
        let accept = accept.and_then(|accept| accept.to_str().ok());
        let text = "The image service behind this node does not answer.";
        let mut response = http::error::render(StatusCode::SERVICE_UNAVAILABLE, text, "", accept);
        let later = HeaderValue::from_static("10");
        response.headers_mut().insert(header::RETRY_AFTER, later);
        response
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
        let access = Access::of(&request);
        let accept = request.head.headers.get(header::ACCEPT).cloned();
        let (route, answer) = self.answer(request).await;
        let failed = |error| self.unavailable(&error, accept.as_ref());
        let mut response = answer.unwrap_or_else(failed);
        end(access, route, &mut response);
        response
    }
}

/// The access log, which has the request's id at the upstream, and the counters.
fn end(mut access: Access, route: Route, response: &mut Response) {
    let name = match route {
        Route::Download => "/images/{image}/file",
        Route::Pass => "upstream",
        Route::Admin => "admin",
    };
    let labels = [
        ("route", name.to_owned()),
        ("status", response.status().as_str().to_owned()),
    ];
    metrics::counter!("fresnel_node_requests_total", &labels).increment(1);
    metrics::histogram!("fresnel_node_request_seconds", "route" => name).record(access.seconds());
    let id = response.headers().get(&REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok());
    access.request_id = id.map(str::to_owned);
    access.follow(response);
}
