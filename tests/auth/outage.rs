//! Keystone goes and comes back.

use std::time::Duration;

use super::{ask, behind, list};
use crate::support::{keystone::Keystone, process::Fresnel, wait_until};

#[test]
fn known_tokens_go_on_while_keystone_is_away() {
    let keystone = Keystone::start(&[]);
    let (known, unknown) = (keystone.token("demo-member"), keystone.token("alt-member"));
    let ours = Fresnel::start(&behind(&keystone, "http_request_max_retries = 1"));
    assert_eq!(list(&ours, &known), 200);
    keystone.kill();
    assert_eq!(list(&ours, &known), 200);
    let asked = ask(&ours, "GET", "/v2/images", &[("x-auth-token", &unknown)]);
    assert_eq!(
        (asked.status, asked.header("retry-after")),
        (503, Some("10"))
    );
    let text = String::from_utf8_lossy(&asked.body).into_owned();
    assert!(
        text.contains("The Keystone service is temporarily unavailable."),
        "{text}"
    );
    assert_eq!(ask(&ours, "GET", "/v2/images", &[]).status, 401);
    keystone.up(&[]);
    assert!(wait_until(Duration::from_secs(30), || list(
        &ours, &unknown
    ) == 200));
    assert!(!ours.log().contains(&unknown), "the token is in the log");
}

#[test]
fn a_service_starts_before_its_keystone() {
    let keystone = Keystone::start(&[]);
    let token = keystone.token("demo-member");
    keystone.kill();
    let ours = Fresnel::start(&behind(&keystone, ""));
    assert_eq!(list(&ours, &token), 503);
    keystone.up(&[]);
    assert!(wait_until(Duration::from_secs(30), || list(&ours, &token) == 200));
}

#[test]
fn wrong_credentials_of_the_service_are_no_fault_of_its_users() {
    let keystone = Keystone::shared();
    let ours = Fresnel::start(&behind(&keystone, "password = hunter2"));
    assert_eq!(list(&ours, &keystone.token("demo-member")), 503);
    let log = ours.log();
    assert!(log.contains("refuses the service's credentials"), "{log}");
    assert!(!log.contains("hunter2"));
}
