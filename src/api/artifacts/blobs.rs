//! `/artifacts/{type}/{artifact}/{blob}[/{key}]`: bytes of artifacts, in and out.

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use super::{Api, Call, Result, invalid, json_of, media_type, view};
use crate::{
    api::{
        operation::{Answer, Content, Operation, Parameter, Shape},
        v2::image_data::{ClientBody, Stream},
    },
    control::{
        self,
        artifact::{self, BlobPlace, BlobRequest, BlobSource, NewLocation, StoredBlob},
    },
    data::encrypt::Container,
    http::{Body, Response},
    model::{
        RangeRequest,
        artifact::{Artifact, Blob},
    },
};

const LOCATION_MEDIA_TYPE: &str = "application/vnd+openstack.glare-custom-location+json";
/// Letters of an address that is not ours.
const URL_BYTES_MAX: usize = 2048;
/// Letters of a media type, or of a digest that a client tells: a column's.
const WORD_BYTES_MAX: usize = 255;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const SHA1: HeaderName = HeaderName::from_static("x-openstack-glare-content-sha1");
const SHA256: HeaderName = HeaderName::from_static("x-openstack-glare-content-sha256");

const CHECKSUMS: [Parameter; 3] = [
    Parameter::header(
        "Content-MD5",
        Shape::Text,
        "The MD5 of all of it, in hexadecimal digits.",
    ),
    Parameter::header("X-Openstack-Glare-Content-SHA1", Shape::Text, "Its SHA-1."),
    Parameter::header(
        "X-Openstack-Glare-Content-SHA256",
        Shape::Text,
        "Its SHA-256.",
    ),
];

const SENT: [Answer; 3] = [
    Answer::with(200, "All of it.", Content::OCTETS).and(&CHECKSUMS),
    Answer::with(206, "The range. Not Glare's.", Content::OCTETS).and(&CHECKSUMS),
    Answer::empty(301, "It is elsewhere: `Location` says where.").and(&CHECKSUMS),
];

const RANGE: [Parameter; 1] = [Parameter::header(
    "Range",
    Shape::Text,
    "`bytes=first-last`, `bytes=first-` or `bytes=-last`: one range.",
)];

const TAKEN: [Content; 2] = [
    Content::OCTETS,
    Content {
        media_type: LOCATION_MEDIA_TYPE,
        schema: "ArtifactLocation",
    },
];

const CHANGED: [Answer; 1] = [Answer::ok("Artifact", "The artifact.")];

const fn download_of(summary: &'static str) -> Operation {
    Operation::new(summary, "", &SENT, &[403, 404, 406, 409, 416]).reads(&RANGE)
}

const fn upload_of(summary: &'static str) -> Operation {
    Operation::new(
        summary,
        "Of any length, with `Content-Length` or in chunks, and of any media type, which downloads have again. Once \
         more replaces what was there, when it is whole. As \
         `application/vnd+openstack.glare-custom-location+json` the body is an address where the bytes are.",
        &CHANGED,
        &[403, 404, 406, 408, 409, 410, 413, 415],
    )
    .takes(&TAKEN)
}

const fn delete_of(summary: &'static str) -> Operation {
    let about = "Only of bytes that are elsewhere.";
    Operation::new(summary, about, &CHANGED, &[403, 404, 406, 409])
}

pub(in crate::api) const DOWNLOAD: Operation = download_of("Download a blob");
pub(in crate::api) const DOWNLOAD_OF_FOLDER: Operation = download_of("Download a blob of a folder");
pub(in crate::api) const UPLOAD: Operation = upload_of("Upload a blob");
pub(in crate::api) const UPLOAD_TO_FOLDER: Operation = upload_of("Upload a blob into a folder");
pub(in crate::api) const DELETE: Operation = delete_of("Take an external blob away");
pub(in crate::api) const DELETE_OF_FOLDER: Operation =
    delete_of("Take an external blob out of a folder");

/// `GET`: 200, 206 with a range, 301 for what is elsewhere.
pub async fn download(api: &Api, call: Call) -> Result<Response> {
    let range = call.header(&header::RANGE);
    let range = RangeRequest::parse(range, call.header(&header::CONTENT_RANGE));
    let partial = range != Ok(RangeRequest::Whole);
    let place = place(&call);
    let range = range.map_err(control::Error::Range);
    let source = api.control.blob_source(&call.caller, &place, range);
    match source.await? {
        BlobSource::Elsewhere(blob) => Ok(elsewhere(&blob)),
        BlobSource::Here(stored) => send(api, *stored, partial, call.caller.request_id).await,
    }
}

/// The same, under a key.
pub async fn download_of_folder(api: &Api, call: Call) -> Result<Response> {
    download(api, call).await
}

/// `PUT`: 200 once the bytes are there.
pub async fn upload(api: &Api, mut call: Call) -> Result<Response> {
    let content_type = media_type(&call)?.to_owned();
    if content_type.len() > WORD_BYTES_MAX {
        return Err(invalid("The Content-Type is too long."));
    }
    let place = place(&call);
    if content_type == LOCATION_MEDIA_TYPE {
        let body = call.json(api.settings.json_body_limit_bytes).await?;
        let location = location(&body)?;
        let located = api.control.blob_locate(&call.caller, &place, location);
        return shown(api, &place, &located.await?);
    }
    let request = BlobRequest {
        place: place.clone(),
        size_bytes: call.body.content_length(),
        content_type,
    };
    let running = artifact::upload(
        api.control.clone(),
        api.plane.clone(),
        call.caller,
        request,
        Box::new(ClientBody(call.body)),
    );
    shown(api, &place, &running.outcome().await?)
}

/// The same, under a key.
pub async fn upload_to_folder(api: &Api, call: Call) -> Result<Response> {
    upload(api, call).await
}

/// `DELETE`: 200.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    let place = place(&call);
    let left = api.control.blob_unlocate(&call.caller, &place).await?;
    shown(api, &place, &left)
}

/// The same, under a key.
pub async fn delete_of_folder(api: &Api, call: Call) -> Result<Response> {
    delete(api, call).await
}

fn place(call: &Call) -> BlobPlace {
    BlobPlace {
        type_name: call.params[0].clone(),
        id: call.params[1].clone(),
        field: call.params[2].clone(),
        key: call.params.get(3).cloned(),
    }
}

fn shown(api: &Api, place: &BlobPlace, artifact: &Artifact) -> Result<Response> {
    let kind = api.control.artifact_type(&place.type_name)?;
    Ok(json_of(&view::artifact(kind, artifact)))
}

async fn send(
    api: &Api,
    stored: StoredBlob,
    partial: bool,
    request_id: String,
) -> Result<Response> {
    let container = Container {
        plane: &api.plane,
        plan: &stored.plan,
        cache: stored.cache.as_ref().zip(stored.key.as_ref()),
        size_bytes: stored.size_bytes,
    };
    let egress = container.sealed().await.map_err(control::Error::Data)?;
    let stream = Stream {
        egress,
        range: stored.plan.range,
        size_bytes: stored.size_bytes,
        partial,
        image: stored.plan.image.clone(),
        request_id,
        told: None,
    };
    let mut response = stream.response();
    let headers = response.headers_mut();
    if let Some(kind) = &stored.blob.content_type
        && let Ok(value) = HeaderValue::from_str(kind)
    {
        headers.insert(header::CONTENT_TYPE, value);
    }
    add_checksums(&mut response, &stored.blob);
    Ok(response)
}

fn elsewhere(blob: &Blob) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    if let Ok(url) = HeaderValue::from_str(blob.url.as_deref().unwrap_or_default()) {
        headers.insert(header::LOCATION, url);
    }
    add_checksums(&mut response, blob);
    response
}

fn add_checksums(response: &mut Response, blob: &Blob) {
    let checksums = [
        (CONTENT_MD5, &blob.md5),
        (SHA1, &blob.sha1),
        (SHA256, &blob.sha256),
    ];
    for (name, value) in checksums {
        let value = value.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(value)) = value {
            response.headers_mut().insert(name, value);
        }
    }
}

/// The body that names a place instead of bytes.
fn location(body: &Value) -> Result<NewLocation> {
    let empty = Map::new();
    let given = body.as_object().unwrap_or(&empty);
    let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(url) = text("url") else {
        return Err(invalid(
            "url is required when specifying external location.",
        ));
    };
    if url.len() > URL_BYTES_MAX || HeaderValue::from_str(&url).is_err() {
        return Err(invalid("The url is too long, or is none."));
    }
    let internal = match given.get("location_type").map(Value::as_str) {
        None | Some(Some("external")) => false,
        Some(Some("internal")) => true,
        Some(other) => {
            let other = other.unwrap_or_default();
            return Err(invalid(format!(
                "Incorrect location type '{other}'. It must be one of the following external, internal"
            )));
        }
    };
    let on_the_web = url.starts_with("http://") || url.starts_with("https://");
    if !internal && !on_the_web {
        return Err(invalid(format!("Url '{url}' doesn't have http(s) scheme")));
    }
    if !internal && !given.contains_key("md5") {
        return Err(invalid(
            "Incorrect blob metadata. MD5 must be specified for external location in artifact blob.",
        ));
    }
    for name in ["md5", "sha1", "sha256"] {
        let fits = match given.get(name) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => {
                text.len() <= WORD_BYTES_MAX && HeaderValue::from_str(text).is_ok()
            }
            Some(_) => false,
        };
        if !fits {
            return Err(invalid(format!("The {name} is too long, or is none.")));
        }
    }
    Ok(NewLocation {
        url,
        md5: text("md5"),
        sha1: text("sha1"),
        sha256: text("sha256"),
        internal,
    })
}
