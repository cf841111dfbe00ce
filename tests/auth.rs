//! Who asks: the real Keystone's tokens, and what becomes of them.

mod clients;
mod identity;
mod limits;
mod outage;
mod tokens;

use crate::support::{
    keystone::Keystone,
    process::Fresnel,
    wire::{Request, Response, exchange},
};

/// The configuration of a service that asks this Keystone, and further lines of
/// `[keystone_authtoken]`.
fn behind(keystone: &Keystone, lines: &str) -> String {
    format!(
        "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\n\
         www_authenticate_uri = https://identity.example.org\nauth_url = {}\nauth_type = password\n\
         username = glance\npassword = lab\nuser_domain_name = Default\n\
         project_name = service\nproject_domain_name = Default\n{lines}\n",
        keystone.url()
    )
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
