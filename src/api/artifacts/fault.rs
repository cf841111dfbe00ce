//! Errors as Glare tells them: always JSON, whatever the request accepts.

use ::http::{HeaderValue, StatusCode, header};

use super::{
    super::error::Told,
    Asked, Error, Refusal, control, error_document,
    microversion::{NEWEST, OLDEST},
};
use crate::http::{Body, Response, error::title};

pub(super) fn render(error: &Error, asked: &Asked, request_id: &str) -> Response {
    let Told {
        status,
        explanation,
        text,
        header: extra,
    } = error.tell(asked, request_id);
    let text = if text.is_empty() {
        explanation.as_str()
    } else {
        text.as_str()
    };
    let kind = kind(error, status);
    let mut document = error_document(status, title(status), &explanation, text, kind);
    if let Error::Control(control::Error::Artifact(Refusal::ApiVersion(_))) = error {
        document["min_version"] = OLDEST.into();
        document["max_version"] = NEWEST.into();
    }
    let mut response = Response::new(Body::full(document.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("application/json; charset=UTF-8");
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.extend(extra);
    response
}

/// The name of Glare's exception.
fn kind(error: &Error, status: StatusCode) -> &'static str {
    if let Error::Control(control::Error::Artifact(refusal)) = error {
        match refusal {
            Refusal::UnknownType(_) => return "TypeNotFound",
            Refusal::NotFound(_) => return "ArtifactNotFound",
            Refusal::Denied(_) => return "PolicyException",
            Refusal::ApiVersion(_) => return "InvalidGlobalAPIVersion",
            _ => {}
        }
    }
    match status {
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::UNAUTHORIZED => "Unauthorized",
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLarge",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UnsupportedMediaType",
        StatusCode::RANGE_NOT_SATISFIABLE => "RequestRangeNotSatisfiable",
        _ => "GlareException",
    }
}
