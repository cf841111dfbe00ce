//! Requests to Keystone under a token of our own.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use metrics::histogram;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit},
    time::sleep,
};

use super::{Error, auth, tokens};
use crate::{
    base::secret::Secret,
    client::transport::{self, cause},
};

/// Requests to Keystone at once; the others wait.
const REQUESTS_MAX: usize = 64;
/// Our token is renewed so long before it expires, or at half its life.
const RENEW_BEFORE: Duration = Duration::from_secs(30);
/// Before the first repetition; doubled for each next one.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Whoever asks so soon after a failed authentication gets its error, instead of queueing for one.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

/// How Keystone is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to authenticate, with or without `/v3`.
    pub auth_url: String,
    /// Who we are.
    pub credentials: auth::Credentials,
    /// For what; none leaves it to Keystone, which an application credential needs.
    pub scope: Option<auth::Scope>,
    /// The region whose endpoint is asked; none takes the first.
    pub region: Option<String>,
    /// The interfaces of the endpoint that is asked, the preferred one first.
    pub interfaces: Vec<String>,
    /// Repetitions of a request that found nobody.
    pub retries: u32,
    /// TLS and time limits.
    pub transport: transport::Config,
}

/// Our standing with Keystone. One lives as long as the process.
#[derive(Debug)]
pub struct Session {
    config: Config,
    client: Client,
    standing: Mutex<Standing>,
    at_once: Semaphore,
}

/// Our token and what came with it.
#[derive(Debug)]
struct Own {
    token: Secret,
    /// Where requests go, ending in `/v3`.
    endpoint: String,
    catalog: Value,
    /// Our user's id.
    user: String,
    /// The id of the project that we act in; empty where it is none.
    project: String,
    /// The names of our roles.
    roles: Vec<String>,
    renew_at: Instant,
}

/// Our token, for another service, and where services are.
#[derive(Clone, Debug)]
pub struct Access(Arc<Own>);

impl Access {
    /// The token.
    pub(in crate::client) fn token(&self) -> &Secret {
        &self.0.token
    }

    /// The id of the project that it is for; empty where it is for none.
    pub(in crate::client) fn project(&self) -> &str {
        &self.0.project
    }

    /// Whether it is for somebody of that role.
    pub(super) fn has_role(&self, name: &str) -> bool {
        self.0.roles.iter().any(|role| role == name)
    }

    /// Where the catalog says that a service of this type is asked, at the first of the interfaces
    /// that is there.
    pub(in crate::client) fn endpoint(
        &self,
        service_type: &str,
        region: Option<&str>,
        interfaces: &[String],
    ) -> Option<String> {
        let found = endpoint(&self.0.catalog, service_type, region, interfaces)?;
        Some(found.trim_end_matches('/').to_owned())
    }
}

#[derive(Debug, Default)]
struct Standing {
    own: Option<Arc<Own>>,
    failed: Option<(Instant, Error)>,
}

/// What Keystone said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `X-Subject-Token`
    pub(super) token: Option<Secret>,
    body: Bytes,
}

impl Session {
    /// Asks nothing yet: Keystone may come later than we do.
    ///
    /// # Errors
    /// When certificates or keys cannot be read.
    pub fn new(config: Config) -> Result<Self, transport::Error> {
        Ok(Self {
            client: transport::client(&config.transport)?,
            config,
            standing: Mutex::default(),
            at_once: Semaphore::new(REQUESTS_MAX),
        })
    }

    /// `GET` of a path below `/v3`. A refusal of our token is answered with a new one, once.
    pub(super) async fn get(
        &self,
        path: &str,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, Error> {
        let _permit = self.permit().await?;
        let ask = async |own: &Own| {
            let url = format!("{}{path}", own.endpoint);
            let request = || {
                let request = prepare(self.client.get(&url));
                request.header("x-auth-token", own.token.expose())
            };
            self.send(request).await
        };
        let own = self.own(None).await?;
        let mut answer = ask(&own).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            let own = self.own(Some(&own)).await?;
            answer = ask(&own).await?;
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(Error::unavailable("it refuses the token that it gave us"));
        }
        Ok(answer)
    }

    /// A request below `/v3` under somebody else's token.
    pub(super) async fn by(
        &self,
        token: &Secret,
        method: Method,
        path: &str,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, Error> {
        let _permit = self.permit().await?;
        let url = format!("{}{path}", self.own(None).await?.endpoint);
        self.send(|| {
            let request = prepare(self.client.request(method.clone(), &url));
            request.header("x-auth-token", token.expose())
        })
        .await
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, Error> {
        let patience = self.config.transport.timeout;
        let permit = tokio::time::timeout(patience, self.at_once.acquire()).await;
        let permit = permit.map_err(|_| Error::unavailable("too many requests wait for it"))?;
        Ok(permit.expect("it is never closed"))
    }

    /// The id of our user, if that can act by a trust: an application credential is for one project.
    pub(super) async fn trustee(&self) -> Result<Option<String>, Error> {
        match self.config.credentials {
            auth::Credentials::Password { .. } => Ok(Some(self.own(None).await?.user.clone())),
            auth::Credentials::Application { .. } | auth::Credentials::ApplicationOf { .. } => {
                Ok(None)
            }
        }
    }

    /// Our token, for another service; a new one where it was `refused` there.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn access(&self, refused: Option<&Access>) -> Result<Access, Error> {
        self.own(refused.map(|access| &access.0)).await.map(Access)
    }

    /// Our token; a new one where it is about to expire, or was `refused`.
    async fn own(&self, refused: Option<&Arc<Own>>) -> Result<Arc<Own>, Error> {
        let mut standing = self.standing.lock().await;
        if let Some(own) = &standing.own {
            let refused = refused.is_some_and(|refused| Arc::ptr_eq(refused, own));
            if !refused && Instant::now() < own.renew_at {
                return Ok(own.clone());
            }
        }
        if let Some((at, error)) = &standing.failed
            && at.elapsed() < FAILURE_HOLDS
        {
            return Err(error.clone());
        }
        match self.authenticate().await {
            Ok(own) => {
                let own = Arc::new(own);
                *standing = Standing {
                    own: Some(own.clone()),
                    failed: None,
                };
                Ok(own)
            }
            Err(error) => {
                standing.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// What Keystone says to our credentials for a scope.
    pub(super) async fn authenticated(&self, scope: Option<&auth::Scope>) -> Result<Answer, Error> {
        let auth_url = versioned(&self.config.auth_url);
        let body = Bytes::from_owner(auth::body(&self.config.credentials, scope));
        let request = || {
            let request = self.client.post(format!("{auth_url}/auth/tokens"));
            let request = request.header("content-type", "application/json");
            request.body(body.clone())
        };
        self.send(request).await
    }

    async fn authenticate(&self) -> Result<Own, Error> {
        let config = &self.config;
        let auth_url = versioned(&config.auth_url);
        let mut answer = self.authenticated(config.scope.as_ref()).await?;
        match answer.status {
            StatusCode::CREATED => {}
            StatusCode::UNAUTHORIZED => {
                return Err(Error::unavailable("it refuses the service's credentials"));
            }
            status => return Err(Error::unavailable(format!("it answers {status}"))),
        }
        let Some(token) = answer.token.take() else {
            return Err(Error::unavailable("it gives no token"));
        };
        let body = answer.json()?;
        let expires_at = tokens::time(&body["token"]["expires_at"]);
        let expires_at = expires_at.ok_or_else(|| Error::unavailable("its token has no end"))?;
        let life = expires_at.duration_since(SystemTime::now());
        let life = life.unwrap_or_default();
        let catalog = body["token"]["catalog"].clone();
        let roles = body["token"]["roles"].as_array().into_iter().flatten();
        let roles = roles.filter_map(|role| role["name"].as_str().map(str::to_owned));
        let user = body["token"]["user"]["id"].as_str();
        let project = body["token"]["project"]["id"].as_str();
        let (region, interfaces) = (config.region.as_deref(), &config.interfaces);
        let found = endpoint(&catalog, "identity", region, interfaces).map(versioned);
        if found.is_none() {
            tracing::warn!(
                auth_url,
                "Keystone is not in its own catalog for the region and interface; auth_url is used"
            );
        }
        Ok(Own {
            token,
            endpoint: found.unwrap_or(auth_url),
            user: user.unwrap_or_default().to_owned(),
            project: project.unwrap_or_default().to_owned(),
            roles: roles.collect(),
            catalog,
            renew_at: Instant::now() + (life - RENEW_BEFORE.min(life / 2)),
        })
    }

    /// Sends a request, and again where nobody was found.
    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Answer, Error> {
        let asked_at = Instant::now();
        let answer = self.send_on(request).await;
        let outcome = match &answer {
            Ok(_) => "answered",
            Err(_) => "failed",
        };
        histogram!("fresnel_keystone_request_seconds", "outcome" => outcome)
            .record(asked_at.elapsed().as_secs_f64());
        answer
    }

    async fn send_on(&self, request: impl Fn() -> RequestBuilder) -> Result<Answer, Error> {
        let mut pause = RETRY_AFTER;
        let mut left = self.config.retries;
        let response = loop {
            match request().send().await {
                Ok(response) => break response,
                Err(error) if error.is_connect() && left > 0 => {
                    tracing::debug!(error = cause(&error), "Keystone was not found");
                    left -= 1;
                    sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => return Err(Error::unavailable(cause(&error))),
            }
        };
        let status = response.status();
        let token = response.headers().get("x-subject-token");
        let token = token.and_then(|token| token.to_str().ok());
        let token = token.map(|token| Secret::new(token.to_owned()));
        let body = response.bytes().await;
        Ok(Answer {
            status,
            token,
            body: body.map_err(|error| Error::unavailable(cause(&error)))?,
        })
    }
}

impl Answer {
    pub(super) fn json(&self) -> Result<Value, Error> {
        serde_json::from_slice(&self.body).map_err(|_| Error::unavailable("it answers no JSON"))
    }
}

/// An address of Keystone's, ending in its version.
fn versioned(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let root = url.strip_suffix("/v3").or(url.strip_suffix("/v2.0"));
    format!("{}/v3", root.unwrap_or(url))
}

/// Where the catalog says that a service is asked.
fn endpoint<'a>(
    catalog: &'a Value,
    service_type: &str,
    region: Option<&str>,
    interfaces: &[String],
) -> Option<&'a str> {
    let services = catalog.as_array()?.iter();
    let services = services.filter(|service| service["type"] == service_type);
    let endpoints: Vec<&Value> = services
        .filter_map(|service| service["endpoints"].as_array())
        .flatten()
        .filter(|endpoint| region.is_none_or(|region| endpoint["region"] == region))
        .collect();
    interfaces.iter().find_map(|interface| {
        let mut endpoints = endpoints.iter();
        let found = endpoints.find(|endpoint| endpoint["interface"] == interface.as_str())?;
        found["url"].as_str()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::keystone::{Credentials, Named};

    fn config(region: Option<&str>, interfaces: &[&str]) -> Config {
        Config {
            auth_url: "http://127.0.0.1:1".into(),
            credentials: Credentials::Password {
                user: Named::Id { id: "u".into() },
                password: Secret::new("hunter2".into()),
            },
            scope: None,
            region: region.map(str::to_owned),
            interfaces: interfaces.iter().copied().map(str::to_owned).collect(),
            retries: 0,
            transport: transport::Config::default(),
        }
    }

    #[test]
    fn addresses_end_in_the_version() {
        for url in [
            "http://k:5000",
            "http://k:5000/",
            "http://k:5000/v3/",
            "http://k:5000/v2.0",
        ] {
            assert_eq!(versioned(url), "http://k:5000/v3");
        }
        assert_eq!(versioned("https://k/identity"), "https://k/identity/v3");
    }

    #[test]
    fn the_endpoint_is_of_the_region_and_the_first_interface_that_is_there() {
        let endpoint_of = |interface: &str, region: &str| json!({"interface": interface, "region": region, "url": format!("http://{interface}.{region}")});
        let catalog = json!([
            {"type": "image", "endpoints": [endpoint_of("internal", "one")]},
            {"type": "identity", "endpoints": [
                endpoint_of("public", "one"), endpoint_of("internal", "one"), endpoint_of("public", "two")]},
        ]);
        let cases = [
            (None, &["internal"] as &[_], Some("http://internal.one")),
            (
                Some("two"),
                &["internal", "public"],
                Some("http://public.two"),
            ),
            (Some("two"), &["internal"], None),
        ];
        for (region, interfaces, expected) in cases {
            let interfaces: Vec<_> = interfaces.iter().copied().map(str::to_owned).collect();
            let found = endpoint(&catalog, "identity", region, &interfaces);
            assert_eq!(found, expected, "{region:?} {interfaces:?}");
        }
    }

    #[test]
    fn debug_output_shows_no_password() {
        let session = Session::new(config(None, &["internal"])).unwrap();
        assert!(!format!("{session:?}").contains("hunter2"));
    }
}
