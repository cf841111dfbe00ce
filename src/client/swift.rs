//! An account of Swift: containers, and objects in them. Knows no image.
//!
//! Requests that fail for want of an answer are repeated: each of them may be made twice. A token
//! that is refused is renewed, once a request.

mod auth;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, Utc};
use futures_util::stream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RANGE},
};
use serde_json::Value;
use tokio::time::sleep;

use super::transport;
use crate::model::ByteRange;
use auth::{Access, Door};

pub use auth::{Auth, V1, V3};

/// Repetitions of a request that got no answer.
const RETRIES_MAX: u32 = 3;
/// Before the first repetition; doubled for each next one.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// Names of a page of a listing.
const PAGE_NAMES: usize = 1000;

/// What a path is written without.
const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');

/// How an account is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who we are, and where that says that the account is.
    pub auth: Auth,
    /// The account's address, where it is not the one that authentication names.
    pub endpoint: Option<String>,
    /// TLS, and how long to wait for each piece.
    pub transport: transport::Config,
}

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No such container or object.
    #[error("there is nothing")]
    NotFound,
    /// The object exists, and was not to be replaced.
    #[error("the object exists")]
    Exists,
    /// We may not, or are not who we say.
    #[error("access is denied: {0}")]
    Denied(String),
    /// No room, or a quota is reached.
    #[error("there is no room: {0}")]
    Full(StatusCode),
    /// The range is not in the object.
    #[error("the object does not have the range")]
    Range,
    /// No answer, or one that says to come again.
    #[error("no answer: {0}")]
    Unavailable(String),
    /// An answer that says nothing of these.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
}

/// An account.
#[derive(Debug)]
pub struct Account {
    client: Client,
    door: Door,
}

/// What is told of an object.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Bytes, of a large object those of its segments.
    pub size_bytes: Option<u64>,
    /// When it was written, by Swift's clock; of a large object its manifest.
    pub modified: Option<DateTime<Utc>>,
    /// `X-Object-Manifest`, as it is written: `container/prefix`.
    pub manifest: Option<String>,
    /// Whether it is a static large object.
    pub is_static: bool,
}

/// A name of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The object or container.
    pub name: String,
    /// Its bytes; of a container those of its objects.
    pub size_bytes: u64,
    /// When it was written, by Swift's clock.
    pub modified: Option<DateTime<Utc>>,
}

/// What is sent as an object.
#[derive(Clone, Debug)]
pub enum Content {
    /// Bytes, in pieces. An object of that name is replaced.
    Pieces(Vec<Bytes>),
    /// No bytes, but those of all objects of a container whose names begin so: `container/prefix`.
    /// Refuses to replace.
    Manifest(String),
}

/// The bytes of an answer.
#[derive(Debug)]
pub struct Body {
    response: Response,
    left: u64,
}

impl Account {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// When certificates cannot be read.
    pub fn new(config: Config) -> Result<Self, transport::Error> {
        Ok(Self {
            client: transport::streaming(&config.transport)?,
            door: Door::new(config.auth, config.endpoint, &config.transport)?,
        })
    }

    /// The account's address.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn address(&self) -> Result<String, Error> {
        Ok(self.door.access(None).await?.address)
    }

    /// Whether there is such a container.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn has_container(&self, container: &str) -> Result<bool, Error> {
        let asked = self.send(Method::HEAD, &[container], "", |r| r).await;
        match asked {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a container; one that is there stays as it is.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn create_container(&self, container: &str) -> Result<(), Error> {
        self.send(Method::PUT, &[container], "", |r| {
            r.header(CONTENT_LENGTH, 0)
        })
        .await
        .map(drop)
    }

    /// What is told of an object.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn head(&self, container: &str, object: &str) -> Result<Head, Error> {
        let answer = self
            .send(Method::HEAD, &[container, object], "", |r| r)
            .await?;
        let headers = answer.headers();
        let manifest = text(headers, "x-object-manifest").map(|written| {
            let decoded = percent_encoding::percent_decode_str(written);
            decoded.decode_utf8_lossy().into_owned()
        });
        Ok(Head {
            size_bytes: text(headers, "content-length").and_then(|len| len.parse().ok()),
            modified: text(headers, "last-modified").and_then(|time| {
                let time = DateTime::parse_from_rfc2822(time).ok()?;
                Some(time.to_utc())
            }),
            manifest,
            is_static: text(headers, "x-static-large-object")
                .is_some_and(|is| is.eq_ignore_ascii_case("true")),
        })
    }

    /// Begins to read a range, which has bytes.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Range`] where the object ends before the range does.
    pub async fn get(
        &self,
        container: &str,
        object: &str,
        range: ByteRange,
    ) -> Result<Body, Error> {
        let asked = format!("bytes={}-{}", range.offset, range.end() - 1);
        let response = self
            .send(Method::GET, &[container, object], "", |request| {
                request.header(RANGE, &asked)
            })
            .await?;
        let served = text(response.headers(), CONTENT_RANGE.as_str());
        let expected = format!("bytes {}-{}/", range.offset, range.end() - 1);
        match response.status() == StatusCode::PARTIAL_CONTENT
            && served.is_some_and(|served| served.starts_with(&expected))
        {
            true => Ok(Body {
                response,
                left: range.len,
            }),
            false => Err(Error::Range),
        }
    }

    /// Writes an object.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Exists`] only for a manifest.
    pub async fn put(&self, container: &str, object: &str, content: &Content) -> Result<(), Error> {
        let prepare = |request: RequestBuilder| match content {
            Content::Pieces(pieces) => {
                let len: usize = pieces.iter().map(Bytes::len).sum();
                let pieces = pieces.clone().into_iter().map(Ok::<_, std::io::Error>);
                let body = reqwest::Body::wrap_stream(stream::iter(pieces));
                request.header(CONTENT_LENGTH, len).body(body)
            }
            Content::Manifest(prefix) => request
                .header(CONTENT_LENGTH, 0)
                .header("if-none-match", "*")
                .header("x-object-manifest", manifest(prefix)),
        };
        self.send(Method::PUT, &[container, object], "", prepare)
            .await
            .map(drop)
    }

    /// Removes an object; with `segments` those of a static large object too.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete(&self, container: &str, object: &str, segments: bool) -> Result<(), Error> {
        let query = if segments {
            "?multipart-manifest=delete"
        } else {
            ""
        };
        self.send(Method::DELETE, &[container, object], query, |r| r)
            .await
            .map(drop)
    }

    /// The objects whose names begin with `prefix`, after `marker`, in their order: a page, and an
    /// empty one after the last.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list(
        &self,
        container: &str,
        prefix: &str,
        marker: &str,
    ) -> Result<Vec<Listed>, Error> {
        self.page(&[container], prefix, marker).await
    }

    /// The containers whose names begin with `prefix`, in the same way.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn containers(&self, prefix: &str, marker: &str) -> Result<Vec<Listed>, Error> {
        self.page(&[], prefix, marker).await
    }

    async fn page(&self, of: &[&str], prefix: &str, marker: &str) -> Result<Vec<Listed>, Error> {
        let [prefix, marker] = [prefix, marker].map(|text| utf8_percent_encode(text, UNSAFE));
        let query = format!("?format=json&limit={PAGE_NAMES}&prefix={prefix}&marker={marker}");
        let answer = self.send(Method::GET, of, &query, |r| r).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(Vec::new());
        }
        let body = answer.bytes().await.map_err(|error| unavailable(&error))?;
        let read = serde_json::from_slice::<Vec<Value>>(&body).ok();
        let listed = read.and_then(|names| names.iter().map(Listed::of).collect());
        listed.ok_or_else(|| Error::Unexpected("a listing that is none".to_owned()))
    }

    /// Sends a request until it is answered, and judges the answer by its status.
    async fn send(
        &self,
        method: Method,
        names: &[&str],
        query: &str,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Error> {
        let mut access = self.door.access(None).await?;
        let (mut pause, mut retries, mut renewed) = (RETRY_AFTER, 0, false);
        loop {
            let url = access.url(names, query);
            let request = self.client.request(method.clone(), url);
            let request = request.header("x-auth-token", access.token().expose());
            let failed = match prepare(request).send().await {
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !renewed => {
                    renewed = true;
                    access = self.door.access(Some(&access)).await?;
                    continue;
                }
                Ok(answer) => match judged(&answer) {
                    None => return Ok(answer),
                    Some(error @ Error::Unavailable(_)) => error,
                    Some(error) => return Err(error),
                },
                Err(error) => unavailable(&error),
            };
            if retries == RETRIES_MAX {
                return Err(failed);
            }
            tracing::debug!(%method, error = %failed, "Swift is asked again");
            retries += 1;
            sleep(pause).await;
            pause *= 2;
        }
    }
}

impl Listed {
    fn of(entry: &Value) -> Option<Self> {
        let modified = entry["last_modified"].as_str().and_then(|time| {
            let time = time.trim_end_matches('Z');
            let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
            Some(time.and_utc())
        });
        Some(Self {
            name: entry["name"].as_str()?.to_owned(),
            size_bytes: entry["bytes"].as_u64()?,
            modified,
        })
    }
}

impl Access {
    fn url(&self, names: &[&str], query: &str) -> String {
        let mut url = self.address.clone();
        for name in names {
            url.push('/');
            url.extend(utf8_percent_encode(name, UNSAFE));
        }
        url + query
    }
}

impl Body {
    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// When the body breaks off, or nothing comes in time: it never ends early without one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let piece = self.response.chunk().await;
        let piece = piece.map_err(|error| unavailable(&error))?;
        let mut piece = piece.ok_or_else(|| Error::Unavailable("it ended early".to_owned()))?;
        piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= piece.len() as u64;
        Ok(Some(piece))
    }

    /// Bytes that are still to come.
    pub fn left_bytes(&self) -> u64 {
        self.left
    }
}

/// What a status means, where it is no success.
fn judged(answer: &Response) -> Option<Error> {
    let status = answer.status();
    Some(match status.as_u16() {
        200..=299 => return None,
        401 | 403 => Error::Denied(status.to_string()),
        404 => Error::NotFound,
        409 | 412 => Error::Exists,
        413 | 507 => Error::Full(status),
        416 => Error::Range,
        408 | 429 | 498 | 500 | 502 | 503 | 504 => Error::Unavailable(status.to_string()),
        _ => Error::Unexpected(status.to_string()),
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `container/prefix`, each percent-encoded.
fn manifest(prefix: &str) -> String {
    let (container, prefix) = prefix.split_once('/').unwrap_or((prefix, ""));
    let encoded = [container, prefix].map(|text| utf8_percent_encode(text, UNSAFE).to_string());
    encoded.join("/")
}

/// Without the address, in which names may be nobody's to read.
fn unavailable(error: &reqwest::Error) -> Error {
    Error::Unavailable(transport::cause(error))
}
