//! Another worker of the image service, asked in the name of whoever asks us: it has on its disk
//! what we have not (reference E.10).

use std::time::Duration;

use hyper::ext::ReasonPhrase;
use reqwest::{Client, Method};
use serde_json::Value;

use super::transport;
use crate::base::secret::Secret;

/// What an answer may take, as in Glance.
const TIMEOUT: Duration = Duration::from_secs(60);

const TOKEN: &str = "x-auth-token";
const REQUEST_ID: &str = "x-openstack-request-id";

/// Asks other workers.
#[derive(Clone, Debug)]
pub struct Peer {
    client: Client,
}

/// A request as it is passed on.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// `POST` or `DELETE`.
    pub method: &'a str,
    /// The worker's `worker_self_reference_url` and the path.
    pub url: &'a str,
    /// Of whoever asks.
    pub token: Option<&'a Secret>,
    /// JSON.
    pub body: Option<&'a Value>,
}

/// What the worker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What it calls the status.
    pub reason: String,
    /// The id that the request has there.
    pub request_id: Option<String>,
}

/// Why there is no answer. The address is Glance's own and no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens, or not in time.
    #[error("the worker does not answer: {0}")]
    Unreachable(#[source] reqwest::Error),
    /// What it says makes no sense, or the address does not.
    #[error("the worker cannot be asked: {0}")]
    Failed(#[source] reqwest::Error),
}

impl Peer {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, transport::Error> {
        let config = transport::Config {
            timeout: TIMEOUT,
            ..transport::Config::default()
        };
        Ok(Self {
            client: transport::client(&config)?,
        })
    }

    /// Passes a request on.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ask(&self, forward: Forward<'_>) -> Result<Answer, Error> {
        let method = Method::from_bytes(forward.method.as_bytes()).unwrap_or(Method::GET);
        let mut request = self.client.request(method, forward.url);
        if let Some(token) = forward.token {
            request = request.header(TOKEN, token.expose());
        }
        if let Some(body) = forward.body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| {
            match error.is_connect() || error.is_timeout() {
                true => Error::Unreachable(error),
                false => Error::Failed(error),
            }
        })?;
        let request_id = answer.headers().get(REQUEST_ID);
        let request_id = request_id.and_then(|id| id.to_str().ok());
        let own = answer.extensions().get::<ReasonPhrase>();
        let reason = match own {
            Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
            None => answer
                .status()
                .canonical_reason()
                .unwrap_or_default()
                .to_owned(),
        };
        Ok(Answer {
            status: answer.status().as_u16(),
            reason,
            request_id: request_id.map(str::to_owned),
        })
    }
}
