//! Sending a request: signed, watched, and repeated where that may help.

use std::{
    error::Error as _,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::Utc;
use openssl::sha::sha256;
use reqwest::{
    Method, Response,
    header::{AUTHORIZATION, CONTENT_LENGTH},
};
use tokio::{select, time::sleep};
use tracing::debug;

use super::{Bucket, Config, Error, Leaves, Part, sign};

/// Before the first repetition; doubled for each next one.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A request.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    method: Method,
    /// None is the bucket itself.
    key: Option<&'a str>,
    /// In order of the names.
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Nothing,
    Text(Bytes),
    Part(Part),
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, key: Option<&'a str>) -> Self {
        Self {
            method,
            key,
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Nothing,
        }
    }

    /// The caller keeps to the order of the names.
    pub(super) fn query(&mut self, name: &'static str, value: &str) {
        self.query.push((name, value.to_owned()));
    }

    pub(super) fn header(&mut self, name: &'static str, value: String) {
        self.headers.push((name, value));
    }
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Text(text) => text.len() as u64,
            Self::Part(part) => part.len(),
        }
    }
}

impl Bucket {
    /// Sends a request that may be sent again, and again while the server fails it and its patience
    /// lasts.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Response, Error> {
        let began = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.try_once(ask).await {
                Err(error @ Error::Unavailable(_)) => error,
                other => return other,
            };
            if began.elapsed() + pause > self.config.patience {
                return Err(error);
            }
            debug!(%error, "The S3 server fails a request; trying again");
            metrics::counter!("fresnel_s3_retries_total").increment(1);
            sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
    }

    /// Sends a request once.
    pub(super) async fn try_once(&self, ask: &Ask<'_>) -> Result<Response, Error> {
        let sent = Arc::new(AtomicU64::new(0));
        let request = self.request(ask, &sent)?;
        let execute = self.client.execute(request);
        let answered = while_it_moves(self.config.patience, &sent, execute).await;
        let silent = || Error::Unavailable("it takes too long".to_owned());
        let response = answered.ok_or_else(silent)?;
        let response = response.map_err(|error| unavailable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let leaves = Leaves::read(response, self.config.patience).await;
        Err(leaves.unwrap_or_default().error(status))
    }

    fn request(&self, ask: &Ask<'_>, sent: &Arc<AtomicU64>) -> Result<reqwest::Request, Error> {
        let now = Utc::now();
        let payload = match &ask.body {
            Body::Nothing => sign::hex(&sha256(b"")),
            Body::Text(text) => sign::hex(&sha256(text)),
            Body::Part(_) => sign::UNSIGNED.to_owned(),
        };
        let url = format!("{}{}", self.base, sign::path(ask.key.unwrap_or_default()));
        let query = sign::query(&ask.query);
        let stamp = sign::stamp(now);
        let mut signed = vec![
            ("host", self.host.as_str()),
            ("x-amz-content-sha256", payload.as_str()),
            ("x-amz-date", stamp.as_str()),
        ];
        signed.extend(
            ask.headers
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        signed.sort_unstable();
        let authorization = sign::authorization(
            &self.config,
            now,
            &sign::Signed {
                method: ask.method.as_str(),
                path: &url[self.path_at..],
                query: &query,
                headers: &signed,
                payload: &payload,
            },
        );
        let address = match query.as_str() {
            "" => url,
            query => format!("{url}?{query}"),
        };
        let mut request = self.client.request(ask.method.clone(), address);
        // The connection writes `Host` itself, as it stands in the address.
        for (name, value) in signed.into_iter().filter(|(name, _)| *name != "host") {
            request = request.header(name, value);
        }
        request = request.header(AUTHORIZATION, authorization);
        // Servers want to know that there is nothing, too.
        if matches!(ask.method, Method::PUT | Method::POST) {
            request = request.header(CONTENT_LENGTH, ask.body.len());
        }
        request = match &ask.body {
            Body::Nothing => request,
            Body::Text(text) => request.body(text.clone()),
            Body::Part(part) => request.body(reqwest::Body::wrap(part.body(sent.clone()))),
        };
        let built = request.build();
        built.map_err(|error| Error::Refused(error.without_url().to_string()))
    }
}

/// The host, the beginning of every address, and where the path begins in it.
pub(super) fn base(config: &Config) -> (String, String, usize) {
    let endpoint = &config.endpoint;
    let mut host = endpoint.host_str().unwrap_or_default().to_owned();
    if let Some(port) = endpoint.port() {
        host = format!("{host}:{port}");
    }
    let folder = endpoint.path().trim_end_matches('/');
    let bucket = &config.bucket;
    let (host, folder) = if config.virtual_host {
        (format!("{bucket}.{host}"), format!("{folder}/"))
    } else {
        (host, format!("{folder}/{}/", sign::path(bucket)))
    };
    let scheme = endpoint.scheme();
    let path_at = scheme.len() + "://".len() + host.len();
    (host.clone(), format!("{scheme}://{host}{folder}"), path_at)
}

/// Without the address, which says nothing that is not known.
pub(super) fn unavailable(error: &reqwest::Error) -> Error {
    let mut text = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "it takes too long",
        (false, true) => "no connection",
        (false, false) => "the request broke off",
    }
    .to_owned();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    Error::Unavailable(text)
}

/// The outcome, unless nothing moves for that long.
async fn while_it_moves<T>(
    patience: Duration,
    moved: &AtomicU64,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut seen = moved.load(Ordering::Relaxed);
    loop {
        select! {
            biased;
            outcome = &mut work => return Some(outcome),
            () = sleep(patience) => {}
        }
        let now = moved.load(Ordering::Relaxed);
        if now == seen {
            return None;
        }
        seen = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    fn at(endpoint: &str, virtual_host: bool) -> (String, String, usize) {
        base(&Config {
            endpoint: endpoint.parse().unwrap(),
            bucket: "glance".into(),
            virtual_host,
            region: sign::DEFAULT_REGION.into(),
            access_key: Secret::new("a".into()),
            secret_key: Secret::new("s".into()),
            checksums: false,
            content_md5: false,
            ca_file: None,
            patience: Duration::ZERO,
        })
    }

    #[test]
    fn the_bucket_is_in_the_path_or_in_the_host() {
        let (host, base, path_at) = at("http://127.0.0.1:7480", false);
        assert_eq!(host, "127.0.0.1:7480");
        assert_eq!(base, "http://127.0.0.1:7480/glance/");
        assert_eq!(&base[path_at..], "/glance/");
        let (host, base, path_at) = at("https://s3.example.com:443/", true);
        assert_eq!(host, "glance.s3.example.com");
        assert_eq!(base, "https://glance.s3.example.com/");
        assert_eq!(&base[path_at..], "/");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_is_not_silent() {
        let (patience, moved) = (Duration::from_secs(10), AtomicU64::new(0));
        let slow = async {
            for _ in 0..20 {
                sleep(patience * 9 / 10).await;
                moved.fetch_add(1, Ordering::Relaxed);
            }
        };
        assert!(while_it_moves(patience, &moved, slow).await.is_some());
        let silent = std::future::pending::<()>();
        assert!(while_it_moves(patience, &moved, silent).await.is_none());
    }
}
