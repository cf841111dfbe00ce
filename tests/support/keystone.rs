//! The real Keystone, with the people of `tests/lab/keystone-populate`: every password is `lab`.

use std::{net::SocketAddr, path::PathBuf};

use serde_json::{Value, json};

use super::{
    free_address, lab,
    wire::{Request, Response, exchange},
};

/// A running Keystone. The tokens of any instance are good at every other.
#[derive(Debug)]
pub(crate) struct Keystone {
    pub(crate) address: SocketAddr,
    /// A test's own is ended on drop.
    own: bool,
}

impl Keystone {
    /// The instance that all tests share; it stays when they end.
    pub(crate) fn shared() -> Self {
        let printed = lab::run(&mut lab::script("keystone-up"));
        let address = printed.trim().strip_prefix("http://");
        let address = address.and_then(|rest| rest.strip_suffix("/v3"));
        let address = address.expect("keystone-up prints http://ADDRESS/v3");
        Self {
            address: address.parse().expect("keystone-up prints an address"),
            own: false,
        }
    }

    /// An instance of one's own: to be stopped, or with options (`token.expiration=4`).
    pub(crate) fn start(options: &[&str]) -> Self {
        let own = Self {
            address: free_address(),
            own: true,
        };
        own.up(options);
        own
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn up(&self, options: &[&str]) {
        let mut up = lab::script("keystone-up");
        up.args(["--workers", "1", "--port", &self.port()]);
        for option in options {
            up.args(["--set", option]);
        }
        lab::run(&mut up);
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&self) {
        assert!(self.own, "only a test's own instance is ended");
        lab::run(lab::script("keystone-down").args(["--kill", "--port", &self.port()]));
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v3", self.address)
    }

    /// The configuration of a service that asks it, but for its flavor; further options of
    /// `[keystone_authtoken]` may follow.
    pub(crate) fn service(&self) -> String {
        format!(
            "[keystone_authtoken]\nauth_url = {}\nauth_type = password\nusername = glance\npassword = lab\n\
             user_domain_name = Default\nproject_name = service\nproject_domain_name = Default\n",
            self.url()
        )
    }

    /// `clouds.yaml` for the command line clients: a cloud for each user.
    pub(crate) fn clouds() -> PathBuf {
        lab::folder().join("keystone/clouds.yaml")
    }

    /// A token of one of the lab's clouds: a user in its project, or `system`.
    pub(crate) fn token(&self, cloud: &str) -> String {
        let project = |name: &str, domain: &str| json!({"project": {"name": name, "domain": {"name": domain}}});
        let (user, domain, scope) = match cloud {
            "system" => ("admin", "Default", json!({"system": {"all": true}})),
            "admin" => (cloud, "Default", project("admin", "Default")),
            "nobody" => (cloud, "Default", json!("unscoped")),
            "outsider" => (cloud, "outside", project("demo", "outside")),
            "glance" | "nova" | "volumes" => (cloud, "Default", project("service", "Default")),
            persona => {
                let (name, _) = persona.split_once('-').expect("PROJECT-ROLE");
                (persona, "Default", project(name, "Default"))
            }
        };
        let user = json!({"name": user, "domain": {"name": domain}, "password": "lab"});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        self.authenticate(&json!({"identity": identity, "scope": scope}))
    }

    /// A token of a user of the default domain in a project that a test made.
    pub(crate) fn token_in(&self, user: &str, project_id: &str) -> String {
        let user = json!({"name": user, "domain": {"name": "Default"}, "password": "lab"});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let scope = json!({"project": {"id": project_id}});
        self.authenticate(&json!({"identity": identity, "scope": scope}))
    }

    /// A token of an application credential.
    pub(crate) fn credential_token(&self, user: &str, name: &str) -> String {
        let user = json!({"name": user, "domain": {"name": "Default"}});
        let credential = json!({"name": name, "secret": "lab", "user": user});
        let methods = ["application_credential"];
        let identity = json!({"methods": methods, "application_credential": credential});
        self.authenticate(&json!({"identity": identity}))
    }

    /// Makes a token worthless before its time.
    pub(crate) fn revoke(&self, token: &str) {
        let revoked = self.about("DELETE", token, token);
        assert_eq!(revoked.status, 204);
    }

    /// Who a token stands for; `Null` when it is good for nothing.
    pub(crate) fn validate(&self, token: &str) -> Value {
        let answer = self.about("GET", &self.token("glance"), token);
        match answer.status {
            200 => answer.json()["token"].clone(),
            404 => Value::Null,
            status => panic!("Keystone answers {status}"),
        }
    }

    /// One request as the cloud's administrator.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = Request::new(method, &format!("/v3{path}"))
            .header("x-auth-token", &self.token("admin"))
            .header("content-type", "application/json");
        let request = match body {
            Value::Null => request,
            body => request.body(body.to_string()),
        };
        let answer = exchange(self.address, &request).expect("Keystone answers");
        let (status, text) = (answer.status, String::from_utf8_lossy(&answer.body));
        assert!(status < 300, "{method} {path}: {status} {text}");
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn about(&self, method: &str, by: &str, token: &str) -> Response {
        let request = Request::new(method, "/v3/auth/tokens")
            .header("x-auth-token", by)
            .header("x-subject-token", token)
            .header("openstack-identity-access-rules", "1");
        exchange(self.address, &request).expect("Keystone answers")
    }

    fn authenticate(&self, auth: &Value) -> String {
        let request = Request::new("POST", "/v3/auth/tokens")
            .header("content-type", "application/json")
            .body(json!({"auth": auth}).to_string());
        let answer = exchange(self.address, &request).expect("Keystone answers");
        let text = String::from_utf8_lossy(&answer.body);
        let token = answer.header("x-subject-token");
        token.unwrap_or_else(|| panic!("{auth}: {text}")).to_owned()
    }

    fn port(&self) -> String {
        self.address.port().to_string()
    }
}

impl Drop for Keystone {
    fn drop(&mut self) {
        if self.own {
            let ended = lab::script("keystone-down")
                .args(["--kill", "--port", &self.port()])
                .status();
            drop(ended);
        }
    }
}
