//! `/healthcheck`, outside authentication and versions, as oslo.middleware answers it.

use ::http::{HeaderValue, Method, StatusCode, header, request::Parts};

use crate::http::{Body, Response, accept};

const HTML: &str = "<HTML>\n<HEAD><TITLE>Healthcheck Status</TITLE></HEAD>\n<BODY>\n\n<H2>Result of \
                    1 checks:</H2>\n<TABLE bgcolor=\"#ffffff\" border=\"1\">\n<TBODY>\n<TR>\n\n<TH>\n\
                    Reason\n</TH>\n</TR>\n<TR>\n\n    <TD>OK</TD>\n\n</TR>\n</TBODY>\n</TABLE>\n\
                    <HR></HR>\n\n</BODY>\n</HTML>";

const JSON: &str = "{\n    \"detailed\": false,\n    \"reasons\": [\n        \"OK\"\n    ]\n}";

/// The process answers, so it is well.
pub(super) fn answer(head: &Parts) -> Response {
    if head.method == Method::HEAD {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return response;
    }
    let asked = head.headers.get(header::ACCEPT);
    let asked = asked.and_then(|value| value.to_str().ok());
    let offers = ["text/plain", "text/html", "application/json"];
    let (kind, body) = match accept::preferred(asked, &offers) {
        Some("text/html") => ("text/html; charset=UTF-8", HTML),
        Some("application/json") => ("application/json", JSON),
        _ => ("text/plain; charset=UTF-8", "OK"),
    };
    let mut response = Response::new(Body::full(body));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
