//! Who asks: the real Keystone's tokens, and what becomes of them.

mod clients;
mod identity;
mod imports;
mod limits;
mod outage;
mod tokens;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{
    keystone::Keystone,
    process::Fresnel,
    wire::{Request, Response, exchange},
};

/// The configuration of a service that asks this Keystone, and further lines of
/// `[keystone_authtoken]`.
fn behind(keystone: &Keystone, lines: &str) -> String {
    format!(
        "[paste_deploy]\nflavor = keystone\n{}\
         www_authenticate_uri = https://identity.example.org\n{lines}\n",
        keystone.service()
    )
}

/// A region of the catalog with an image service of a test's own, removed on drop.
struct Region<'a> {
    keystone: &'a Keystone,
    name: String,
    made: Vec<String>,
}

impl<'a> Region<'a> {
    fn new(keystone: &'a Keystone, address: SocketAddr) -> Self {
        let name = format!("fresnel-{}", address.port());
        keystone.ask("POST", "/regions", &json!({"region": {"id": name}}));
        let mut region = Self {
            keystone,
            name,
            made: Vec::new(),
        };
        region.add("identity", &keystone.url());
        region.add("image", &format!("http://{address}"));
        region
    }

    fn add(&mut self, kind: &str, url: &str) {
        let services = self
            .keystone
            .ask("GET", &format!("/services?type={kind}"), &Value::Null);
        let endpoint = json!({
            "service_id": services["services"][0]["id"],
            "interface": "public",
            "region_id": self.name,
            "url": url,
        });
        let made = self
            .keystone
            .ask("POST", "/endpoints", &json!({"endpoint": endpoint}));
        let id = made["endpoint"]["id"]
            .as_str()
            .expect("an endpoint has an id");
        self.made.push(format!("/endpoints/{id}"));
    }
}

impl Drop for Region<'_> {
    fn drop(&mut self) {
        let region = format!("/regions/{}", self.name);
        for path in self.made.iter().chain([&region]) {
            self.keystone.ask("DELETE", path, &Value::Null);
        }
    }
}

/// One request with these headers.
fn ask(ours: &Fresnel, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::new(method, target);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if method == "POST" {
        request = request.body("{}");
    }
    exchange(ours.address, &request).expect("the service answers")
}

/// The status of a list of images with this token.
fn list(ours: &Fresnel, token: &str) -> u16 {
    ask(ours, "GET", "/v2/images", &[("x-auth-token", token)]).status
}
