//! Another image service, asked for an image in the name of whoever wants it: the import method
//! `glance-download` (reference B.3). Its address is the catalog's, so it is not one that a user names.

use std::{io, time::Duration};

use bytes::Bytes;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use super::{keystone::Access, transport};
use crate::base::{limits::MIB, secret::Secret};

/// For the head of an answer, and then for each next piece of its body.
const PATIENCE: Duration = Duration::from_secs(60);
/// An image's document is a few KiB; nobody's is longer.
const DOCUMENT_BYTES_MAX: usize = MIB;
const TOKEN: &str = "x-auth-token";
const SERVICE_TOKEN: &str = "x-service-token";

/// Asks other image services.
#[derive(Clone, Debug)]
pub struct Glance {
    client: Client,
}

/// An image there.
#[derive(Clone, Copy, Debug)]
pub struct Remote<'a> {
    /// The service's endpoint, without a version.
    pub endpoint: &'a str,
    /// The image's id.
    pub image: &'a str,
    /// Of whoever asks.
    pub token: &'a Secret,
    /// Ours, beside which a token is taken that is over.
    pub service: Option<&'a Access>,
}

/// Why there is no answer, or none that helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers, or not in time.
    #[error("the other image service cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It refuses.
    #[error("the other image service answers {0}")]
    Status(StatusCode),
    /// It describes the image in a way that is not known.
    #[error("the other image service does not describe the image")]
    Document,
    /// Its data is not as long as it says.
    #[error("the other image service sends {sent} bytes of an image of {expected}")]
    Size {
        /// By the header of the data.
        sent: u64,
        /// By the image's document.
        expected: u64,
    },
}

impl Glance {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, transport::Error> {
        let config = transport::Config {
            timeout: PATIENCE,
            ..transport::Config::default()
        };
        Ok(Self {
            client: transport::streaming(&config)?,
        })
    }

    /// The document of an image.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn show(&self, remote: Remote<'_>) -> Result<Value, Error> {
        let mut answer = self.ask(remote, "").await?;
        let mut document = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(Error::Unreachable)? {
            document.extend_from_slice(&piece);
            if document.len() > DOCUMENT_BYTES_MAX {
                return Err(Error::Document);
            }
        }
        serde_json::from_slice(&document).map_err(|_| Error::Document)
    }

    /// Begins to fetch the data of an image of so many bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn data(&self, remote: Remote<'_>, size_bytes: u64) -> Result<Download, Error> {
        let response = self.ask(remote, "/file").await?;
        match response.content_length() {
            Some(sent) if sent != size_bytes => Err(Error::Size {
                sent,
                expected: size_bytes,
            }),
            _ => Ok(Download {
                response,
                left_bytes: size_bytes,
            }),
        }
    }

    async fn ask(&self, remote: Remote<'_>, part: &str) -> Result<Response, Error> {
        let endpoint = remote.endpoint.trim_end_matches('/');
        let url = format!("{endpoint}/v2/images/{}{part}", remote.image);
        let mut request = self.client.get(url).header(TOKEN, remote.token.expose());
        if let Some(service) = remote.service {
            request = request.header(SERVICE_TOKEN, service.token().expose());
        }
        let answer = request.send().await;
        let answer = answer.map_err(|error| Error::Unreachable(error.without_url()))?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            status => Err(Error::Status(status)),
        }
    }
}

/// The data of an image, as it comes.
#[derive(Debug)]
pub struct Download {
    response: Response,
    left_bytes: u64,
}

impl Download {
    /// The next bytes, of any number; `None` after the last.
    ///
    /// # Errors
    /// When the data breaks off, is not as long as the image, or nothing comes in time.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let bytes = self.response.chunk().await;
        let bytes = bytes.map_err(|error| io::Error::other(error.without_url()))?;
        let Some(bytes) = bytes else {
            return match self.left_bytes {
                0 => Ok(None),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        };
        let left_bytes = self.left_bytes.checked_sub(bytes.len() as u64);
        let longer = || io::Error::new(io::ErrorKind::InvalidData, "the image is longer than said");
        self.left_bytes = left_bytes.ok_or_else(longer)?;
        Ok(Some(bytes))
    }
}
