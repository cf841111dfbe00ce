//! `/v2/images/{image}/file`: image data in and out (reference A.5.1, A.5.2).

use std::{io, sync::Arc, time::Instant};

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use async_trait::async_trait;
use bytes::Bytes;
use metrics::{gauge, histogram};
use tracing::{error, info, warn};

use super::{
    done,
    fresnel::{CACHEABLE, flag},
    no_content,
};
use crate::{
    api::{
        Api, Call, Error, Result,
        operation::{Answer, Content, Operation, Parameter, Shape},
    },
    control::{
        self, Control,
        download::{Download, DownloadRequest},
        notify::Sent,
        upload::{Destination, Running, UploadRequest},
    },
    data::{self, DeclaredSize, Piece, Plane, Source, egress::Egress, encrypt::Container},
    http::{Body, Frame, FrameSource, RequestBody, Response},
    model::{ByteRange, ImageId, RangeRequest},
};

const OCTET_STREAM: &str = "application/octet-stream";
const IMAGE_SIZE: HeaderName = HeaderName::from_static("x-openstack-image-size");
pub(super) const IMAGE_STORE: HeaderName = HeaderName::from_static("x-image-meta-store");
/// Plain bytes of an encrypted image: those of the request are to be encrypted, or those of the answer are
/// to be decrypted.
const PLAIN: HeaderName = HeaderName::from_static("x-fresnel-plain");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

const MD5: Parameter = Parameter::header(
    "Content-MD5",
    Shape::Text,
    "The MD5 of the whole image, in hexadecimal digits.",
);
const NOT_KEPT: Parameter = Parameter::header(
    "X-Fresnel-Cacheable",
    Shape::OneOf(&["false"]),
    "The image's store encrypts: nobody may keep its bytes. Not Glance's.",
);
const RANGE_SENT: Parameter =
    Parameter::header("Content-Range", Shape::Text, "`bytes first-last/size`.");

pub(super) const PLAIN_SENT: Parameter = Parameter::header(
    "X-Fresnel-Plain",
    Shape::OneOf(&["true", "false"]),
    "The data is to be encrypted, as the image's properties say. Not Glance's.",
);

pub(in crate::api) const UPLOAD: Operation = Operation::new(
    "Upload image data",
    "Of any length, with `Content-Length` or in chunks. The image is `saving` meanwhile; after a failure it is `queued` \
     again, as if nothing had been sent.",
    &[Answer::empty(204, "The image is active.")],
    &[403, 404, 408, 409, 410, 413, 415],
)
.takes(&[Content::OCTETS])
.reads(&[
    Parameter::header("X-Openstack-Image-Size", Shape::Whole, "The size of the data in bytes; wins over `Content-Length`. 0 is unknown."),
    Parameter::header("X-Image-Meta-Store", Shape::Text, "The store to write to, where there are several; else the default one."),
    PLAIN_SENT,
]);

/// `PUT`: 204 once the image is `active`.
pub async fn upload(api: &Api, call: Call) -> Result<Response> {
    check_media_type(&call)?;
    let request = UploadRequest {
        image: call.image_id(),
        size: declared_size(&call)?,
        to: Destination::Store(call.header(&IMAGE_STORE).map(str::to_owned)),
        is_plain: is_plain(&call)?,
        token: call.token,
    };
    let source = Box::new(ClientBody(call.body));
    let running = Running::start(
        api.control.clone(),
        api.plane.clone(),
        call.caller,
        request,
        source,
    );
    running.outcome().await?;
    Ok(done())
}

pub(in crate::api) const DOWNLOAD: Operation = Operation::new(
    "Download image data",
    "",
    &[
        Answer::with(200, "All of it.", Content::OCTETS).and(&[MD5, NOT_KEPT]),
        Answer::with(206, "The range.", Content::OCTETS).and(&[MD5, NOT_KEPT, RANGE_SENT]),
        Answer::empty(204, "The image has no data."),
    ],
    &[403, 404, 409, 416],
)
.reads(&[
    Parameter::header(
        "Range",
        Shape::Text,
        "`bytes=first-last`, `bytes=first-` or `bytes=-last`: one range.",
    ),
    Parameter::query(
        "prefer",
        Shape::Text,
        "Stores to read from first, with commas, where there are several.",
    ),
    Parameter::header(
        "X-Fresnel-Plain",
        Shape::OneOf(&["true", "false"]),
        "What is in an encrypted image is to be sent. Not Glance's.",
    ),
]);

/// `GET`: 200, 206 with a range, 204 when there is no data.
pub async fn download(api: &Api, call: Call) -> Result<Response> {
    let range = call.header(&header::RANGE);
    let range = RangeRequest::parse(range, call.header(&header::CONTENT_RANGE));
    let partial = range != Ok(RangeRequest::Whole);
    let request = DownloadRequest {
        image: call.image_id(),
        range,
        prefer: preferred_stores(call.head.uri.query().unwrap_or_default()),
        is_plain: is_plain(&call)?,
        token: call.token,
    };
    let Some(mut download) = api.control.download_plan(&call.caller, request).await? else {
        return Ok(no_content());
    };
    let egress = match open(&api.plane, &mut download).await {
        Ok(egress) => egress,
        Err(error @ data::Error::Lost(_)) => {
            let id = &download.plan.image;
            error!(request.id = call.caller.request_id, image.id = %id, %error, "An image is lost");
            return Ok(no_content());
        }
        Err(error) => return Err(control::Error::Data(error).into()),
    };
    let control = api.control.clone();
    Ok(response(
        download,
        partial,
        egress,
        control,
        call.caller.request_id,
    ))
}

/// Opens what is to be sent, which for plain bytes is known only then.
async fn open(plane: &Arc<Plane>, download: &mut Download) -> data::Result<Egress> {
    let stored = Container {
        plane,
        plan: &download.plan,
        cache: download.cache.as_ref().zip(download.key.as_ref()),
        size_bytes: download.size_bytes,
    };
    let Some(plain) = &download.plain else {
        return stored.sealed().await;
    };
    let opened = stored.open(&plain.passphrase, plain.size_bytes, plain.range);
    let opened = opened.await?;
    download.plan.range = opened.range;
    download.size_bytes = opened.size_bytes;
    Ok(opened.egress)
}

pub(super) fn is_plain(call: &Call) -> Result<bool> {
    match call.header(&PLAIN) {
        None => Ok(false),
        Some(word) if word.eq_ignore_ascii_case("true") => Ok(true),
        Some(word) if word.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(Error::BadRequest(
            "X-Fresnel-Plain can only be true or false.".into(),
        )),
    }
}

pub(super) fn check_media_type(call: &Call) -> Result<()> {
    let given = call.head.headers.get(header::CONTENT_TYPE);
    match call.content_type() {
        OCTET_STREAM => Ok(()),
        _ if given.is_none() => Err(Error::DataMediaType("Invalid content type None".into())),
        other => Err(Error::DataMediaType(format!(
            "Invalid content type {other}"
        ))),
    }
}

/// The header wins over `Content-Length`; 0 is unknown.
pub(super) fn declared_size(call: &Call) -> Result<DeclaredSize> {
    let bytes = match call.head.headers.get(&IMAGE_SIZE) {
        None => call.body.content_length(),
        Some(value) => {
            let number = value
                .to_str()
                .ok()
                .and_then(|text| text.trim().parse().ok());
            Some(number.ok_or(Error::BadRequest(
                "Invalid or missing image size in request headers.".into(),
            ))?)
        }
    };
    Ok(match bytes {
        None | Some(0) => DeclaredSize::Unknown,
        Some(bytes) => DeclaredSize::Exact(bytes),
    })
}

/// The stores of `?prefer=one,two`.
fn preferred_stores(query: &str) -> Vec<String> {
    let found = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "prefer");
    let names = found.map(|(_, value)| value.into_owned());
    let names = names.iter().flat_map(|names| names.split(','));
    names
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn response(
    download: Download,
    partial: bool,
    egress: Egress,
    control: Arc<Control>,
    request_id: String,
) -> Response {
    let rests_encrypted = download.rests_encrypted;
    let stream = Stream {
        egress,
        range: download.plan.range,
        size_bytes: download.size_bytes,
        partial,
        image: download.plan.image,
        request_id,
        told: Some((control, download.sent)),
    };
    let mut response = stream.response();
    if let Some(md5) = download.checksum
        && let Ok(value) = HeaderValue::from_str(&md5)
    {
        response.headers_mut().insert(CONTENT_MD5, value);
    }
    // A cache node may have found no other word of ours.
    if rests_encrypted {
        response.headers_mut().insert(CACHEABLE, flag(false));
    }
    response
}

/// Bytes that are to be sent.
pub(in crate::api) struct Stream {
    pub(in crate::api) egress: Egress,
    /// Which of them.
    pub(in crate::api) range: ByteRange,
    /// All that there are.
    pub(in crate::api) size_bytes: u64,
    /// Whether a range was asked for.
    pub(in crate::api) partial: bool,
    /// For the log.
    pub(in crate::api) image: ImageId,
    pub(in crate::api) request_id: String,
    /// Who hears that they were sent, for whom.
    pub(in crate::api) told: Option<(Arc<Control>, Sent)>,
}

impl Stream {
    /// 200, or 206 with a range.
    pub(in crate::api) fn response(self) -> Response {
        let range = self.range;
        let sending = Sending {
            egress: self.egress,
            told: self.told,
            image: self.image,
            request_id: self.request_id,
            started: Instant::now(),
            len: range.len,
            sent_bytes: 0,
            is_cut: false,
        };
        gauge!("fresnel_transfers", "direction" => "download").increment(1);
        let mut response = Response::new(Body::frames(range.len, sending));
        let kind = HeaderValue::from_static(OCTET_STREAM);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.partial {
            let (first, last) = (range.offset, range.end() - 1);
            let value = format!("bytes {first}-{last}/{}", self.size_bytes);
            let value = HeaderValue::from_str(&value).expect("numbers are a header's letters");
            response.headers_mut().insert(header::CONTENT_RANGE, value);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }
}

/// An upload's body as the data plane takes it.
pub(in crate::api) struct ClientBody(pub(in crate::api) RequestBody);

#[async_trait]
impl Source for ClientBody {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.0.next().await
    }
}

/// A download on its way out. Dropped at its end, or when the client goes.
struct Sending {
    egress: Egress,
    told: Option<(Arc<Control>, Sent)>,
    image: ImageId,
    request_id: String,
    started: Instant,
    len: u64,
    sent_bytes: u64,
    /// By us: the store failed.
    is_cut: bool,
}

#[async_trait]
impl FrameSource for Sending {
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        let piece = self.egress.next().await.map_err(|error| {
            self.is_cut = true;
            let store = self.egress.store();
            warn!(image.id = %self.image, store.id = %store, %error, "A download is cut");
            io::Error::other(error)
        })?;
        Ok(piece.map(|piece| match piece {
            Piece::Bytes(chunk) => {
                self.sent_bytes += chunk.len() as u64;
                Frame::Bytes(chunk.into_bytes())
            }
            Piece::File { file, offset, len } => {
                self.sent_bytes += len;
                Frame::File { file, offset, len }
            }
        }))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let whole = self.sent_bytes == self.len;
        gauge!("fresnel_transfers", "direction" => "download").decrement(1);
        if let Some((control, sent)) = &self.told
            && (whole || self.is_cut)
        {
            control.image_sent(sent, self.sent_bytes, whole);
        }
        histogram!("fresnel_download_seconds").record(seconds);
        info!(
            request.id = self.request_id,
            image.id = %self.image,
            store.id = %self.egress.store(),
            sent_bytes = self.sent_bytes,
            whole,
            seconds,
            "Downloaded"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::preferred_stores;

    #[test]
    fn preferred_stores_are_a_list() {
        assert_eq!(
            preferred_stores("a=b&prefer=fast,%20cheap,,"),
            ["fast", "cheap"]
        );
        assert!(preferred_stores("").is_empty());
    }
}
