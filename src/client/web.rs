//! Things on the web that a user names: fetched under a policy, so that nobody reaches through us
//! what they cannot reach themselves.
//!
//! ```text
//! text -> Uri (one reading) -> Policy (lists, addresses) -> connection to an address that passed
//!           ^------------------- redirection ------------------------|
//! ```
//!
//! A name is resolved once for each connection, and the connection goes to the address that was
//! judged. Endpoints that the operator or the catalog names are not asked through this.

mod body;
mod connection;
mod policy;
mod tls;
mod uri;

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, HOST, HeaderName,
        LOCATION, PROXY_AUTHORIZATION, RANGE, TRANSFER_ENCODING, USER_AGENT,
    },
};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::transport;
use crate::model::ByteRange;
use connection::{Connection, Connector};

pub use body::Body;
pub use connection::Proxy;
pub use policy::{List, Policy};
pub use uri::{Host, Scheme, Uri};

/// Redirections that are followed, one after the other.
const REDIRECTS_MAX: usize = 5;
/// For a connection to one address, with its TLS.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// For the head of an answer, and then for each next piece of its body.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// How things are fetched.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// PEM file with the only authorities to trust; none stands for the system's.
    pub ca_file: Option<PathBuf>,
    /// Trusts whoever answers. Counts only without `ca_file`.
    pub insecure: bool,
    /// Who is asked in the place of the host, by scheme.
    pub proxies: Vec<(Scheme, Proxy)>,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// How long to wait for the web.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to one address, with its TLS.
    pub connect: Duration,
    /// For the head of an answer, and then for each next piece of its body.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: CONNECT_PATIENCE,
            answer: ANSWER_PATIENCE,
        }
    }
}

/// Why an address may not be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is none, or programs would read it differently.
    #[error("it is not an address that can be read in one way only")]
    Malformed,
    /// The lists of schemes, or there is no client for it.
    #[error("its scheme is not allowed")]
    Scheme,
    /// The lists of hosts, or it is the name of none.
    #[error("its host is not allowed")]
    Host,
    /// The lists of ports.
    #[error("its port is not allowed")]
    Port,
    /// The host has no address that may be reached.
    #[error("its host has no address that is allowed")]
    Address,
    /// The host has no address.
    #[error("its host has no address")]
    Unresolved,
}

/// Why something was not fetched. Says nothing of the address, which may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A redirection leads where the policy forbids.
    #[error("a redirection leads astray: {0}")]
    Astray(Refusal),
    /// More than [`REDIRECTS_MAX`] redirections.
    #[error("there are more than {REDIRECTS_MAX} redirections")]
    Redirections,
    /// There is nothing.
    #[error("there is nothing")]
    NotFound,
    /// The server answers something else than the thing.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The server names no length and ends by closing: a part could not be told from the whole.
    #[error("the server names no length")]
    Unmeasured,
    /// The thing is shorter than the range, or the server sends another range.
    #[error("the server does not have the range")]
    Range,
    /// No connection, or no answer in time.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
}

impl Error {
    fn unreachable(cause: impl ToString) -> Self {
        Self::Unreachable(cause.to_string())
    }
}

/// Fetches what the policy allows.
#[derive(Clone, Debug)]
pub struct Web {
    policy: Arc<Policy>,
    connector: Arc<Connector>,
    timeouts: Timeouts,
    trusts_anybody: bool,
}

impl Web {
    /// # Errors
    /// When a file with certificates cannot be read.
    pub fn new(policy: Arc<Policy>, config: Config) -> Result<Self, transport::Error> {
        Ok(Self {
            policy,
            timeouts: config.timeouts,
            trusts_anybody: config.insecure && config.ca_file.is_none(),
            connector: Arc::new(Connector::new(config)?),
        })
    }

    /// Whether nobody reaches an internal network, because no host is named.
    pub fn names_no_host(&self) -> bool {
        self.policy.hosts.allowed.is_empty()
    }

    /// Whether certificates are not verified.
    pub fn trusts_anybody(&self) -> bool {
        self.trusts_anybody
    }

    /// Whether an address may be fetched, as far as that is known without asking it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn check(&self, uri: &str) -> Result<(), Refusal> {
        self.policy.resolve(&Uri::parse(uri)?).await.map(drop)
    }

    /// Bytes of what is there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn size(&self, uri: &str) -> Result<u64, Error> {
        let answer = self.ask(uri, Method::HEAD, None).await?;
        length(&answer.response).ok_or(Error::Unmeasured)
    }

    /// Begins to fetch the whole, or a range of it. A body without a length comes in chunks, whose
    /// end is known when it comes.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get(&self, uri: &str, range: Option<ByteRange>) -> Result<Body, Error> {
        let asked = range.filter(|range| range.len > 0);
        let answer = self.ask(uri, Method::GET, asked).await?;
        let (skip, length) = extent(&answer.response, range)?;
        Ok(Body::new(answer, skip, length, self.timeouts.answer))
    }

    /// Asks, and follows redirections.
    async fn ask(
        &self,
        uri: &str,
        method: Method,
        range: Option<ByteRange>,
    ) -> Result<Answer, Error> {
        let mut uri = Uri::parse(uri)?;
        for redirections in 0..=REDIRECTS_MAX {
            let answer = self.ask_once(&uri, &method, range).await;
            let answer = answer.map_err(|error| match error {
                Error::Refused(refusal) if redirections > 0 => Error::Astray(refusal),
                other => other,
            })?;
            let Some(location) = redirection(&answer.response) else {
                return judged(answer);
            };
            let mut there = uri.join(location).map_err(Error::Astray)?;
            // The credentials of one place are not for another to hear.
            if uri.is_at(&there) && there.credentials.is_none() {
                there.credentials = uri.credentials;
            }
            uri = there;
        }
        Err(Error::Redirections)
    }

    async fn ask_once(
        &self,
        uri: &Uri,
        method: &Method,
        range: Option<ByteRange>,
    ) -> Result<Answer, Error> {
        let proxy = self.connector.proxy(uri.scheme);
        let mut connection = match proxy {
            None => {
                let addresses = self.policy.resolve(uri).await?;
                self.connector.direct(uri, &addresses).await?
            }
            Some(proxy) => {
                match self.policy.resolve(uri).await {
                    // What has no address here may have one where the proxy is.
                    Ok(_) | Err(Refusal::Unresolved) => {}
                    Err(refusal) => return Err(refusal.into()),
                }
                self.connector.through(proxy, uri).await?
            }
        };
        let mut request = Request::builder()
            .method(method)
            .uri(connection.target(uri))
            .header(HOST, uri.authority())
            .header(USER_AGENT, super::USER_AGENT)
            .header(ACCEPT, "*/*")
            .header(ACCEPT_ENCODING, "identity");
        if let Some(credentials) = &uri.credentials {
            request = request.header(AUTHORIZATION, connection::basic(credentials));
        }
        if let Some(authorization) = connection.proxy_authorization() {
            request = request.header(PROXY_AUTHORIZATION, authorization);
        }
        if let Some(range) = range {
            let last = range.end() - 1;
            request = request.header(RANGE, format!("bytes={}-{last}", range.offset));
        }
        let request = request.body(connection::Nothing::new());
        let request = request.map_err(|_| Refusal::Malformed)?;
        let response = timeout(self.timeouts.answer, connection.send(request)).await;
        let response = response.map_err(|_| Error::unreachable("it does not answer in time"))?;
        Ok(Answer {
            response: response?,
            connection,
        })
    }
}

/// An answer whose body is still to come.
struct Answer {
    response: Response<Incoming>,
    connection: Connection,
}

/// Where an answer sends us.
fn redirection(response: &Response<Incoming>) -> Option<&str> {
    let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| moved)?;
    std::str::from_utf8(location.as_bytes()).ok()
}

fn judged(answer: Answer) -> Result<Answer, Error> {
    match answer.response.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Error::NotFound),
        StatusCode::RANGE_NOT_SATISFIABLE => Err(Error::Range),
        status => Err(Error::Status(status)),
    }
}

/// How many bytes of a body come before the range, and how many are to be handed out.
fn extent(
    response: &Response<Incoming>,
    range: Option<ByteRange>,
) -> Result<(u64, Option<u64>), Error> {
    let length = length(response);
    let chunked = header(response, &TRANSFER_ENCODING);
    if length.is_none() && !chunked.is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Err(Error::Unmeasured);
    }
    let whole = response.status() == StatusCode::OK;
    match range {
        None if whole => Ok((0, length)),
        // Nobody has asked for a part.
        None => Err(Error::Range),
        // Whoever sends the whole for a part: what is before it is passed over.
        Some(range) if whole => match length {
            Some(length) if length < range.end() => Err(Error::Range),
            _ => Ok((range.offset, Some(range.len))),
        },
        Some(range) => {
            let first = header(response, &CONTENT_RANGE).and_then(first_byte);
            let enough = length.is_none_or(|length| length >= range.len);
            match first == Some(range.offset) && enough {
                true => Ok((0, Some(range.len))),
                false => Err(Error::Range),
            }
        }
    }
}

/// The first byte of a `Content-Range`.
fn first_byte(text: &str) -> Option<u64> {
    let (first, _) = text.strip_prefix("bytes ")?.split_once('-')?;
    first.trim().parse().ok()
}

fn length(response: &Response<Incoming>) -> Option<u64> {
    header(response, &CONTENT_LENGTH)?.parse().ok()
}

fn header<'a>(response: &'a Response<Incoming>, name: &HeaderName) -> Option<&'a str> {
    let value: &HeaderValue = response.headers().get(name)?;
    value.to_str().ok()
}

#[cfg(test)]
mod tests;
