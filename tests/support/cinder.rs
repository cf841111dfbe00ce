//! The real Cinder of `tests/lab`, whose back end is the lab's Ceph.

use std::net::SocketAddr;

use fresnel::{
    base::secret::Secret,
    client::{
        cinder,
        keystone::{self, Credentials, Domain, Named, Scope},
        transport,
    },
};
use serde_json::Value;

use super::{
    keystone::Keystone,
    lab,
    wire::{Request, exchange},
};

/// Who has the volumes of images, in the project `service`.
pub(crate) const OWNER: &str = "volumes";

/// The instance that all tests share; it stays when they end.
#[derive(Debug)]
pub(crate) struct Cinder {
    address: SocketAddr,
    keystone: Keystone,
}

impl Cinder {
    pub(crate) fn shared() -> Self {
        let printed = lab::run(&mut lab::script("cinder-up"));
        let address = printed.trim().strip_prefix("http://");
        let address = address.and_then(|rest| rest.strip_suffix("/v3"));
        let address = address.expect("cinder-up prints http://ADDRESS/v3");
        Self {
            address: address.parse().expect("cinder-up prints an address"),
            keystone: Keystone::shared(),
        }
    }

    /// How our own client reaches it, as the owner of images' volumes.
    pub(crate) fn reached(&self) -> cinder::Config {
        let named = |name: &str| Named::Name {
            name: name.to_owned(),
            domain: Domain::Id("default".to_owned()),
        };
        cinder::Config {
            keystone: keystone::Config {
                auth_url: self.keystone.url(),
                credentials: Credentials::Password {
                    user: named(OWNER),
                    password: Secret::new("lab".to_owned()),
                },
                scope: Some(Scope::Project(named("service"))),
                region: None,
                interfaces: vec!["public".to_owned()],
                retries: 3,
                transport: transport::Config::default(),
            },
            endpoint: None,
            service_type: "volumev3".to_owned(),
            region: None,
            interface: "public".to_owned(),
            retries: 3,
            transport: transport::Config::default(),
        }
    }

    /// The lines of configuration that make it the only store, named `cinder1`; more options of it may follow.
    pub(crate) fn store(&self) -> String {
        format!(
            "[DEFAULT]\nenabled_backends = cinder1:cinder\n[glance_store]\ndefault_backend = cinder1\n\
             [cinder1]\ncinder_store_auth_address = {}\ncinder_store_user_name = {OWNER}\n\
             cinder_store_password = lab\ncinder_store_project_name = service\n\
             cinder_volume_type = rbd\n",
            self.keystone.url()
        )
    }

    /// One request below the project of this person, with the microversion of attachments.
    #[track_caller]
    pub(crate) fn ask(&self, persona: &str, method: &str, path: &str, body: &Value) -> Value {
        let token = self.keystone.token(persona);
        let project = self.keystone.validate(&token)["project"]["id"].clone();
        let project = project.as_str().expect("a token is for a project");
        let request = Request::new(method, &format!("/v3/{project}{path}"))
            .header("x-auth-token", &token)
            .header("openstack-api-version", "volume 3.54")
            .header("content-type", "application/json");
        let request = match body {
            Value::Null => request,
            body => request.body(body.to_string()),
        };
        let answer = exchange(self.address, &request).expect("Cinder answers");
        let (status, text) = (answer.status, String::from_utf8_lossy(&answer.body));
        assert!(status < 300, "{method} {path}: {status} {text}");
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// The volumes of images in the project `service` whose names hold this.
    pub(crate) fn volumes(&self, name: &str) -> Vec<Value> {
        let listed = self.ask(OWNER, "GET", "/volumes/detail", &Value::Null);
        let listed = listed["volumes"].as_array().expect("volumes are listed");
        let is_named = |volume: &&Value| volume["name"].as_str().unwrap_or("").contains(name);
        listed.iter().filter(is_named).cloned().collect()
    }

    /// The bytes of a volume that is in the pool `volumes`, as the cluster has them.
    pub(crate) fn export(&self, volume: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("the temporary directory is writable");
        let file = folder.path().join("exported");
        let name = format!("volumes/volume-{volume}");
        let file_name = file.to_string_lossy();
        lab::ceph().rbd(&["export", "--no-progress", &name, &file_name]);
        std::fs::read(file).expect("it was exported")
    }
}
