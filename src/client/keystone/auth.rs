//! Who we are to Keystone, and the body that says so.

use serde::Serialize;
use zeroize::Zeroizing;

use crate::base::secret::Secret;

/// Something that has an id, or a name inside a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Named {
    /// By its id.
    Id {
        /// The id.
        id: String,
    },
    /// By its name.
    Name {
        /// The name.
        name: String,
        /// Where the name is known.
        domain: Domain,
    },
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// By its id.
    Id(String),
    /// By its name.
    Name(String),
}

/// With what we show who we are.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// `password`, `v3password`.
    Password {
        /// Who.
        user: Named,
        /// The password.
        password: Secret,
    },
    /// `v3applicationcredential`, by its id.
    Application {
        /// The credential's id.
        id: String,
        /// Its secret.
        secret: Secret,
    },
    /// The same by its name.
    ApplicationOf {
        /// Whose.
        user: Named,
        /// The credential's name.
        name: String,
        /// Its secret.
        secret: Secret,
    },
}

/// What we ask the token for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// A project.
    Project(Named),
    /// A domain.
    Domain(Domain),
    /// The whole cloud.
    System(System),
    /// What a user has entrusted us with.
    #[serde(rename = "OS-TRUST:trust")]
    Trust {
        /// The trust's id.
        id: String,
    },
}

/// The whole cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct System {
    all: bool,
}

impl Scope {
    /// `system_scope = all`
    pub const SYSTEM: Self = Self::System(System { all: true });
}

/// The body of `POST /v3/auth/tokens`; overwritten when dropped.
pub(super) fn body(credentials: &Credentials, scope: Option<&Scope>) -> Zeroizing<Vec<u8>> {
    let body = Body {
        auth: Auth {
            identity: identity(credentials),
            scope,
        },
    };
    // Large enough not to grow, which would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    serde_json::to_writer(&mut *bytes, &body).expect("strings are JSON");
    bytes
}

fn identity(credentials: &Credentials) -> Identity<'_> {
    match credentials {
        Credentials::Password { user, password } => Identity::Password {
            methods: ["password"],
            password: Password {
                user: UserPassword {
                    user,
                    password: password.expose(),
                },
            },
        },
        Credentials::Application { id, secret } => Identity::Application {
            methods: ["application_credential"],
            application_credential: Application {
                id: Some(id),
                name: None,
                user: None,
                secret: secret.expose(),
            },
        },
        Credentials::ApplicationOf { user, name, secret } => Identity::Application {
            methods: ["application_credential"],
            application_credential: Application {
                id: None,
                name: Some(name),
                user: Some(user),
                secret: secret.expose(),
            },
        },
    }
}

#[derive(Serialize)]
struct Body<'a> {
    auth: Auth<'a>,
}

#[derive(Serialize)]
struct Auth<'a> {
    identity: Identity<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a Scope>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Identity<'a> {
    Password {
        methods: [&'static str; 1],
        password: Password<'a>,
    },
    Application {
        methods: [&'static str; 1],
        application_credential: Application<'a>,
    },
}

#[derive(Serialize)]
struct Password<'a> {
    user: UserPassword<'a>,
}

#[derive(Serialize)]
struct UserPassword<'a> {
    #[serde(flatten)]
    user: &'a Named,
    password: &'a str,
}

#[derive(Serialize)]
struct Application<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a Named>,
    secret: &'a str,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn user() -> Named {
        Named::Name {
            name: "glance".into(),
            domain: Domain::Id("default".into()),
        }
    }

    #[track_caller]
    fn assert_body(credentials: &Credentials, scope: Option<&Scope>, expected: &Value) {
        let body: Value = serde_json::from_slice(&body(credentials, scope)).unwrap();
        assert_eq!(&body["auth"], expected);
    }

    #[test]
    fn a_password_for_a_project() {
        let credentials = Credentials::Password {
            user: user(),
            password: Secret::new("hunter2".into()),
        };
        let scope = Scope::Project(Named::Id { id: "p1".into() });
        let identity = json!({"methods": ["password"], "password": {"user": {
            "name": "glance", "domain": {"id": "default"}, "password": "hunter2"}}});
        let expected = json!({"identity": identity, "scope": {"project": {"id": "p1"}}});
        assert_body(&credentials, Some(&scope), &expected);
        assert!(!format!("{credentials:?}").contains("hunter2"));
        let expected = json!({"identity": identity, "scope": {"system": {"all": true}}});
        assert_body(&credentials, Some(&Scope::SYSTEM), &expected);
        let trust = Scope::Trust { id: "t".into() };
        let expected = json!({"identity": identity, "scope": {"OS-TRUST:trust": {"id": "t"}}});
        assert_body(&credentials, Some(&trust), &expected);
    }

    #[test]
    fn a_credential_by_its_name() {
        let credentials = Credentials::ApplicationOf {
            user: user(),
            name: "app".into(),
            secret: Secret::new("hunter2".into()),
        };
        let expected = json!({"identity": {"methods": ["application_credential"],
            "application_credential": {"name": "app", "secret": "hunter2",
                "user": {"name": "glance", "domain": {"id": "default"}}}}});
        assert_body(&credentials, None, &expected);
    }
}
