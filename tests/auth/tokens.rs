//! Good tokens and bad ones.

use std::time::Duration;

use super::{ask, behind, list};
use crate::support::{keystone::Keystone, process::Fresnel, wait_until, wire};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_good_token_is_its_users() {
    let keystone = Keystone::shared();
    let ours = Fresnel::start(&behind(&keystone, ""));
    let token = keystone.token("demo-member");
    let project = &keystone.validate(&token)["project"]["id"];
    let created = ask(&ours, "POST", "/v2/images", &[("x-auth-token", &token)]);
    assert_eq!((created.status, &created.json()["owner"]), (201, project));
    let old = ask(&ours, "GET", "/v2/images", &[("x-storage-token", &token)]);
    assert_eq!(old.status, 200);
    let log = ours.log();
    assert!(!log.contains(&token), "the token is in the log");
    assert!(!log.contains("password = lab"));
}

#[test]
fn any_other_is_told_where_to_get_one() {
    let keystone = Keystone::shared();
    let ours = Fresnel::start(&behind(&keystone, ""));
    let revoked = keystone.token("demo-member");
    keystone.revoke(&revoked);
    let long = "a".repeat(20_000);
    for token in ["wrong", &revoked, &long, "\u{fc}", ""] {
        let refused = ask(&ours, "GET", "/v2/images", &[("x-auth-token", token)]);
        assert_eq!(refused.status, 401, "{token}");
        let told = refused.header("www-authenticate");
        assert_eq!(told, Some("Keystone uri=\"https://identity.example.org\""));
    }
    let faked = [
        ("x-roles", "admin"),
        ("x-identity-status", "Confirmed"),
        ("x-user-id", "me"),
    ];
    assert_eq!(ask(&ours, "GET", "/v2/images", &faked).status, 401);
    assert_eq!(ask(&ours, "GET", "/versions", &[]).status, 200);
}

#[test]
fn only_a_project_is_a_scope() {
    let keystone = Keystone::shared();
    let ours = Fresnel::start(&behind(&keystone, ""));
    for cloud in ["system", "nobody"] {
        assert_eq!(list(&ours, &keystone.token(cloud)), 403, "{cloud}");
    }
    assert_eq!(list(&ours, &keystone.token("outsider")), 200);
}

#[test]
fn who_has_no_token_may_look_where_the_operator_lets_him() {
    let keystone = Keystone::shared();
    let lines = format!(
        "{}[DEFAULT]\nallow_anonymous_access = true",
        behind(&keystone, "")
    );
    let ours = Fresnel::start(&lines);
    assert_eq!(ask(&ours, "POST", "/v2/images", &[]).status, 403);
    let token = keystone.token("demo-member");
    let created = ask(&ours, "POST", "/v2/images", &[("x-auth-token", &token)]);
    assert_eq!(created.status, 201);
}

#[test]
fn a_revoked_token_is_good_no_longer_than_the_cache_time() {
    let keystone = Keystone::shared();
    let ours = Fresnel::start(&behind(&keystone, "token_cache_time = 2"));
    let token = keystone.token("demo-member");
    assert_eq!(list(&ours, &token), 200);
    keystone.revoke(&token);
    assert!(wait_until(PATIENCE, || list(&ours, &token) == 401));
    let uncached = Fresnel::start(&behind(&keystone, "token_cache_time = -1"));
    let token = keystone.token("demo-member");
    assert_eq!(list(&uncached, &token), 200);
    keystone.revoke(&token);
    assert_eq!(list(&uncached, &token), 401);
}

#[test]
fn restricted_credentials_do_what_their_rules_say() {
    let keystone = Keystone::shared();
    let ours = Fresnel::start(&behind(&keystone, "service_type = image"));
    let token = keystone.credential_token("demo-member", "reads");
    let user = ("x-auth-token", token.as_str());
    assert_eq!(list(&ours, &token), 200);
    assert_eq!(ask(&ours, "GET", "/v2/images/nothing", &[user]).status, 404);
    assert_eq!(ask(&ours, "GET", "/v2/schemas/image", &[user]).status, 401);
    assert_eq!(ask(&ours, "POST", "/v2/images", &[user]).status, 401);
    // What a service passes on is not the user's own doing; a made-up token is no service's.
    let nova = keystone.token("nova");
    let passed_on = [user, ("x-service-token", &nova)];
    assert_eq!(ask(&ours, "POST", "/v2/images", &passed_on).status, 201);
    let made_up = [user, ("x-service-token", "made up")];
    assert_eq!(ask(&ours, "POST", "/v2/images", &made_up).status, 401);
    let whole = keystone.credential_token("demo-member", "demo-member");
    let created = ask(&ours, "POST", "/v2/images", &[("x-auth-token", &whole)]);
    assert_eq!(created.status, 201);
    let without_type = Fresnel::start(&behind(&keystone, ""));
    assert_eq!(list(&without_type, &token), 401);
}

#[test]
fn the_service_may_use_an_application_credential_itself() {
    let keystone = Keystone::shared();
    let lines = format!(
        "[paste_deploy]\nflavor = keystone+cachemanagement\n[keystone_authtoken]\n\
         auth_section = us\n[us]\nauth_url = http://{}\nauth_type = v3applicationcredential\n\
         username = glance\nuser_domain_id = default\n\
         application_credential_name = glance\napplication_credential_secret = lab\n",
        keystone.address
    );
    let ours = Fresnel::start(&lines);
    assert_eq!(list(&ours, &keystone.token("alt-reader")), 200);
    let refused = ask(&ours, "GET", "/v2/images", &[]);
    let told = format!("Keystone uri=\"http://{}\"", keystone.address);
    assert_eq!(refused.header("www-authenticate"), Some(told.as_str()));
}

#[test]
fn an_expired_token_is_good_only_beside_a_services() {
    let keystone = Keystone::start(&["token.expiration=3", "token.allow_expired_window=30"]);
    let ours = Fresnel::start(&behind(&keystone, "token_cache_time = 1"));
    let services = Keystone::shared();
    let (nova, member) = (services.token("nova"), services.token("alt-member"));
    let token = keystone.token("demo-member");
    let user = ("x-auth-token", token.as_str());
    let beside = |service: &str| {
        let headers = [user, ("x-service-token", service)];
        ask(&ours, "GET", "/v2/images", &headers).status
    };
    assert!(wait_until(PATIENCE, || list(&ours, &token) == 401));
    assert_eq!(beside(&nova), 200);
    assert_eq!(beside(&member), 401);
    assert_eq!(beside("made up"), 401);
    assert!(
        wait_until(PATIENCE, || beside(&nova) == 401),
        "the window never closes"
    );
}

#[test]
fn an_upload_may_outlive_its_token() {
    let keystone = Keystone::start(&["token.expiration=10"]);
    let ours = Fresnel::start(&behind(&keystone, "token_cache_time = 1"));
    let token = keystone.token("demo-member");
    let formats = r#"{"disk_format": "raw", "container_format": "bare"}"#;
    let request = wire::Request::new("POST", "/v2/images").header("x-auth-token", &token);
    let created = wire::exchange(ours.address, &request.body(formats)).unwrap();
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let target = format!("/v2/images/{id}/file");
    let headers = [("x-auth-token", token.as_str())];
    let mut upload = wire::Upload::begin_with(ours.address, &target, &headers).unwrap();
    upload.send(&[7; 100_000]).unwrap();
    assert!(wait_until(PATIENCE, || list(&ours, &token) == 401));
    upload.send(&[8; 100_000]).unwrap();
    assert_eq!(upload.finish().unwrap().status, 204);
    let later = keystone.token("demo-member");
    let shown = ask(
        &ours,
        "GET",
        &format!("/v2/images/{id}"),
        &[("x-auth-token", &later)],
    );
    assert_eq!(shown.json()["status"], "active");
}
