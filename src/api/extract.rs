//! What handlers take out of a request, parsed once.

use ::http::{HeaderName, HeaderValue, Method, header, request::Parts, uri::Scheme};
use serde_json::Value;

use super::{Error, Result};
use crate::{
    base::secret::Secret,
    control::Caller,
    http::{RequestBody, request::ReadError},
    model::ImageId,
};

/// The transfer codings with which a request has a body, by Glance.
const BODY_CODINGS: [&str; 5] = ["chunked", "compress", "deflate", "gzip", "identity"];

/// A request that found its handler.
#[derive(Debug)]
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    /// The token with which it asks, for other workers of this service and the key manager alone.
    pub(super) token: Option<Secret>,
    /// Method, target, headers.
    pub head: Parts,
    /// Still on the wire.
    pub body: RequestBody,
    /// By the connection.
    pub scheme: Scheme,
    /// What the route's `{...}` stand for, decoded.
    pub params: Vec<String>,
}

impl Call {
    pub(super) fn new(
        caller: Caller,
        token: Option<Secret>,
        head: Parts,
        body: RequestBody,
        scheme: Scheme,
    ) -> Self {
        Self {
            caller,
            token,
            head,
            body,
            scheme,
            params: Vec::new(),
        }
    }

    /// The path's first parameter, on the routes under `/images/{image}`.
    pub fn image_id(&self) -> ImageId {
        ImageId::new(self.params[0].as_str())
    }

    /// A header's text, if it has one.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// `Content-Type` without its parameters; empty when there is none.
    pub fn content_type(&self) -> &str {
        let value = self.header(&header::CONTENT_TYPE).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }

    /// Whether the request has a body, by its headers (reference A.1.3).
    pub fn has_body(&self) -> bool {
        let method = &self.head.method;
        let may_have = [Method::POST, Method::PUT, Method::PATCH].contains(method);
        let coding = self
            .header(&header::TRANSFER_ENCODING)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let length = self.header(&header::CONTENT_LENGTH);
        (may_have && BODY_CODINGS.contains(&coding.as_str()))
            || length.and_then(|text| text.parse().ok()) > Some(0_u64)
    }

    /// The body as a JSON array or object. Its `Content-Type` does not matter.
    pub async fn json(&mut self, limit_bytes: usize) -> Result<Value> {
        if !self.has_body() {
            return Err(Error::BodyMissing);
        }
        let read = self.body.read_to_limit(limit_bytes).await;
        let bytes = read.map_err(|error| match error {
            ReadError::TooLarge { .. } => Error::BodyTooLarge,
            ReadError::Broken(cause) => Error::BodyBroken(cause),
        })?;
        json(&bytes)
    }

    /// An absolute address on the host that the client asked.
    pub fn absolute(&self, path: &str) -> HeaderValue {
        let address = format!("{}{path}", origin(&self.head, &self.scheme));
        HeaderValue::from_str(&address).unwrap_or_else(|_| HeaderValue::from_static("/"))
    }
}

/// A JSON array or object.
///
/// # Errors
/// [`Error::BodyMalformed`], [`Error::BodyScalar`].
pub fn json(bytes: &[u8]) -> Result<Value> {
    match serde_json::from_slice(bytes) {
        Ok(value @ (Value::Array(_) | Value::Object(_))) => Ok(value),
        Ok(_) => Err(Error::BodyScalar),
        Err(_) => Err(Error::BodyMalformed),
    }
}

/// `scheme://host` as the client wrote it.
pub(super) fn origin(head: &Parts, scheme: &Scheme) -> String {
    let host = head.headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let authority = || head.uri.authority().map(|authority| authority.as_str());
    format!(
        "{scheme}://{}",
        host.or_else(authority).unwrap_or("localhost")
    )
}
