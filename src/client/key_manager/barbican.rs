//! Barbican's API, version 1: the payload of a secret and its consumers, asked for as its user.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{CERTIFICATE_BYTES_MAX, Error, KEY_BYTES_MAX, KeyManager, checked};
use crate::{
    base::secret::{Passphrase, Secret},
    client::{
        keystone::Session,
        transport::{self, cause},
    },
    model::ImageId,
};

const TOKEN: &str = "x-auth-token";
const SERVICE_TOKEN: &str = "x-service-token";
const API_VERSION: &str = "openstack-api-version";
const JSON: &str = "application/json";
/// The first that tells who needs a secret, and keeps it then. An older Barbican answers 406.
const GUARDED: &str = "key-manager 1.2";
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
    /// The service's own token goes with the user's.
    pub send_service_token: bool,
    /// TLS and time limits.
    pub transport: transport::Config,
}

/// Asks Barbican, with the token of whoever asks us: what a user may not read, images of that user are
/// not signed with.
#[derive(Debug)]
pub struct Barbican {
    config: Config,
    /// For the catalog, and the service's token.
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

    /// What opens something of the service's own, asked for as the service.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn own_passphrase(&self, id: &str) -> Result<Passphrase, Error> {
        let session = self.session.as_ref();
        let session = session.ok_or_else(|| unavailable("there is no [keystone_authtoken]"))?;
        let access = session.access(None).await;
        let access = access.map_err(|error| Error::Unavailable(error.to_string()))?;
        self.passphrase(id, Some(access.token())).await
    }

    /// Sends a request, as its user.
    async fn send(
        &self,
        request: RequestBuilder,
        token: Option<&Secret>,
    ) -> Result<Response, Error> {
        let token = token.ok_or_else(|| unavailable("the request has no token for Barbican"))?;
        let mut request = request.header(TOKEN, token.expose());
        if let (true, Some(session)) = (self.config.send_service_token, &self.session) {
            let access = session.access(None).await;
            let access = access.map_err(|error| Error::Unavailable(error.to_string()))?;
            request = request.header(SERVICE_TOKEN, access.token().expose());
        }
        let sent = request.send().await;
        let answer = sent.map_err(|error| Error::Unavailable(cause(&error)))?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::NOT_FOUND => Err(Error::NotFound),
            status => Err(Error::Unavailable(format!("Barbican answers {status}"))),
        }
    }

    async fn get(
        &self,
        url: &str,
        accept: &str,
        token: Option<&Secret>,
        bytes_max: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let request = self.client.get(url).header(ACCEPT, accept);
        body(self.send(request, token).await?, bytes_max).await
    }

    /// What Barbican tells of a secret, and the address of it.
    async fn about(&self, id: &str, token: Option<&Secret>) -> Result<(Value, String), Error> {
        let id = checked(id)?;
        let url = format!("{}/{id}", self.secrets().await?);
        let about = self.get(&url, JSON, token, CERTIFICATE_BYTES_MAX);
        let about = serde_json::from_slice(&about.await?);
        let about = about.map_err(|_| unavailable("Barbican answers no JSON"))?;
        Ok((about, url))
    }

    async fn payload(
        &self,
        (about, url): &(Value, String),
        token: Option<&Secret>,
        bytes_max: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let content_type = about["content_types"]["default"].as_str();
        let content_type = content_type.ok_or_else(|| unavailable("the secret has no payload"))?;
        let url = format!("{url}/payload");
        self.get(&url, content_type, token, bytes_max).await
    }

    /// Says that an image is, or is no more, among those who need a secret.
    async fn consumer(
        &self,
        method: Method,
        id: &str,
        image: &ImageId,
        token: Option<&Secret>,
    ) -> Result<(), Error> {
        let url = format!("{}/{}/consumers", self.secrets().await?, checked(id)?);
        let consumer = json!({
            "service": "image",
            "resource_type": "images",
            "resource_id": image.as_str(),
        });
        let request = self.client.request(method, url);
        let request = request.header(CONTENT_TYPE, JSON);
        let request = request.body(consumer.to_string());
        self.send(request, token).await.map(drop)
    }
}

#[async_trait]
impl KeyManager for Barbican {
    async fn certificate(&self, id: &str, token: Option<&Secret>) -> Result<Vec<u8>, Error> {
        let secret = self.about(id, token).await?;
        let kind = kind(&secret.0);
        if kind != "certificate" {
            return Err(other_kind(kind));
        }
        let payload = self.payload(&secret, token, CERTIFICATE_BYTES_MAX).await?;
        Ok(payload.to_vec())
    }

    async fn passphrase(&self, id: &str, token: Option<&Secret>) -> Result<Passphrase, Error> {
        let secret = self.about(id, token).await?;
        let is_text = match kind(&secret.0) {
            "passphrase" => true,
            "symmetric" | "opaque" => false,
            other => return Err(other_kind(other)),
        };
        let payload = self.payload(&secret, token, KEY_BYTES_MAX).await?;
        Ok(match is_text {
            true => Passphrase::new(payload),
            false => Passphrase::of_key(&payload),
        })
    }

    async fn needs(&self, id: &str, image: &ImageId, token: Option<&Secret>) -> Result<(), Error> {
        self.consumer(Method::POST, id, image, token).await
    }

    async fn leaves(&self, id: &str, image: &ImageId, token: Option<&Secret>) -> Result<(), Error> {
        self.consumer(Method::DELETE, id, image, token).await
    }

    async fn destroy(&self, id: &str, _: &ImageId, token: Option<&Secret>) -> Result<(), Error> {
        let url = format!("{}/{}", self.secrets().await?, checked(id)?);
        let guarded = |request: RequestBuilder| request.header(API_VERSION, GUARDED);
        let about = guarded(self.client.get(&url)).header(ACCEPT, JSON);
        let about = body(self.send(about, token).await?, CERTIFICATE_BYTES_MAX).await?;
        let about: Value = serde_json::from_slice(&about).unwrap_or_default();
        let consumers = about["consumers"].as_array();
        if consumers.is_some_and(|consumers| !consumers.is_empty()) {
            return Err(Error::InUse);
        }
        let request = guarded(self.client.delete(url));
        self.send(request, token).await.map(drop)
    }
}

fn kind(about: &Value) -> &str {
    about["secret_type"].as_str().unwrap_or_default()
}

fn other_kind(kind: &str) -> Error {
    let known = FORMATS.iter().find(|(name, _)| *name == kind);
    Error::OtherKind(known.map_or(OPAQUE, |(_, format)| format))
}

/// What an answer says, if that is not too much.
async fn body(mut answer: Response, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    // All at once: what a vector leaves behind when it grows is not overwritten.
    let mut bytes = Zeroizing::new(Vec::with_capacity(bytes_max));
    loop {
        let next = answer.chunk().await;
        match next.map_err(|error| Error::Unavailable(cause(&error)))? {
            None => return Ok(bytes),
            Some(chunk) if bytes.len() + chunk.len() > bytes_max => {
                return Err(unavailable("Barbican answers more than a secret has"));
            }
            Some(chunk) => bytes.extend_from_slice(&chunk),
        }
    }
}

fn unavailable(text: &str) -> Error {
    Error::Unavailable(text.to_owned())
}
