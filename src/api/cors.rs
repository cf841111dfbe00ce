//! Cross-origin requests, as oslo.middleware's `cors` filter answers them.

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};

use crate::http::{Body, Response};

/// `[cors]`. Without an origin nothing is added to any response.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    /// Origins that may read; `*` is any.
    pub allowed_origin: Vec<String>,
    /// Whether they may send credentials.
    pub allow_credentials: bool,
    /// Response headers that they may read.
    pub expose_headers: Vec<String>,
    /// Seconds for which a browser remembers a preflight; 0 is not said.
    pub max_age_seconds: u32,
    /// Methods that they may use.
    pub allow_methods: Vec<String>,
    /// Request headers that they may send.
    pub allow_headers: Vec<String>,
}

/// Request headers that anybody may send.
const SIMPLE_HEADERS: [&str; 8] = [
    "Accept",
    "Accept-Language",
    "Content-Type",
    "Cache-Control",
    "Content-Language",
    "Expires",
    "Last-Modified",
    "Pragma",
];

/// What a request says of where it comes from.
#[derive(Debug)]
pub(super) struct Asked {
    preflight: bool,
    origin: HeaderValue,
    method: Option<HeaderValue>,
    headers: Vec<String>,
}

impl Cors {
    /// What there is to answer; none for a request of no other origin.
    pub(super) fn asked(&self, head: &Parts) -> Option<Asked> {
        if self.allowed_origin.is_empty() {
            return None;
        }
        let origin = head.headers.get(header::ORIGIN)?.clone();
        let method = head.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
        let headers = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let headers = headers.and_then(|value| value.to_str().ok());
        let headers = headers.unwrap_or_default().split(',').map(str::trim);
        Some(Asked {
            preflight: head.method == Method::OPTIONS,
            origin,
            method: method.cloned(),
            headers: headers
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// Adds what a browser wants to read.
    pub(super) fn decorate(&self, asked: &Asked, response: &mut Response) {
        if asked.preflight && !response.status().is_success() {
            *response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::OK;
        }
        let Some(origin) = self.origin(&asked.origin) else {
            return;
        };
        if asked.preflight {
            self.allow(asked, origin, response.headers_mut());
        } else {
            self.share(origin, response.headers_mut());
        }
    }

    /// The origin as the answer names it, if it is allowed.
    fn origin(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let listed = |wanted: &[u8]| {
            let mut allowed = self.allowed_origin.iter();
            allowed.any(|allowed| allowed.as_bytes() == wanted)
        };
        if listed(origin.as_bytes()) {
            return Some(origin.clone());
        }
        listed(b"*").then(|| HeaderValue::from_static("*"))
    }

    /// The answer to a preflight, if all that it asks for is allowed.
    fn allow(&self, asked: &Asked, origin: HeaderValue, headers: &mut HeaderMap) {
        let Some(method) = &asked.method else {
            return;
        };
        let known = |method: &HeaderValue| {
            let mut allowed = self.allow_methods.iter();
            allowed.any(|allowed| allowed.as_bytes() == method.as_bytes())
        };
        let allowed = |name: &String| {
            let mut listed = self
                .allow_headers
                .iter()
                .map(String::as_str)
                .chain(SIMPLE_HEADERS);
            listed.any(|listed| listed.eq_ignore_ascii_case(name))
        };
        if !known(method) || !asked.headers.iter().all(allowed) {
            return;
        }
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        self.name(origin, headers);
        if self.max_age_seconds > 0 {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age_seconds.into());
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        insert(
            headers,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            &asked.headers,
        );
    }

    /// The headers of any other answer.
    fn share(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        let vary = match headers
            .get(header::VARY)
            .and_then(|vary| vary.to_str().ok())
        {
            Some(vary) => format!("{vary},Origin"),
            None => "Origin".to_owned(),
        };
        insert(headers, header::VARY, &[vary]);
        self.name(origin, headers);
        insert(
            headers,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            &self.expose_headers,
        );
    }

    fn name(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.allow_credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
}

/// Several values as one; nothing for none.
fn insert(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if values.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(values.join(",")) {
        headers.insert(name, value);
    }
}
