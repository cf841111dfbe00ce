//! `/v2/fresnel`: what cache nodes ask. Not Glance's, which has nothing there.

use ::http::{HeaderName, HeaderValue};
use serde_json::json as value;

use super::{json, no_content};
use crate::{
    api::{
        Api, Call, Result,
        operation::{Answer, Operation, Parameter, Shape},
    },
    control::download::DownloadRequest,
    http::Response,
    model::RangeRequest,
};

/// Whether an image may be kept.
pub(super) const CACHEABLE: HeaderName = HeaderName::from_static("x-fresnel-cacheable");
const SIZE_BYTES: HeaderName = HeaderName::from_static("x-fresnel-size-bytes");
const DIGEST: HeaderName = HeaderName::from_static("x-fresnel-digest");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

const ACCESS_HEADERS: &[Parameter] = &[
    Parameter::header(
        "X-Fresnel-Cacheable",
        Shape::OneOf(&["true", "false"]),
        "Whether the image may be kept.",
    ),
    Parameter::header("X-Fresnel-Size-Bytes", Shape::Whole, "Its size."),
    Parameter::header(
        "X-Fresnel-Digest",
        Shape::Text,
        "Its digest: algorithm, colon, hexadecimal digits.",
    ),
    Parameter::header(
        "Content-MD5",
        Shape::Text,
        "Its MD5, in hexadecimal digits.",
    ),
];

pub(in crate::api) const ABOUT: Operation = Operation::new(
    "Tell Fresnel from Glance",
    "Which has nothing here.",
    &[Answer::ok("About", "What serves.")],
    &[],
);

/// `GET /v2/fresnel`: tells us from Glance.
pub async fn about(_: &Api, _: Call) -> Result<Response> {
    let document = value!({"service": "fresnel", "version": env!("CARGO_PKG_VERSION")});
    Ok(json(document.to_string().into()))
}

pub(in crate::api) const ACCESS: Operation = Operation::new(
    "Ask whether a download would be served",
    "Answers what the download would refuse with.",
    &[Answer::empty(204, "The caller may download the image.").and(ACCESS_HEADERS)],
    &[403, 404],
);

/// `GET /v2/fresnel/images/{image}/access`: 204 if the caller may download, with what the bytes are;
/// else what the download would answer.
pub async fn access(api: &Api, call: Call) -> Result<Response> {
    let request = DownloadRequest {
        is_plain: false,
        token: None,
        image: call.image_id(),
        range: Ok(RangeRequest::Whole),
        prefer: Vec::new(),
    };
    let download = api.control.download_plan(&call.caller, request).await?;
    let mut response = no_content();
    let headers = response.headers_mut();
    let known = download.and_then(|download| Some((download.key.clone()?, download)));
    headers.insert(CACHEABLE, flag(known.is_some()));
    if let Some((key, download)) = known {
        let digest = format!("{}:{}", key.algorithm(), key.digest());
        insert(headers, SIZE_BYTES, &download.size_bytes.to_string());
        insert(headers, DIGEST, &digest);
        insert(
            headers,
            CONTENT_MD5,
            download.checksum.as_deref().unwrap_or_default(),
        );
    }
    Ok(response)
}

pub(super) fn flag(is_set: bool) -> HeaderValue {
    HeaderValue::from_static(if is_set { "true" } else { "false" })
}

/// What is empty, or no header's text, is left out.
fn insert(headers: &mut ::http::HeaderMap, name: HeaderName, text: &str) {
    if let (false, Ok(value)) = (text.is_empty(), HeaderValue::from_str(text)) {
        headers.insert(name, value);
    }
}
