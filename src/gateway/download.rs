//! `GET /v2/images/{id}/file`: asked for upstream, sent from here.

use std::{io, sync::Arc};

use ::http::{HeaderValue, Method, StatusCode, header, request::Parts};
use async_trait::async_trait;
use tracing::warn;

use super::{
    Gateway,
    origin::FromUpstream,
    permit::{Content, Permit, who_asks},
};
use crate::{
    client::upstream,
    data::{Piece, cached::Through, egress, egress::Egress},
    http::{Body, Frame, FrameSource, Request, Response},
    model::{ByteRange, ImageId, RangeRequest, StoreId},
};

const PREFIX: &str = "/v2/images/";
const SUFFIX: &str = "/file";

/// A download that the cache may serve: the usual path, no body, no wish for a store, and a range that
/// makes sense. Whatever else there is passes, and the upstream has the word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    image: ImageId,
    range: RangeRequest,
}

impl Asked {
    pub(super) fn of(head: &Parts) -> Option<Self> {
        let has_body = head.headers.contains_key(header::TRANSFER_ENCODING)
            || (head.headers.get(header::CONTENT_LENGTH)).is_some_and(|length| length != "0");
        if head.method != Method::GET || has_body || head.uri.query().is_some() {
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
        let content = match self.permit(&headers, &asked.image).await? {
            Permit::Granted(content) => content,
            Permit::Past => return self.pass(request).await,
            Permit::Refused(response) => return Ok(response),
        };
        let Ok(range) = asked.range.resolve(content.size_bytes) else {
            return self.pass(request).await;
        };
        let through = Through {
            cache: self.cache.clone(),
            engine: self.engine.clone(),
            origin: Arc::new(FromUpstream {
                upstream: self.upstream.clone(),
                headers,
                image: asked.image,
                size_bytes: content.size_bytes,
                sequential: self.sequential.clone(),
            }),
            key: content.key.clone(),
            size_bytes: content.size_bytes,
        };
        match egress::from_cache(through, range, StoreId::new("upstream")).await {
            Ok(Some(egress)) => {
                let is_part = asked.range != RangeRequest::Whole;
                Ok(response(content, range, is_part, egress))
            }
            // Not cached, or it changed its mind: the upstream itself has the word.
            Ok(None) => self.pass(request).await,
            Err(error) => {
                warn!(image.id = %content.key.image(), %error, "A download passes the cache");
                self.pass(request).await
            }
        }
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
        ] {
            assert!(asked("GET", &path, &[header]).is_none(), "{header:?}");
        }
    }
}
