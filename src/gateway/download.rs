//! `GET /v2/images/{id}/file`: asked for upstream, sent from here.

use std::{io, sync::Arc};

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::warn;

use super::{
    Gateway,
    origin::FromUpstream,
    pass::passed,
    permit::{Content, Permit, who_asks},
};
use crate::{
    client::upstream::{self, Answer},
    data::{Piece, cached::Through, egress, egress::Egress},
    http::{Body, Frame, FrameSource, Request, Response},
    model::{ByteRange, ImageId, RangeRequest, StoreId},
};

/// Asks for what is in an encrypted image. Cached is its container.
const PLAIN: &str = "x-fresnel-plain";
const PREFIX: &str = "/v2/images/";
const SUFFIX: &str = "/file";

/// A download that the cache may serve: the usual path, no body, no wish for a store or for what is in an
/// encrypted image, and a range that makes sense. Whatever else there is passes, and the upstream has the word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    image: ImageId,
    range: RangeRequest,
}

impl Asked {
    pub(super) fn of(head: &Parts) -> Option<Self> {
        let has_body = head.headers.contains_key(header::TRANSFER_ENCODING)
            || (head.headers.get(header::CONTENT_LENGTH)).is_some_and(|length| length != "0");
        let is_plain = head.headers.contains_key(PLAIN);
        if head.method != Method::GET || has_body || is_plain || head.uri.query().is_some() {
            return None;
        }
        let rest = head.uri.path().strip_prefix(PREFIX)?;
        let image = ImageId::new(rest.strip_suffix(SUFFIX)?);
        let text = |name| head.headers.get(name).map(HeaderValue::to_str);
        let range = text(header::RANGE).transpose().ok()?;
        let synonym = text(header::CONTENT_RANGE).transpose().ok()?;
        Some(Self {
            // An id that is spelled otherwise is not ours to read.
            image: image.is_uuid_shaped().then_some(image)?,
            range: RangeRequest::parse(range, synonym).ok()?,
        })
    }
}

impl Gateway {
    pub(super) async fn download(
        &self,
        asked: Asked,
        request: Request,
    ) -> Result<Response, upstream::Error> {
        let headers = who_asks(&request.head);
        let begins = match asked.range {
            RangeRequest::Whole => self.begin(&asked.image),
            RangeRequest::Range { .. }
            | RangeRequest::Suffix { .. }
            | RangeRequest::ContentRange { .. } => None,
        };
        let permit = self.permit(&headers, &asked.image, begins.is_some());
        let (content, begun) = match permit.await? {
            Permit::Granted(content, begun) => (content, begun),
            Permit::Past(Some(begun)) => return Ok(passed(begun, &Method::GET)),
            Permit::Past(None) => return self.pass(request).await,
            Permit::Refused(response) => return Ok(response),
        };
        let Ok(range) = asked.range.resolve(content.size_bytes) else {
            return self.pass(request).await;
        };
        if begins.is_none() {
            self.let_begin(&asked.image).await;
        }
        let origin = Arc::new(self.origin(headers, &content, begun));
        let through = self.through(origin.clone(), &content);
        let opened = egress::from_cache(through, range, StoreId::new("upstream")).await;
        // Where another fetches the image, nobody wants it.
        let begun = origin.begun.lock().take();
        match (opened, begun) {
            (Ok(Some(egress)), _) => {
                let is_part = asked.range != RangeRequest::Whole;
                Ok(response(content, range, is_part, egress))
            }
            // Not cached, or it changed its mind: the upstream itself has the word.
            (Ok(None), Some(begun)) => Ok(passed(begun, &Method::GET)),
            (Ok(None), None) => self.pass(request).await,
            (Err(error), _) => {
                warn!(image.id = %content.key.image(), %error, "A download passes the cache");
                self.pass(request).await
            }
        }
    }

    /// An image of the upstream, for whoever has these headers.
    pub(super) fn origin(
        &self,
        headers: HeaderMap,
        content: &Content,
        begun: Option<Answer>,
    ) -> FromUpstream {
        FromUpstream {
            upstream: self.upstream.clone(),
            headers,
            image: content.key.image().clone(),
            size_bytes: content.size_bytes,
            begun: Mutex::new(begun),
            sequential: self.sequential.clone(),
        }
    }

    /// The same through the cache.
    pub(super) fn through(&self, origin: Arc<FromUpstream>, content: &Content) -> Through {
        Through {
            cache: self.cache.clone(),
            engine: self.engine.clone(),
            origin,
            key: content.key.clone(),
            size_bytes: content.size_bytes,
        }
    }

    /// The right to ask for a whole image before it is permitted: of one that is not here at all, and of
    /// one asker at a time, because others would have it sent for nothing.
    fn begin(&self, image: &ImageId) -> Option<Beginning<'_>> {
        let mut beginnings = self.beginnings.lock();
        if self.cache.knows(image) || beginnings.contains_key(image) {
            return None;
        }
        let (ended, begun) = watch::channel(());
        beginnings.insert(image.clone(), begun);
        Some(Beginning {
            gateway: self,
            image: image.clone(),
            _ended: ended,
        })
    }

    /// Waits for whoever has that right: its bytes are the first there.
    async fn let_begin(&self, image: &ImageId) {
        let begun = self.beginnings.lock().get(image).cloned();
        if let Some(mut begun) = begun {
            // It never changes: it ends.
            drop(begun.changed().await);
        }
    }
}

struct Beginning<'a> {
    gateway: &'a Gateway,
    image: ImageId,
    _ended: watch::Sender<()>,
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        self.gateway.beginnings.lock().remove(&self.image);
    }
}

fn response(content: Content, range: ByteRange, is_part: bool, egress: Egress) -> Response {
    let mut response = Response::new(Body::frames(range.len, Sending(egress)));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    if let Some(md5) = content.checksum {
        headers.insert("content-md5", md5);
    }
    if let Some(id) = content.request_id {
        headers.insert("x-openstack-request-id", id);
    }
    if is_part {
        let (first, last) = (range.offset, range.end() - 1);
        let value = format!("bytes {first}-{last}/{}", content.size_bytes);
        let value = HeaderValue::from_str(&value).expect("numbers are a header's letters");
        headers.insert(header::CONTENT_RANGE, value);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// A download on its way out.
struct Sending(Egress);

#[async_trait]
impl FrameSource for Sending {
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        let piece = self.0.next().await.map_err(|error| {
            warn!(%error, "A download is cut");
            io::Error::other(error)
        })?;
        Ok(piece.map(|piece| match piece {
            Piece::Bytes(chunk) => Frame::Bytes(chunk.into_bytes()),
            Piece::File { file, offset, len } => Frame::File { file, offset, len },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "aaaaaaaa-0000-4000-8000-000000000000";

    fn asked(method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Asked> {
        let mut request = ::http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Asked::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_download_is_of_an_image_by_its_id() {
        let path = format!("/v2/images/{ID}/file");
        let whole = asked("GET", &path, &[]).unwrap();
        assert_eq!(
            (whole.image.as_str(), whole.range),
            (ID, RangeRequest::Whole)
        );
        let part = asked("GET", &path, &[("range", "bytes=1-2")]).unwrap();
        let (first, last) = (1, Some(2));
        assert_eq!(part.range, RangeRequest::Range { first, last });
    }

    #[test]
    fn everything_else_passes() {
        let path = format!("/v2/images/{ID}/file");
        for (method, target) in [
            ("PUT", path.as_str()),
            ("HEAD", &path),
            ("GET", &format!("{path}?prefer=a")),
            ("GET", &format!("/v2/images/{ID}")),
            ("GET", &format!("/v2/images/{ID}/tags/file")),
            ("GET", "/v2/images/%2e%2e/file"),
            ("GET", "/"),
        ] {
            assert!(asked(method, target, &[]).is_none(), "{method} {target}");
        }
        for header in [
            ("range", "bytes=1-2,4-5"),
            ("range", "lines"),
            ("content-length", "3"),
            ("x-fresnel-plain", "true"),
        ] {
            assert!(asked("GET", &path, &[header]).is_none(), "{header:?}");
        }
    }
}
