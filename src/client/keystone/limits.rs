//! Unified limits: what a project may use, by Keystone.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::Value;

use super::{Error, Session, flight::Flights};

/// How long limits are used before Keystone is asked again: a burst asks once, and a limit that is
/// lowered holds for whoever comes next.
const CACHE_TIME: Duration = Duration::from_millis(250);
/// How much longer they are used while Keystone does not answer.
const STALE_TIME: Duration = Duration::from_secs(600);
/// Projects whose limits are remembered.
const PROJECTS_MAX: usize = 4096;

/// Which endpoint's limits count, as oslo.limit finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `endpoint_id`
    Id(String),
    /// The service of that type and name, and the region.
    Service {
        /// `endpoint_service_type`
        service_type: Option<String>,
        /// `endpoint_service_name`
        service_name: Option<String>,
        /// `endpoint_region_name`
        region: Option<String>,
    },
}

/// The limits of projects for one service, remembered for a moment.
#[derive(Debug)]
pub struct Limits {
    session: Arc<Session>,
    endpoint: Endpoint,
    known: Flights<Option<String>, HashMap<String, i64>>,
}

/// Whose limits they are, in the query of both kinds.
#[derive(Debug)]
struct Owner {
    service_id: String,
    region_id: Option<String>,
}

impl Limits {
    /// The limits of the service at `endpoint`.
    pub fn new(session: Arc<Session>, endpoint: Endpoint) -> Self {
        Self {
            session,
            endpoint,
            known: Flights::new(PROJECTS_MAX),
        }
    }

    /// What the project may use, by the resource's name: its own limit where it has one, else the
    /// registered one. Below zero is no limit; a name that is not there stands for 0. Without a
    /// project these are the registered limits. While Keystone does not answer, the last known
    /// ones go on for ten minutes.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn of(&self, project: Option<&str>) -> Result<Arc<HashMap<String, i64>>, Error> {
        let key = project.map(str::to_owned);
        let (session, endpoint, asked) = (self.session.clone(), self.endpoint.clone(), key.clone());
        let question = || async move {
            let limits = ask(&session, &endpoint, asked.as_deref()).await?;
            Ok((limits, Instant::now() + CACHE_TIME))
        };
        let error = match self.known.get(&key, question).await {
            Ok(limits) => return Ok(limits),
            Err(error) => error,
        };
        let last = self.known.last(&key);
        let last = last.filter(|(_, until)| until.elapsed() < STALE_TIME);
        let (limits, _) = last.ok_or_else(|| error.clone())?;
        tracing::warn!(%error, project, "The limits known last are used");
        Ok(limits)
    }

    /// The same, asked for now: whoever is to be refused is refused by what holds.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn renewed(&self, project: Option<&str>) -> Result<Arc<HashMap<String, i64>>, Error> {
        self.known.expire(&project.map(str::to_owned));
        self.of(project).await
    }
}

async fn ask(
    session: &Session,
    endpoint: &Endpoint,
    project: Option<&str>,
) -> Result<HashMap<String, i64>, Error> {
    let owner = owner(session, endpoint).await?;
    let mut query = vec![("service_id", owner.service_id.as_str())];
    query.extend(owner.region_id.as_deref().map(|id| ("region_id", id)));
    let registered = get(session, "/registered_limits", &query).await?;
    let mut limits = named(&registered["registered_limits"], "default_limit");
    if let Some(project) = project {
        query.push(("project_id", project));
        let own = get(session, "/limits", &query).await?;
        limits.extend(named(&own["limits"], "resource_limit"));
    }
    Ok(limits)
}

async fn owner(session: &Session, endpoint: &Endpoint) -> Result<Owner, Error> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match endpoint {
        Endpoint::Id(id) => {
            let found = get(session, &format!("/endpoints/{id}"), &[]).await?;
            let found = &found["endpoint"];
            let service_id = text(&found["service_id"]);
            Ok(Owner {
                service_id: service_id.ok_or_else(|| Error::unavailable("no such endpoint"))?,
                region_id: text(&found["region_id"]),
            })
        }
        Endpoint::Service {
            service_type,
            service_name,
            region,
        } => {
            let given = [("type", service_type), ("name", service_name)];
            let query: Vec<_> = given
                .iter()
                .filter_map(|(key, value)| Some((*key, value.as_deref()?)))
                .collect();
            let found = get(session, "/services", &query).await?;
            let services = found["services"].as_array().map(Vec::as_slice);
            let [service] = services.unwrap_or_default() else {
                return Err(Error::unavailable(
                    "no service, or more than one, is the one of [oslo_limit]",
                ));
            };
            let service_id = text(&service["id"]);
            Ok(Owner {
                service_id: service_id
                    .ok_or_else(|| Error::unavailable("a service without an id"))?,
                region_id: region.clone(),
            })
        }
    }
}

async fn get(session: &Session, path: &str, query: &[(&str, &str)]) -> Result<Value, Error> {
    let pairs = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    let answer = session
        .get(&format!("{path}?{pairs}"), |request| request)
        .await?;
    match answer.status {
        StatusCode::OK => answer.json(),
        status => Err(Error::unavailable(format!("it answers {status} to {path}"))),
    }
}

fn named(limits: &Value, key: &str) -> HashMap<String, i64> {
    let limits = limits.as_array().map(Vec::as_slice).unwrap_or_default();
    let named = limits.iter().filter_map(|limit| {
        let name = limit["resource_name"].as_str()?;
        Some((name.to_owned(), limit[key].as_i64()?))
    });
    named.collect()
}
