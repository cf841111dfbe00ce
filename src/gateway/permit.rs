//! Whether a caller may have an image's bytes: the upstream is asked, with the caller's own token.
//!
//! Ours says it in one answer. Glance says it only by beginning to send: its answer is opened, and
//! dropped after the status line, unless the image is to be fetched. That a caller may read an image's record is no permission.
//! Both may answer at one address: what ours says of an image that rests encrypted stands in its download's head too.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Gateway, pass};
use crate::{
    base::limits::MIB,
    cache::Key,
    client::upstream::{self, Answer, Ask},
    http::Response,
    model::{HashAlgorithm, ImageId},
};

/// Answers that are remembered, where they are.
const PERMITS_MAX: usize = 10_000;
/// For how long it is believed what kind of service the upstream is.
const KIND_FOR: Duration = Duration::from_secs(60);
/// The most bytes of an image's record.
const RECORD_BYTES_MAX: usize = 16 * MIB;

const TOKEN: &str = "x-auth-token";
const CACHEABLE: &str = "x-fresnel-cacheable";
const SIZE_BYTES: &str = "x-fresnel-size-bytes";
const DIGEST: &str = "x-fresnel-digest";
const MD5: &str = "content-md5";
const REQUEST_ID: &str = "x-openstack-request-id";

/// What the upstream says of a download.
pub(super) enum Permit {
    /// The caller may have these bytes. All of them are on their way in the answer, where there is one.
    Granted(Content, Option<Answer>),
    /// It may, and they are not for a cache; here they come, if they do.
    Past(Option<Answer>),
    /// It may not, in the upstream's words.
    Refused(Response),
}

/// The bytes of an image.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) key: Key,
    pub(super) size_bytes: u64,
    pub(super) checksum: Option<HeaderValue>,
    /// Of the request that asked.
    pub(super) request_id: Option<HeaderValue>,
}

/// What is remembered of the upstream.
#[derive(Debug)]
pub(super) struct Permits {
    cache_time: Duration,
    /// Tokens are only remembered by their digests, which mean nothing elsewhere.
    secret: [u8; 32],
    granted: Mutex<HashMap<Who, (Instant, Content)>>,
    kind: Mutex<Option<(Instant, Kind)>>,
}

/// Who asks for what.
type Who = (blake3::Hash, ImageId);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ours,
    Glance,
}

impl Permits {
    pub(super) fn new(cache_time: Duration) -> Self {
        let mut secret = [0; 32];
        for half in secret.chunks_exact_mut(16) {
            half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        Self {
            cache_time,
            secret,
            granted: Mutex::default(),
            kind: Mutex::default(),
        }
    }

    /// Who asks for what; none where that is not told by a token alone.
    fn of(&self, headers: &HeaderMap, image: &ImageId) -> Option<Who> {
        let more = [header::AUTHORIZATION, header::COOKIE];
        let is_known =
            headers.contains_key(TOKEN) && !more.iter().any(|name| headers.contains_key(name));
        if self.cache_time.is_zero() || !is_known {
            return None;
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        for name in [TOKEN, "x-storage-token", "x-service-token"] {
            let value = headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
            hasher.update(&(value.len() as u64).to_le_bytes());
            hasher.update(value);
        }
        Some((hasher.finalize(), image.clone()))
    }

    fn find(&self, who: &Who) -> Option<Content> {
        let granted = self.granted.lock();
        let (at, content) = granted.get(who)?;
        (at.elapsed() < self.cache_time).then(|| content.clone())
    }

    /// What was granted to whoever asked then.
    fn remember(&self, who: Who, asked_at: Instant, content: &Content) {
        let content = Content {
            request_id: None,
            ..content.clone()
        };
        let mut granted = self.granted.lock();
        if granted.len() >= PERMITS_MAX {
            granted.retain(|_, (at, _)| at.elapsed() < self.cache_time);
        }
        if granted.len() < PERMITS_MAX {
            granted.insert(who, (asked_at, content));
        }
    }
}

impl Gateway {
    /// Asks for a download. The headers are those of the request that may pass, without its range. With
    /// `begins` the whole image is asked for at the same time, so that its first byte does not wait for
    /// the permission.
    pub(super) async fn permit(
        &self,
        headers: &HeaderMap,
        image: &ImageId,
        begins: bool,
    ) -> Result<Permit, upstream::Error> {
        let (who, asked_at) = (self.permits.of(headers, image), Instant::now());
        if let Some(content) = who.as_ref().and_then(|who| self.permits.find(who)) {
            return Ok(Permit::Granted(content, None));
        }
        let permit = match self.kind(headers).await? {
            Kind::Ours => self.ask_ours(headers, image, begins).await?,
            Kind::Glance => self.ask_glance(headers, image, begins).await?,
        };
        if let (Some(who), Permit::Granted(content, _)) = (who, &permit) {
            self.permits.remember(who, asked_at, content);
        }
        Ok(permit)
    }

    /// Ours knows `/v2/fresnel`. An answer that says neither, as to a bad token, is not remembered, and
    /// is what Glance would say. A service that fails says nothing of what it is.
    async fn kind(&self, headers: &HeaderMap) -> Result<Kind, upstream::Error> {
        let known = *self.permits.kind.lock();
        if let Some((at, kind)) = known
            && at.elapsed() < KIND_FOR
        {
            return Ok(kind);
        }
        let answer = self.upstream.ask(get(headers, "/v2/fresnel")).await?;
        let kind = match answer.head.status {
            StatusCode::OK => Kind::Ours,
            StatusCode::NOT_FOUND => Kind::Glance,
            status if status.is_server_error() => {
                let text = format!("it answers {status} when it is asked what it is");
                return Err(upstream::Error::Unreachable(text));
            }
            _ => return Ok(Kind::Glance),
        };
        *self.permits.kind.lock() = Some((Instant::now(), kind));
        Ok(kind)
    }

    async fn ask_ours(
        &self,
        headers: &HeaderMap,
        image: &ImageId,
        begins: bool,
    ) -> Result<Permit, upstream::Error> {
        let target = format!("/v2/fresnel/images/{image}/access");
        let access = self.upstream.ask(get(headers, &target));
        let (access, data) = match begins {
            false => (access.await?, None),
            true => {
                let data = self
                    .upstream
                    .ask(get(headers, &format!("/v2/images/{image}/file")));
                let (access, data) = tokio::join!(access, data);
                let data = data.ok().filter(|data| data.head.status == StatusCode::OK);
                (access?, data)
            }
        };
        match access.head.status {
            StatusCode::NO_CONTENT => {}
            // A Glance beside ours does not know the question, and a token may be one for images alone.
            StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED => {
                return self.ask_glance(headers, image, begins).await;
            }
            _ => return Ok(refused(access)),
        }
        Ok(match content_of_headers(&access.head.headers, image) {
            Some(content) => Permit::Granted(content, data),
            None => Permit::Past(data),
        })
    }

    async fn ask_glance(
        &self,
        headers: &HeaderMap,
        image: &ImageId,
        begins: bool,
    ) -> Result<Permit, upstream::Error> {
        let target = format!("/v2/images/{image}");
        let file = self.upstream.ask(get(headers, &format!("{target}/file")));
        let record = self.upstream.ask(get(headers, &target));
        let (file, record) = tokio::join!(file, record);
        let file = file?;
        if file.head.status != StatusCode::OK {
            return Ok(refused(file));
        }
        let request_id = file.head.headers.get(REQUEST_ID).cloned();
        let is_kept = file
            .head
            .headers
            .get(CACHEABLE)
            .is_none_or(|is| is != "false");
        let data = begins.then_some(file);
        let record = record
            .ok()
            .filter(|record| record.head.status == StatusCode::OK);
        let Some(record) = record.filter(|_| is_kept) else {
            return Ok(Permit::Past(data));
        };
        let record = record.read_to_limit(RECORD_BYTES_MAX).await;
        let record = record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let content = record.and_then(|record| content_of_record(&record, image, request_id));
        Ok(match content {
            Some(content) => Permit::Granted(content, data),
            None => Permit::Past(data),
        })
    }
}

/// A `GET` with the caller's headers. What is read here and kept comes as it is.
pub(super) fn get(headers: &HeaderMap, target: &str) -> Ask {
    let mut headers = headers.clone();
    let identity = HeaderValue::from_static("identity");
    headers.insert(header::ACCEPT_ENCODING, identity);
    Ask {
        method: Method::GET,
        target: target.to_owned(),
        headers,
        body: None,
    }
}

fn refused(answer: Answer) -> Permit {
    Permit::Refused(pass::passed(answer, &Method::GET))
}

/// What ours says beside its yes.
fn content_of_headers(headers: &HeaderMap, image: &ImageId) -> Option<Content> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if text(CACHEABLE)? != "true" {
        return None;
    }
    let (algorithm, digest) = text(DIGEST)?.split_once(':')?;
    Some(Content {
        key: Key::new(image.clone(), algorithm.parse().ok()?, digest)?,
        size_bytes: text(SIZE_BYTES)?.parse().ok()?,
        checksum: headers.get(MD5).cloned(),
        request_id: headers.get(REQUEST_ID).cloned(),
    })
}

/// What an image's record says. Only an active image is for a cache, and only one with a digest.
fn content_of_record(
    record: &Value,
    image: &ImageId,
    request_id: Option<HeaderValue>,
) -> Option<Content> {
    let text = |name: &str| record.get(name)?.as_str();
    if text("status")? != "active" || text("id")? != image.as_str() {
        return None;
    }
    let algorithm: HashAlgorithm = text("os_hash_algo")?.parse().ok()?;
    let checksum = text("checksum").and_then(|md5| HeaderValue::from_str(md5).ok());
    Some(Content {
        key: Key::new(image.clone(), algorithm, text("os_hash_value")?)?,
        size_bytes: record.get("size")?.as_u64()?,
        checksum,
        request_id,
    })
}

/// The headers that say who asks and how, and nothing of a range or a body.
pub(super) fn who_asks(head: &::http::request::Parts) -> HeaderMap {
    let mut headers = pass::asked(head).headers;
    for name in [
        header::RANGE,
        header::CONTENT_RANGE,
        header::CONTENT_LENGTH,
        header::IF_RANGE,
    ] {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

    fn record() -> Value {
        json!({
            "id": "i", "status": "active", "size": 5, "checksum": MD5_OF_NOTHING,
            "os_hash_algo": "md5", "os_hash_value": MD5_OF_NOTHING,
        })
    }

    #[test]
    fn a_record_tells_what_is_cached() {
        let content = content_of_record(&record(), &ImageId::new("i"), None).unwrap();
        assert_eq!(
            (content.size_bytes, content.key.digest()),
            (5, MD5_OF_NOTHING)
        );
    }

    #[test]
    fn what_is_not_active_or_has_no_digest_is_not_cached() {
        for (name, value) in [
            ("status", json!("deactivated")),
            ("os_hash_value", Value::Null),
            ("os_hash_algo", json!("crc32")),
            ("size", Value::Null),
            ("id", json!("another")),
        ] {
            let mut record = record();
            record[name] = value;
            assert!(
                content_of_record(&record, &ImageId::new("i"), None).is_none(),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_kept_is_asked_for_as_it_is() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let asked = get(&headers, "/").headers;
        let encodings: Vec<_> = asked.get_all(header::ACCEPT_ENCODING).iter().collect();
        assert_eq!(encodings, ["identity"]);
    }

    #[test]
    fn permits_are_a_callers_own_and_end() {
        let headers = |token: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-auth-token", HeaderValue::from_static(token));
            headers
        };
        let image = ImageId::new("i");
        let request_id = Some(HeaderValue::from_static("req-1"));
        let content = content_of_record(&record(), &image, request_id).unwrap();
        let permits = Permits::new(Duration::from_secs(60));
        let who = |token, image: &ImageId| permits.of(&headers(token), image).unwrap();
        permits.remember(who("a", &image), Instant::now(), &content);
        let found = permits.find(&who("a", &image)).unwrap();
        assert_eq!(found.request_id, None, "it was another request's");
        assert!(permits.find(&who("b", &image)).is_none());
        assert!(permits.find(&who("a", &ImageId::new("j"))).is_none());
        let long_ago = Instant::now() - Duration::from_secs(61);
        permits.remember(who("a", &image), long_ago, &content);
        assert!(permits.find(&who("a", &image)).is_none());
        let off = Permits::new(Duration::ZERO);
        assert!(off.of(&headers("a"), &image).is_none());
    }

    #[test]
    fn who_is_not_known_by_a_token_alone_is_asked_for_each_time() {
        let permits = Permits::new(Duration::from_secs(60));
        let known = |names: &[&'static str]| {
            let values = names.iter().map(|name| {
                let name = ::http::HeaderName::from_static(name);
                (name, HeaderValue::from_static("a"))
            });
            let headers: HeaderMap = values.collect();
            permits.of(&headers, &ImageId::new("i")).is_some()
        };
        assert!(known(&["x-auth-token"]));
        assert!(!known(&["authorization"]) && !known(&["x-roles"]));
        assert!(!known(&["x-auth-token", "authorization"]));
        assert!(!known(&["x-auth-token", "cookie"]));
    }
}
