//! What asking who somebody is costs: GETs with a token of the real Keystone, which is asked about
//! it once, beside GETs without, and beside Glance with the same Keystone.

use std::net::SocketAddr;

use crate::{
    Bench, Promise, Row, client,
    metadata::{Load, Rate, create_images, in_turn},
    peers,
};

/// Authorized GETs of 1,000 images on MariaDB, with a cached token.
pub(crate) fn gets(bench: &Bench) -> Vec<Row> {
    let url = peers::mariadb("fresnel_bench");
    let keystone = peers::keystone();
    let open = format!("[database]\nconnection = {url}");
    peers::fresnel_synced(&bench.folder, &open);
    let guarded = format!(
        "{open}\n[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_url = {keystone}\n\
         auth_type = password\nusername = glance\npassword = lab\nuser_domain_name = Default\n\
         project_name = service\nproject_domain_name = Default"
    );
    let guarded = peers::fresnel(&bench.folder, &guarded);
    let open = peers::fresnel(&bench.folder, &open);
    let glance = peers::glance(&["--database", &url, "--no-sync", "--keystone", &keystone]);
    let token = token(&keystone);
    let header = format!("X-Auth-Token: {token}\r\n");
    let without = Load::gets(&create_images(guarded.address, &header));
    let with = Load {
        paths: without.paths.clone(),
        token: Some(token),
        ..Load::default()
    };
    let each = [(&guarded, &with), (&open, &without), (&glance, &with)];
    let [ours, free, theirs] = in_turn(bench, each);
    let row = |work: &str, beside: &Rate, promise| Row {
        work: work.to_owned(),
        ours: ours.figure(),
        beside: beside.figure(),
        ratio: ours.requests_per_second / beside.requests_per_second,
        promise: Promise::AtLeast(promise),
    };
    vec![
        row("GET with a cached token beside GET without", &free, 0.8),
        row("the same beside Glance 33 with Keystone", &theirs, 25.0),
    ]
}

/// A token of `demo-member`.
fn token(keystone: &str) -> String {
    let address = keystone.trim_start_matches("http://");
    let address = address.trim_end_matches("/v3").parse::<SocketAddr>();
    let body = r#"{"auth": {"identity": {"methods": ["password"], "password": {"user":
        {"name": "demo-member", "domain": {"name": "Default"}, "password": "lab"}}},
        "scope": {"project": {"name": "demo", "domain": {"name": "Default"}}}}}"#;
    let to = address.expect("keystone-up prints http://ADDRESS/v3");
    let (answer, text) =
        client::ask(to, "POST", "/v3/auth/tokens", body).expect("Keystone answers");
    let token = answer.header("x-subject-token");
    token.unwrap_or_else(|| panic!("{text}")).to_owned()
}
