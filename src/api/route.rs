//! Which handler answers a path and a method, and what is answered when none does (reference
//! A.1.3).

use ::http::{HeaderValue, Method, StatusCode, header};
use futures_util::future::BoxFuture;

use super::{Api, Call, Error, Result, operation::Operation};
use crate::http::{Body, Response};

/// Answers one kind of request.
pub(super) type HandlerFn = for<'a> fn(&'a Api, Call) -> BoxFuture<'a, Result<Response>>;

/// A [`HandlerFn`] and its name, `module::function`.
pub(super) struct Responder {
    pub(super) name: &'static str,
    pub(super) call: HandlerFn,
}

/// Makes a [`Responder`] of an `async fn`.
macro_rules! to {
    ($handler:path) => {
        route::Responder {
            name: stringify!($handler),
            call: |api, call| Box::pin($handler(api, call)),
        }
    };
}
pub(super) use to;

/// A path and who answers it.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) endpoints: &'static [Endpoint],
    /// Whether other methods are refused with 405, or the path is then as if it were not there.
    strict: bool,
    /// Whether the last parameter is all that is left of the path, slashes and all.
    deep: bool,
}

/// A method of a path.
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    pub(super) responder: Responder,
    /// What it promises.
    pub(super) operation: Operation,
    /// Refuses a request body.
    bare: bool,
}

impl Route {
    /// `{name}` in the path stands for any one segment.
    pub(super) const fn new(path: &'static str, endpoints: &'static [Endpoint]) -> Self {
        Self {
            path,
            endpoints,
            strict: true,
            deep: false,
        }
    }

    /// One whose last parameter may have slashes.
    pub(super) const fn deep(path: &'static str, endpoints: &'static [Endpoint]) -> Self {
        Self {
            deep: true,
            ..Self::new(path, endpoints)
        }
    }

    /// One of the few for which Glance forgot to refuse other methods.
    pub(super) const fn lax(path: &'static str, endpoints: &'static [Endpoint]) -> Self {
        Self {
            strict: false,
            ..Self::new(path, endpoints)
        }
    }

    fn captures(&self, path: &str) -> Option<Vec<String>> {
        if !self.deep {
            return captures(self.path, path);
        }
        let depth = self.path.split('/').count() - 1;
        let parts: Vec<&str> = path.splitn(depth, '/').collect();
        let (last, first) = parts.split_last()?;
        let (pattern, _) = self.path.rsplit_once('/')?;
        let mut params = captures(pattern, &first.join("/"))?;
        params.push((*last).to_owned());
        (!last.is_empty()).then_some(params)
    }

    fn allow(&self) -> String {
        let methods: Vec<&str> = self.endpoints.iter().map(|e| e.method).collect();
        methods.join(", ")
    }
}

impl Endpoint {
    /// With a body, or with one that does not matter.
    pub(super) const fn new(
        method: &'static str,
        responder: Responder,
        operation: Operation,
    ) -> Self {
        Self {
            method,
            responder,
            operation,
            bare: false,
        }
    }

    /// Without a body.
    pub(super) const fn bare(
        method: &'static str,
        responder: Responder,
        operation: Operation,
    ) -> Self {
        Self {
            bare: true,
            ..Self::new(method, responder, operation)
        }
    }
}

/// Calls who answers `path`, which is without the version. Also says which route it was.
pub(super) async fn dispatch(
    api: &Api,
    routes: &'static [Route],
    mut call: Call,
    path: &str,
) -> (&'static str, Result<Response>) {
    if path.is_empty() {
        return ("/v2", redirect(&call));
    }
    let path = path.trim_start_matches('/');
    let found = routes
        .iter()
        .find_map(|route| Some((route, route.captures(path)?)));
    let Some((route, params)) = found else {
        return ("unknown", Err(unknown(&call)));
    };
    let method = &call.head.method;
    let Some(endpoint) = route.endpoints.iter().find(|e| *method == e.method) else {
        let error = if route.strict {
            Error::MethodNotAllowed {
                allow: route.allow(),
            }
        } else {
            unknown(&call)
        };
        return (route.path, Err(error));
    };
    if endpoint.bare && call.has_body() {
        return (route.path, Err(Error::BodyUnexpected));
    }
    call.params = params;
    (route.path, (endpoint.responder.call)(api, call).await)
}

/// The method as a metric's label: no client can make up new ones.
pub(super) fn label(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("other")
}

/// The segments that `{name}` stands for, if the path has the pattern.
fn captures(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut params = Vec::new();
    let mut segments = path.split('/');
    for expected in pattern.split('/').skip(1) {
        let segment = segments.next()?;
        if expected.starts_with('{') && !segment.is_empty() {
            params.push(segment.to_owned());
        } else if expected != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(params)
}

fn unknown(call: &Call) -> Error {
    match label(&call.head.method) {
        "other" => Error::NotImplemented,
        _ => Error::NotFound,
    }
}

/// `/v2` alone.
fn redirect(call: &Call) -> Result<Response> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let kind = HeaderValue::from_static("text/plain; charset=utf8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(header::LOCATION, call.absolute("/v2/"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::{Route, captures};

    #[test]
    fn the_last_parameter_of_a_deep_route_has_slashes() {
        let route = Route::deep("/artifacts/{type}/{blob}/{key}", &[]);
        let found = route.captures("artifacts/images/b/one/two").unwrap();
        assert_eq!(found, ["images", "b", "one/two"]);
        assert!(route.captures("artifacts/images/b").is_none());
        assert!(route.captures("artifacts/images/b/").is_none());
    }

    #[test]
    fn a_parameter_is_one_segment_that_is_not_empty() {
        let pattern = "/images/{image}/tags/{tag}";
        let found = captures(pattern, "images/a/tags/b c").unwrap();
        assert_eq!(found, ["a", "b c"]);
        assert!(captures(pattern, "images//tags/b").is_none());
        assert!(captures(pattern, "images/a/tags/b/").is_none());
        assert!(captures(pattern, "images/a/tags").is_none());
    }
}
