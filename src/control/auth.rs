//! Who asks: a token becomes a caller, as keystonemiddleware and Glance's context filter have it
//! (reference A.1.7, C.1).

use std::sync::Arc;

use regex::Regex;

use super::{Caller, Control, Error, Identity, Result};
use crate::client::keystone::{self, AccessRule, Token, Tokens};

/// How callers are known.
#[derive(Debug, Default)]
pub enum Auth {
    /// Not at all: everybody is an administrator.
    #[default]
    Open,
    /// By Keystone's tokens.
    Keystone(Keystone),
}

impl Auth {
    /// Whether callers must show a token.
    pub fn asks(&self) -> bool {
        match self {
            Self::Open => false,
            Self::Keystone(_) => true,
        }
    }
}

/// Keystone, and what the operator decided about its tokens.
#[derive(Debug)]
pub struct Keystone {
    /// What tokens say.
    pub tokens: Tokens,
    /// The operator's decisions.
    pub settings: Settings,
}

/// The options of the same names in `[keystone_authtoken]`, and `allow_anonymous_access`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whoever shows no good token may look.
    pub allow_anonymous_access: bool,
    /// One of these makes a token a service's, which may pass on a user's expired one.
    pub service_token_roles: Vec<String>,
    /// Whether a service token without them is none.
    pub service_token_roles_required: bool,
    /// What the access rules of application credentials call us.
    pub service_type: Option<String>,
    /// Where clients get tokens: `www_authenticate_uri`.
    pub authenticate_at: Arc<str>,
}

/// What a request shows of who sends it.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The user's token.
    pub user_token: Option<&'a str>,
    /// That of the service that passes the request on.
    pub service_token: Option<&'a str>,
    /// What is asked for, as access rules spell it.
    pub method: &'a str,
    /// Of what, with the version.
    pub path: &'a str,
}

impl Control {
    /// Whom the tokens stand for.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; [`Error::IdentityUnavailable`] where Keystone would have to be
    /// asked and does not answer.
    pub async fn authenticate(
        &self,
        presented: Presented<'_>,
        request_id: String,
    ) -> Result<Caller> {
        let keystone = match &self.auth {
            Auth::Open => return Ok(Caller::unauthenticated(request_id)),
            Auth::Keystone(keystone) => keystone,
        };
        let settings = &keystone.settings;
        match keystone.identify(presented).await {
            Ok(identity) => Ok(Caller::authenticated(identity, &self.policy, request_id)),
            Err(keystone::Error::Invalid) if settings.allow_anonymous_access => {
                Ok(Caller::anonymous(request_id))
            }
            Err(keystone::Error::Invalid) => Err(Error::Unauthenticated {
                authenticate_at: settings.authenticate_at.clone(),
            }),
            Err(unavailable) => Err(Error::IdentityUnavailable(unavailable)),
        }
    }
}

impl Keystone {
    async fn identify(&self, presented: Presented<'_>) -> Result<Identity, keystone::Error> {
        let service = match presented.service_token {
            None => None,
            Some(token) => match self.tokens.validate(token, false).await {
                Ok(token) => Some(token),
                // The user's token counts without it.
                Err(keystone::Error::Invalid) => None,
                Err(error) => return Err(error),
            },
        };
        let trusted = service.as_ref().is_some_and(|token| self.is_service(token));
        let service = service.filter(|_| trusted || !self.settings.service_token_roles_required);
        let user_token = presented.user_token.ok_or(keystone::Error::Invalid)?;
        let user = self.tokens.validate(user_token, trusted).await?;
        // A request that a service passes on is the service's business.
        if service.is_none() && !self.is_within_rules(&user, presented) {
            return Err(keystone::Error::Invalid);
        }
        Ok(identity(&user, service.as_deref()))
    }

    fn is_service(&self, token: &Token) -> bool {
        let wanted = &self.settings.service_token_roles;
        token.roles.iter().any(|role| wanted.contains(role))
    }

    /// Whether the restrictions of an application credential, if any, allow the request.
    fn is_within_rules(&self, token: &Token, presented: Presented<'_>) -> bool {
        let Some(rules) = &token.access_rules else {
            return true;
        };
        let Some(service_type) = &self.settings.service_type else {
            tracing::warn!(
                "A restricted application credential is refused: \
                 [keystone_authtoken] service_type is not set"
            );
            return false;
        };
        let allows = |rule: &AccessRule| {
            rule.service == *service_type
                && rule.method == presented.method
                && is_match(&rule.path, presented.path)
        };
        token.service_types.contains(service_type) && rules.iter().any(allows)
    }
}

fn identity(user: &Token, service: Option<&Token>) -> Identity {
    Identity {
        user_id: Some(user.user_id.clone()),
        user_domain_id: user.user_domain_id.clone(),
        project_id: user.project_id.clone(),
        project_domain_id: user.project_domain_id.clone(),
        domain_id: user.domain_id.clone(),
        system_scope: user.system_scope.clone(),
        roles: user.roles.clone(),
        is_admin_project: user.is_admin_project,
        service_user_id: service.map(|token| token.user_id.clone()),
        service_user_domain_id: service.and_then(|token| token.user_domain_id.clone()),
        service_project_id: service.and_then(|token| token.project_id.clone()),
        service_project_domain_id: service.and_then(|token| token.project_domain_id.clone()),
        service_roles: service.map(|token| token.roles.clone()).unwrap_or_default(),
        image_services: user.image_services.clone(),
    }
}

/// Whether a path is one of those that an access rule's pattern means: `*` and `{name}` are one
/// segment, `**` is any text.
fn is_match(pattern: &str, path: &str) -> bool {
    let mut regex = "^".to_owned();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**") {
            regex += ".*";
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*') {
            regex += "[^/]+";
            rest = after;
        } else if let Some((_, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            regex += "[^/]+";
            rest = after;
        } else {
            regex += &regex::escape(first.encode_utf8(&mut [0; 4]));
            rest = &rest[first.len_utf8()..];
        }
    }
    // A pattern too large to compile allows nothing.
    Regex::new(&(regex + "$")).is_ok_and(|regex| regex.is_match(path))
}

#[cfg(test)]
mod tests {
    use super::is_match;

    #[test]
    fn patterns_of_access_rules() {
        let cases = [
            ("/v2/images", "/v2/images", true),
            ("/v2/images", "/v2/images/1", false),
            ("/v2/images/*", "/v2/images/1", true),
            ("/v2/images/{id}", "/v2/images/1", true),
            ("/v2/images/*", "/v2/images/", false),
            ("/v2/images/*", "/v2/images/1/file", false),
            ("/v2/images/*/file", "/v2/images/1/file", true),
            ("/v2/**", "/v2/images/1/file", true),
            ("/v2/**", "/v3/images", false),
            ("/v2.images", "/v2/images", false),
            ("/v2/{", "/v2/{", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(is_match(pattern, path), expected, "{pattern} {path}");
        }
    }
}
