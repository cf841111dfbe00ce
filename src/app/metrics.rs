//! `/metrics` in Prometheus' text format, on its own listener.

use std::net::SocketAddr;

use ::http::{
    Method, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};
use async_trait::async_trait;

use crate::{
    base::telemetry::Metrics,
    http::{self, Body, Handler, Request, Response},
};

/// Where the page is.
pub(super) fn listener(address: SocketAddr) -> http::Config {
    http::Config {
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        ..http::Config::default()
    }
}

/// Answers `GET /metrics`.
#[derive(Debug)]
pub(super) struct Page {
    metrics: Metrics,
}

impl Page {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

#[async_trait]
impl Handler for Page {
    async fn handle(&self, request: Request) -> Response {
        if request.head.uri.path() != "/metrics" {
            return status(StatusCode::NOT_FOUND);
        }
        if request.head.method != Method::GET {
            let mut refusal = status(StatusCode::METHOD_NOT_ALLOWED);
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
            return refusal;
        }
        let mut page = Response::new(Body::full(self.metrics.render()));
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        page.headers_mut().insert(CONTENT_TYPE, kind);
        page
    }
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
