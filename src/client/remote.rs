//! A service of OpenStack, asked with a token that an operator has given: documents, and streams of bytes.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use reqwest::{Body, Client, Method, RequestBuilder, Response, header};
use serde_json::Value;

use super::transport;
use crate::base::secret::Secret;

/// The longest wait for the other side.
const PATIENCE: Duration = Duration::from_secs(300);
/// What is quoted of an answer that refuses.
const QUOTED_CHARS: usize = 300;

const TOKEN: &str = "x-auth-token";
const JSON_PATCH: &str = "application/openstack-images-v2.1-json-patch";
const OCTET_STREAM: &str = "application/octet-stream";

/// Where it is, and who asks.
#[derive(Clone, Debug)]
pub struct Config {
    /// What stands before `/v2`.
    pub url: String,
    /// Of the operator.
    pub token: Option<Secret>,
    /// PEM file with the only authorities to trust.
    pub ca_file: Option<PathBuf>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Remote {
    client: Client,
    /// Waits for its answer however long the sending takes.
    sending: Client,
    root: String,
    token: Option<Secret>,
}

/// Why it does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has not answered, or not to the end.
    #[error("{0}")]
    Failed(String),
    /// It has said no.
    #[error("it answers {status}: {text}")]
    Refused {
        /// The status.
        status: u16,
        /// The beginning of what it said.
        text: String,
    },
}

impl Error {
    /// Whether there is no such thing.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

impl Remote {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: &Config) -> Result<Self, transport::Error> {
        let transport = transport::Config {
            ca_file: config.ca_file.clone(),
            timeout: PATIENCE,
            ..transport::Config::default()
        };
        let sending = transport::builder(&transport)?.build();
        Ok(Self {
            client: transport::streaming(&transport)?,
            sending: sending.map_err(transport::Error::Tls)?,
            root: config.url.trim_end_matches('/').to_owned(),
            token: config.token.clone(),
        })
    }

    /// A document.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        document(self.send(self.request(Method::GET, path)).await?).await
    }

    /// Makes something of a document.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let request = self.request(Method::POST, path).json(body);
        document(self.send(request).await?).await
    }

    /// Changes something by a JSON patch.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patch(&self, path: &str, changes: &Value) -> Result<Value, Error> {
        let request = self.request(Method::PATCH, path);
        let request = request.header(header::CONTENT_TYPE, JSON_PATCH);
        document(self.send(request.body(changes.to_string())).await?).await
    }

    /// Bytes, as they come.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn read(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, Error> {
        let answer = self.send(self.request(Method::GET, path)).await?;
        let bytes = answer.bytes_stream();
        Ok(bytes.map_err(|error| io::Error::other(transport::cause(&error))))
    }

    /// Sends so many bytes. When the stream ends with an error, so does the connection.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn write(
        &self,
        path: &str,
        size_bytes: u64,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), Error> {
        let request = self.sending.put(format!("{}{path}", self.root));
        let request = self.authorized(request);
        let request = request.header(header::CONTENT_TYPE, OCTET_STREAM);
        let request = request.header(header::CONTENT_LENGTH, size_bytes);
        self.send(request.body(Body::wrap_stream(bytes))).await?;
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.authorized(self.client.request(method, format!("{}{path}", self.root)))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            None => request,
            Some(token) => request.header(TOKEN, token.expose()),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let answer = request.send().await.map_err(|error| failed(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        Err(Error::Refused {
            status: status.as_u16(),
            text: text.chars().take(QUOTED_CHARS).collect(),
        })
    }
}

async fn document(answer: Response) -> Result<Value, Error> {
    answer.json().await.map_err(|error| failed(&error))
}

fn failed(error: &reqwest::Error) -> Error {
    Error::Failed(transport::cause(error))
}
