//! What tokens say, by Keystone, for a bounded time.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use chrono::DateTime;
use reqwest::{StatusCode, header::HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::{Error, Session, flight::Flights};

/// Tokens that are remembered at once, by what they say (about 1 KiB each).
const TOKENS_MAX: usize = 16 * 1024;
/// A longer token is none: Keystone's front ends take no such header.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What a token says. Names are Keystone's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Keystone's")]
pub struct Token {
    pub user_id: String,
    pub user_domain_id: Option<String>,
    pub project_id: Option<String>,
    pub project_domain_id: Option<String>,
    pub domain_id: Option<String>,
    /// `all` for a token of the whole system.
    pub system_scope: Option<String>,
    /// As Keystone spells them.
    pub roles: Vec<String>,
    pub is_admin_project: bool,
    pub expires_at: SystemTime,
    /// What an application credential is restricted to; none where it is to nothing.
    pub access_rules: Option<Vec<AccessRule>>,
    /// The types of the services in the catalog; empty where none was asked for.
    pub service_types: Vec<String>,
    /// The image services in the catalog; empty where none was asked for.
    pub image_services: Vec<ImageService>,
}

/// Where the catalog has an image service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageService {
    /// The region.
    pub region: String,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// The address.
    pub url: String,
}

/// What an application credential may be used for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AccessRule {
    /// A type of service.
    pub service: String,
    /// The method of the request.
    pub method: String,
    /// A pattern of its path.
    pub path: String,
}

impl Token {
    /// Whether its time is over.
    pub fn is_expired(&self) -> bool {
        self.expires_at <= SystemTime::now()
    }
}

/// Asks Keystone about tokens and remembers the answers: by a keyed digest of the token, never the
/// token itself, and for a bounded time. Revocation is noticed when that is over.
pub struct Tokens {
    session: Arc<Session>,
    /// Of this process alone, so that a digest says nothing to anybody else.
    key: [u8; 32],
    known: Flights<(blake3::Hash, bool), Token>,
    cache_time: Option<Duration>,
    include_catalog: bool,
}

impl Tokens {
    /// `cache_time` bounds how long an answer is remembered; none remembers nothing.
    pub fn new(session: Arc<Session>, cache_time: Option<Duration>, include_catalog: bool) -> Self {
        let mut key = [0; 32];
        for half in key.chunks_exact_mut(16) {
            half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        Self {
            session,
            key,
            known: Flights::new(TOKENS_MAX),
            cache_time,
            include_catalog,
        }
    }

    /// What the token says. Also of one whose time is over, if `allow_expired` and Keystone's
    /// window for that is open.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Unavailable`] where Keystone would have to be asked and does not
    /// answer.
    pub async fn validate(&self, token: &str, allow_expired: bool) -> Result<Arc<Token>, Error> {
        let Some(header) = subject(token) else {
            return Err(Error::Invalid);
        };
        let digest = blake3::keyed_hash(&self.key, token.as_bytes());
        let (session, catalog) = (self.session.clone(), self.include_catalog);
        let cache_time = self.cache_time.unwrap_or_default();
        let question = || async move {
            let token = ask(&session, &header, allow_expired, catalog).await?;
            let until = Instant::now() + kept_for(&token, cache_time);
            Ok((token, until))
        };
        let said = self.known.get(&(digest, allow_expired), question).await?;
        if said.is_expired() && !allow_expired {
            return Err(Error::Invalid);
        }
        Ok(said)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Tokens");
        shown.field("session", &self.session);
        shown.field("cache_time", &self.cache_time);
        shown.finish_non_exhaustive()
    }
}

/// The token as a header that is in no debug output; none where it can be no token.
fn subject(token: &str) -> Option<HeaderValue> {
    let fits = (1..=TOKEN_BYTES_MAX).contains(&token.len());
    let mut header = HeaderValue::from_str(token).ok().filter(|_| fits)?;
    header.set_sensitive(true);
    Some(header)
}

async fn ask(
    session: &Session,
    subject: &HeaderValue,
    allow_expired: bool,
    catalog: bool,
) -> Result<Token, Error> {
    let path = match (allow_expired, catalog) {
        (false, true) => "/auth/tokens",
        (false, false) => "/auth/tokens?nocatalog",
        (true, true) => "/auth/tokens?allow_expired=1",
        (true, false) => "/auth/tokens?nocatalog&allow_expired=1",
    };
    let prepare = |request: reqwest::RequestBuilder| {
        let request = request.header("x-subject-token", subject);
        // Without it Keystone refuses the tokens of restricted application credentials.
        request.header("openstack-identity-access-rules", "1")
    };
    let answer = session.get(path, prepare).await?;
    match answer.status {
        StatusCode::OK => parse(&answer.json()?)
            .ok_or_else(|| Error::unavailable("it describes a token in a way that is not known")),
        StatusCode::NOT_FOUND
        | StatusCode::BAD_REQUEST
        | StatusCode::URI_TOO_LONG
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Err(Error::Invalid),
        StatusCode::FORBIDDEN => Err(Error::unavailable(
            "the service's user may not validate tokens (it lacks the role service)",
        )),
        status => Err(Error::unavailable(format!("it answers {status}"))),
    }
}

/// Until the token expires, and no longer than the cache time.
fn kept_for(token: &Token, cache_time: Duration) -> Duration {
    match token.expires_at.duration_since(SystemTime::now()) {
        Ok(life) => life.min(cache_time),
        // It was asked for with `allow_expired`.
        Err(_) => cache_time,
    }
}

/// A time as Keystone writes it.
pub(super) fn time(value: &Value) -> Option<SystemTime> {
    let time = DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
    Some(time.into())
}

fn parse(body: &Value) -> Option<Token> {
    let token = &body["token"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (project, user) = (&token["project"], &token["user"]);
    let texts = |list: &Value, key: &str| {
        let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|item| text(&item[key])).collect()
    };
    let rules = &token["application_credential"]["access_rules"];
    let access_rules = match rules {
        Value::Null => None,
        rules => Some(Vec::<AccessRule>::deserialize(rules).ok()?),
    };
    Some(Token {
        user_id: text(&user["id"])?,
        user_domain_id: text(&user["domain"]["id"]),
        project_id: text(&project["id"]),
        project_domain_id: text(&project["domain"]["id"]),
        domain_id: text(&token["domain"]["id"]),
        system_scope: (token["system"]["all"] == true).then(|| "all".to_owned()),
        roles: texts(&token["roles"], "name"),
        is_admin_project: token["is_admin_project"].as_bool().unwrap_or(true),
        expires_at: time(&token["expires_at"])?,
        access_rules,
        service_types: texts(&token["catalog"], "type"),
        image_services: image_services(&token["catalog"]),
    })
}

fn image_services(catalog: &Value) -> Vec<ImageService> {
    let items = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let services = items(catalog).into_iter();
    let services = services.filter(|service| service["type"] == "image");
    let endpoints = services.flat_map(|service| items(&service["endpoints"]));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let endpoints = endpoints.filter_map(|endpoint| {
        Some(ImageService {
            region: text(&endpoint["region"])?,
            interface: text(&endpoint["interface"])?,
            url: text(&endpoint["url"])?,
        })
    });
    endpoints.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(seconds: i64) -> Value {
        let end = chrono::Utc::now() + chrono::TimeDelta::seconds(seconds);
        json!({"token": {
            "user": {"id": "u", "domain": {"id": "default"}},
            "project": {"id": "p", "domain": {"id": "default"}},
            "roles": [{"id": "1", "name": "Member"}, {"id": "2", "name": "reader"}],
            "expires_at": end.to_rfc3339(),
        }})
    }

    #[test]
    fn a_token_says_who_and_what() {
        let said = parse(&token(60)).unwrap();
        assert_eq!(said.user_id, "u");
        assert_eq!(said.project_id.as_deref(), Some("p"));
        assert_eq!(said.roles, ["Member", "reader"]);
        assert_eq!(
            (said.system_scope.clone(), said.is_admin_project),
            (None, true)
        );
        assert!(!said.is_expired());
        assert!(parse(&token(-1)).unwrap().is_expired());
        assert_eq!(parse(&json!({"token": {}})), None);
    }

    #[test]
    fn the_catalog_says_where_image_services_are() {
        let mut body = token(60);
        body["token"]["catalog"] = json!([
            {"type": "identity", "endpoints": [{"region": "R", "interface": "public", "url": "k"}]},
            {"type": "image", "endpoints": [
                {"region": "R", "interface": "public", "url": "http://glance"},
                {"region": null, "interface": "admin", "url": "http://other"},
            ]},
        ]);
        let said = parse(&body).unwrap();
        let expected = ImageService {
            region: "R".to_owned(),
            interface: "public".to_owned(),
            url: "http://glance".to_owned(),
        };
        assert_eq!(said.image_services, [expected]);
        assert_eq!(said.service_types, ["identity", "image"]);
    }

    #[test]
    fn restrictions_that_cannot_be_read_are_not_dropped() {
        let mut body = token(60);
        body["token"]["application_credential"] = json!({"access_rules": [{"path": "/"}]});
        assert_eq!(parse(&body), None);
        body["token"]["application_credential"] = json!({"access_rules": []});
        assert_eq!(parse(&body).unwrap().access_rules, Some(vec![]));
    }

    #[test]
    fn answers_are_kept_no_longer_than_the_token_lives() {
        let minutes = Duration::from_secs(300);
        assert!(kept_for(&parse(&token(20)).unwrap(), minutes) <= Duration::from_secs(20));
        assert_eq!(kept_for(&parse(&token(1000)).unwrap(), minutes), minutes);
        assert_eq!(kept_for(&parse(&token(-20)).unwrap(), minutes), minutes);
    }

    #[test]
    fn what_can_be_no_token_is_not_asked_about() {
        assert!(subject("gAAAA").is_some());
        assert!(subject("").is_none());
        assert!(subject("a\nb").is_none());
        assert!(subject(&"a".repeat(TOKEN_BYTES_MAX + 1)).is_none());
        assert!(!format!("{:?}", subject("hunter2")).contains("hunter2"));
    }
}
