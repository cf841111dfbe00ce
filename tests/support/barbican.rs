//! The real Barbican of `tests/lab`, what is put into it, and users of a service that asks it.

use std::net::SocketAddr;

use openssl::base64;
use serde_json::{Value, json};

use super::{
    app::text,
    keystone::Keystone,
    lab,
    process::Fresnel,
    signing::Author,
    wire::{Request, Response, exchange},
};

/// A service behind that Keystone, with these lines of `[barbican]`.
pub(crate) fn service(keystone: &Keystone, lines: &str) -> Fresnel {
    Fresnel::start(&format!(
        "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_url = {}\n\
         auth_type = password\nusername = glance\npassword = lab\nuser_domain_name = Default\n\
         project_name = service\nproject_domain_name = Default\n[barbican]\n{lines}\n",
        keystone.url()
    ))
}

/// A user of a service.
pub(crate) struct User<'a> {
    pub(crate) service: &'a Fresnel,
    pub(crate) token: String,
}

impl User<'_> {
    pub(crate) fn ask(&self, request: Request) -> Response {
        let request = request
            .header("X-Auth-Token", &self.token)
            .header("Accept", "application/json");
        exchange(self.service.address, &request).unwrap()
    }

    /// An image with those properties, raw and bare.
    pub(crate) fn image(&self, properties: &Value) -> String {
        let mut image = json!({"disk_format": "raw", "container_format": "bare"});
        for (name, value) in properties.as_object().unwrap() {
            image[name] = value.clone();
        }
        let created = self.ask(Request::new("POST", "/v2/images").body(image.to_string()));
        assert_eq!(created.status, 201, "{}", text(&created));
        created.json()["self"].as_str().unwrap().to_owned()
    }

    pub(crate) fn put(&self, target: &str, bytes: &[u8]) -> Response {
        let request =
            Request::new("PUT", target).header("Content-Type", "application/octet-stream");
        self.ask(request.body(bytes))
    }

    pub(crate) fn show(&self, image: &str) -> Value {
        self.ask(Request::new("GET", image)).json()
    }
}

/// The instance that all tests share; it stays when they end.
#[derive(Debug)]
pub(crate) struct Barbican {
    address: SocketAddr,
}

impl Barbican {
    pub(crate) fn shared() -> Self {
        let printed = lab::run(&mut lab::script("barbican-up"));
        let address = printed.trim().strip_prefix("http://");
        let address = address.and_then(|address| address.parse().ok());
        Self {
            address: address.expect("barbican-up prints http://ADDRESS"),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Keeps a certificate for whose token it is, as python-barbicanclient does; returns its id.
    pub(crate) fn keep(&self, token: &str, author: &Author) -> String {
        let pem = base64::encode_block(&author.certificate_pem());
        self.secret(
            token,
            &json!({
                "secret_type": "certificate",
                "payload": pem,
                "payload_content_type": "application/octet-stream",
                "payload_content_encoding": "base64",
            }),
        )
    }

    pub(crate) fn keep_passphrase(&self, token: &str) -> String {
        self.secret(
            token,
            &json!({
                "secret_type": "passphrase",
                "payload": "hunter2",
                "payload_content_type": "text/plain",
            }),
        )
    }

    /// Keeps a symmetric key.
    pub(crate) fn keep_key(&self, token: &str, key: &[u8]) -> String {
        self.secret(
            token,
            &json!({
                "secret_type": "symmetric",
                "algorithm": "aes",
                "bit_length": 8 * key.len(),
                "payload": base64::encode_block(key),
                "payload_content_type": "application/octet-stream",
                "payload_content_encoding": "base64",
            }),
        )
    }

    /// What it tells of a secret, its consumers too.
    pub(crate) fn about(&self, token: &str, id: &str) -> Value {
        self.ask(token, id).json()
    }

    /// 200, or 404 when there is none.
    pub(crate) fn status(&self, token: &str, id: &str) -> u16 {
        self.ask(token, id).status
    }

    fn ask(&self, token: &str, id: &str) -> Response {
        let request = Request::new("GET", &format!("/v1/secrets/{id}"))
            .header("x-auth-token", token)
            .header("openstack-api-version", "key-manager 1.2")
            .header("accept", "application/json");
        exchange(self.address, &request).expect("Barbican answers")
    }

    fn secret(&self, token: &str, secret: &Value) -> String {
        let request = Request::new("POST", "/v1/secrets/")
            .header("x-auth-token", token)
            .header("content-type", "application/json")
            .body(secret.to_string());
        let answer = exchange(self.address, &request).expect("Barbican answers");
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 201, "{text}");
        let reference = answer.json()["secret_ref"].clone();
        let reference = reference.as_str().expect("a secret has a reference");
        reference.rsplit('/').next().unwrap_or_default().to_owned()
    }
}
