//! Another image service, asked in the name of whoever asks us: what goes either way passes as it is.

mod own;

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use http::{HeaderMap, Method, header, response::Parts};
use http_body_util::BodyExt;
use reqwest::{Body, Client};
use tokio::{
    select,
    sync::watch,
    time::{sleep, timeout},
};

use super::{keystone, transport};

pub use own::{Own, Pass};

/// The longest that a service may take over what it is to change: between two pieces of a body, and after
/// the last one, when it may have an image to bring to rest.
const CHANGE_MAX: Duration = Duration::from_secs(600);

/// Headers of one connection, which are not passed on (RFC 9110, 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The service.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Scheme, host and perhaps a path, without a slash at the end.
    base: String,
    client: Client,
    /// The longest silence.
    patience: Duration,
}

/// A request, as it is passed on.
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Path and query, as the client wrote them.
    pub target: String,
    /// All headers of the client that [may pass](passable).
    pub headers: HeaderMap,
    /// The body, where there is one.
    pub body: Option<BoxStream<'static, io::Result<Bytes>>>,
}

/// An answer whose body is still on the wire.
pub struct Answer {
    /// Status and headers, those of the connection left out.
    pub head: Parts,
    body: Body,
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("{0:?} is not the address of an image service, as https://image.example:9292")]
    Address(String),
    /// Nobody answers.
    #[error("the image service does not answer: {0}")]
    Unreachable(String),
    /// Keystone, where we are to ask by ourselves.
    #[error(transparent)]
    Keystone(#[from] keystone::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Transport(#[from] transport::Error),
}

impl Upstream {
    /// # Errors
    /// [`Error::Address`], [`Error::Transport`].
    pub fn new(url: &str, config: &transport::Config) -> Result<Self, Error> {
        let parsed = reqwest::Url::parse(url).ok();
        let is_good = parsed.is_some_and(|url| {
            ["http", "https"].contains(&url.scheme()) && url.has_host() && url.query().is_none()
        });
        if !is_good {
            return Err(Error::Address(url.to_owned()));
        }
        // Its own limit would be one for a body and the answer together.
        let client = transport::builder(config)?.build();
        Ok(Self {
            base: url.trim_end_matches('/').to_owned(),
            client: client.map_err(transport::Error::Tls)?,
            patience: config.timeout,
        })
    }

    /// Passes a request on. A client that sends slowly is no silence of the service's.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn ask(&self, ask: Ask) -> Result<Answer, Error> {
        let url = format!("{}{}", self.base, ask.target);
        let patience = match ask.method.is_safe() {
            true => self.patience,
            false => self.patience.max(CHANGE_MAX),
        };
        let (taking, taken) = watch::channel(());
        let request = self.client.request(ask.method, url).headers(ask.headers);
        let request = match ask.body {
            Some(body) => {
                let body = body.inspect(move |_| taking.send_replace(()));
                request.body(Body::wrap_stream(body))
            }
            None => {
                drop(taking);
                request
            }
        };
        let response = select! {
            response = request.send() => response.map_err(|error| unreachable(&error))?,
            () = silence(taken, patience) => {
                return Err(Error::Unreachable("it takes too long".to_owned()));
            }
        };
        let (mut head, body) = http::Response::<Body>::from(response).into_parts();
        head.headers = passable(&head.headers);
        Ok(Answer {
            head,
            body,
            patience: self.patience,
        })
    }
}

/// Ends when nothing more of a body was taken for so long, or all of it is and as much time has passed.
async fn silence(mut taken: watch::Receiver<()>, patience: Duration) {
    loop {
        match timeout(patience, taken.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return sleep(patience).await,
            Err(_) => return,
        }
    }
}

impl Answer {
    /// The next bytes; none at their end. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the body breaks off, or nothing comes in time.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while let Some(frame) = timeout(self.patience, self.body.frame()).await? {
            let frame = frame.map_err(|error| io::Error::other(transport::cause(&error)))?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Bytes of the body, where the service says it.
    pub fn content_length(&self) -> Option<u64> {
        let length = self.head.headers.get(header::CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }

    /// A body of at most so many bytes; none where there are more, or it breaks off.
    pub async fn read_to_limit(mut self, limit_bytes: usize) -> Option<Vec<u8>> {
        let mut read = Vec::new();
        while let Some(bytes) = self.next().await.ok()? {
            if read.len() + bytes.len() > limit_bytes {
                return None;
            }
            read.extend(bytes);
        }
        Some(read)
    }
}

/// The headers that are no connection's own.
pub fn passable(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(header::CONNECTION).into_iter();
    let named: Vec<String> = named
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut passed = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let is_own =
            HOP_BY_HOP.contains(&name.as_str()) || named.iter().any(|own| name.as_str() == own);
        if !is_own {
            passed.append(name, value.clone());
        }
    }
    passed
}

fn unreachable(error: &reqwest::Error) -> Error {
    Error::Unreachable(transport::cause(error))
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("method", &self.method)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.head.status)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_connections_own_headers_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("transfer-encoding", "chunked"),
            ("x-auth-token", "secret"),
            ("accept", "a"),
            ("accept", "b"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let passed = passable(&headers);
        assert_eq!(passed.len(), 3);
        assert_eq!(passed.get_all("accept").iter().count(), 2);
    }

    #[test]
    fn an_address_is_a_service() {
        let config = transport::Config::default();
        for good in [
            "http://image:9292",
            "https://cloud/image/",
            "http://[::1]:1",
        ] {
            assert!(Upstream::new(good, &config).is_ok(), "{good}");
        }
        for bad in ["", "image:9292", "ftp://image", "http://image/?a=b"] {
            assert!(Upstream::new(bad, &config).is_err(), "{bad}");
        }
    }
}
