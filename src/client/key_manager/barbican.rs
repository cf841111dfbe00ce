//! Barbican's API, version 1: the payload of a secret, asked for as its user.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, header::ACCEPT};
use serde_json::Value;

use super::{CERTIFICATE_BYTES_MAX, Error, KeyManager, checked};
use crate::{
    base::secret::Secret,
    client::{
        keystone::Session,
        transport::{self, cause},
    },
};

const TOKEN: &str = "x-auth-token";
/// What Barbican is in the catalog.
const SERVICE_TYPE: &str = "key-manager";
/// What castellan calls the format of a secret, by its type in Barbican.
const FORMATS: [(&str, &str); 4] = [
    ("symmetric", "RAW"),
    ("passphrase", "RAW"),
    ("public", "SubjectPublicKeyInfo"),
    ("private", "PKCS8"),
];
/// That of all others.
const OPAQUE: &str = "Opaque";

/// How Barbican is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its address, with or without `/v1`; none asks the catalog.
    pub endpoint: Option<String>,
    /// The region of its endpoint in the catalog; none takes the first.
    pub region: Option<String>,
    /// The interface of its endpoint: `public`, ...
    pub interface: String,
    /// TLS and time limits.
    pub transport: transport::Config,
}

/// Asks Barbican, with the token of whoever asks us: what a user may not read, images of that user are
/// not signed with.
#[derive(Debug)]
pub struct Barbican {
    config: Config,
    /// For the catalog alone.
    session: Option<Arc<Session>>,
    client: Client,
}

impl Barbican {
    /// Asks nothing yet. The catalog is that of `session`.
    ///
    /// # Errors
    /// When certificates cannot be read.
    pub fn new(config: Config, session: Option<Arc<Session>>) -> Result<Self, transport::Error> {
        Ok(Self {
            client: transport::client(&config.transport)?,
            session,
            config,
        })
    }

    /// The address of all secrets.
    async fn secrets(&self) -> Result<String, Error> {
        let config = &self.config;
        let endpoint = match (&config.endpoint, &self.session) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(session)) => {
                let access = session.access(None).await;
                let access = access.map_err(|error| Error::Unavailable(error.to_string()))?;
                let interfaces = std::slice::from_ref(&config.interface);
                let found = access.endpoint(SERVICE_TYPE, config.region.as_deref(), interfaces);
                found.ok_or_else(|| unavailable("Barbican is not in the catalog"))?
            }
            (None, None) => return Err(unavailable("where Barbican is, is not configured")),
        };
        let root = endpoint.trim_end_matches('/');
        let root = root.strip_suffix("/v1").unwrap_or(root);
        Ok(format!("{root}/v1/secrets"))
    }

    async fn get(&self, url: &str, accept: &str, token: &Secret) -> Result<Vec<u8>, Error> {
        let request = self.client.get(url).header(ACCEPT, accept);
        let sent = request.header(TOKEN, token.expose()).send().await;
        let answer = sent.map_err(|error| Error::Unavailable(cause(&error)))?;
        match answer.status() {
            StatusCode::OK => body(answer).await,
            StatusCode::NOT_FOUND => Err(Error::NotFound),
            status => Err(Error::Unavailable(format!("Barbican answers {status}"))),
        }
    }
}

#[async_trait]
impl KeyManager for Barbican {
    async fn certificate(&self, id: &str, token: Option<&Secret>) -> Result<Vec<u8>, Error> {
        let id = checked(id)?;
        let token = token.ok_or_else(|| unavailable("the request has no token for Barbican"))?;
        let url = format!("{}/{id}", self.secrets().await?);
        let about = self.get(&url, "application/json", token).await?;
        let about: Value =
            serde_json::from_slice(&about).map_err(|_| unavailable("Barbican answers no JSON"))?;
        let kind = about["secret_type"].as_str().unwrap_or_default();
        if kind != "certificate" {
            let known = FORMATS.iter().find(|(name, _)| *name == kind);
            return Err(Error::OtherKind(known.map_or(OPAQUE, |(_, format)| format)));
        }
        let content_type = about["content_types"]["default"].as_str();
        let content_type = content_type.ok_or_else(|| unavailable("the secret has no payload"))?;
        self.get(&format!("{url}/payload"), content_type, token)
            .await
    }
}

/// What an answer says, if that is not too much.
async fn body(mut answer: Response) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let next = answer.chunk().await;
        match next.map_err(|error| Error::Unavailable(cause(&error)))? {
            None => return Ok(bytes),
            Some(chunk) if bytes.len() + chunk.len() > CERTIFICATE_BYTES_MAX => {
                return Err(unavailable("Barbican answers more than a certificate has"));
            }
            Some(chunk) => bytes.extend_from_slice(&chunk),
        }
    }
}

fn unavailable(text: &str) -> Error {
    Error::Unavailable(text.to_owned())
}
