//! Trusts (OS-TRUST): the right to act for a user when their token is over, asked for while it is good.
//!
//! A trust is of no use to anybody but our own user, so its id is no secret.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tracing::debug;

use super::{Access, Error, Scope, Session};
use crate::base::secret::Secret;

/// The role by which others know a service, whose token stands beside one that is over.
const SERVICE_ROLE: &str = "service";

/// Makes trusts, acts by them and ends them.
#[derive(Clone, Debug)]
pub struct Trusts {
    session: Arc<Session>,
}

impl Trusts {
    /// Our own user is whom users trust.
    pub fn new(session: Arc<Session>) -> Self {
        Self { session }
    }

    /// Makes a trust of the token's user, for its project and with its roles there, that Keystone itself
    /// lets nobody use after `lasts`. None: the token is not one that may, as that of an application
    /// credential, or there are no trusts here.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn make(&self, token: &Secret, lasts: Duration) -> Result<Option<String>, Error> {
        let Some(trustee) = self.session.trustee().await? else {
            return Ok(None);
        };
        let about = self
            .session
            .by(token, Method::GET, "/auth/tokens", |request| {
                request.header("x-subject-token", token.expose())
            });
        let about = about.await?;
        if about.status != StatusCode::OK {
            return refused(about.status);
        }
        let Some(trust) = trust(&about.json()?["token"], &trustee, lasts) else {
            return Ok(None);
        };
        let path = "/OS-TRUST/trusts";
        let made = self
            .session
            .by(token, Method::POST, path, |request| request.json(&trust));
        let made = made.await?;
        if made.status != StatusCode::CREATED {
            return refused(made.status);
        }
        let id = made.json()?["trust"]["id"].as_str().map(str::to_owned);
        id.map(Some)
            .ok_or_else(|| Error::unavailable("its trust has no id"))
    }

    /// A new token of the user's.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the trust is over, or its user may not do any more what they could;
    /// [`Error::Unavailable`].
    pub async fn token(&self, trust: &str) -> Result<Secret, Error> {
        // After this, what is refused is the trust and not our credentials.
        self.session.access(None).await?;
        let scope = Scope::Trust {
            id: trust.to_owned(),
        };
        let mut answer = self.session.authenticated(Some(&scope)).await?;
        match answer.status {
            StatusCode::CREATED => {
                let token = answer.token.take();
                token.ok_or_else(|| Error::unavailable("it gives no token"))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Err(Error::Invalid)
            }
            status => Err(Error::unavailable(format!("it answers {status}"))),
        }
    }

    /// Ends a trust. One that is over already is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end(&self, trust: &str) -> Result<(), Error> {
        let token = match self.token(trust).await {
            Err(Error::Invalid) => return Ok(()),
            token => token?,
        };
        let path = format!("/OS-TRUST/trusts/{trust}");
        let ended = self
            .session
            .by(&token, Method::DELETE, &path, |request| request);
        match ended.await?.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
            status => Err(Error::unavailable(format!("it answers {status}"))),
        }
    }

    /// Our own token, if others take it for that of a service: beside it they take a user's that is over.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn service(&self) -> Result<Option<Access>, Error> {
        let access = self.session.access(None).await?;
        Ok(access.has_role(SERVICE_ROLE).then_some(access))
    }
}

fn refused(status: StatusCode) -> Result<Option<String>, Error> {
    match status.is_client_error() {
        true => {
            debug!(%status, "Keystone makes no trust of a token");
            Ok(None)
        }
        false => Err(Error::unavailable(format!("it answers {status}"))),
    }
}

/// What is asked for; none for a token that is for no project.
fn trust(token: &Value, trustee: &str, lasts: Duration) -> Option<Value> {
    let project = token["project"]["id"].as_str()?;
    let roles = token["roles"].as_array()?.iter();
    let roles: Vec<Value> = roles.map(|role| json!({"id": role["id"]})).collect();
    let until = Utc::now() + lasts;
    Some(json!({"trust": {
        "trustor_user_id": token["user"]["id"],
        "trustee_user_id": trustee,
        "project_id": project,
        "roles": roles,
        "impersonation": true,
        "expires_at": until.format("%Y-%m-%dT%H:%M:%S.000000Z").to_string(),
    }}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_is_for_a_project_and_the_roles_there() {
        let mut token = json!({"user": {"id": "u"}, "project": {"id": "p"},
                               "roles": [{"id": "r1", "name": "member"}, {"id": "r2"}]});
        let asked = &trust(&token, "us", Duration::from_secs(3600)).unwrap()["trust"];
        assert_eq!(asked["roles"], json!([{"id": "r1"}, {"id": "r2"}]));
        assert_eq!(asked["trustor_user_id"], "u");
        assert_eq!(
            (&asked["trustee_user_id"], &asked["project_id"]),
            (&json!("us"), &json!("p"))
        );
        token["project"] = Value::Null;
        assert_eq!(trust(&token, "us", Duration::ZERO), None);
    }
}
