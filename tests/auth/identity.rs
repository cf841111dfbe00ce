//! What the lab's Keystone promises to the tests that stand on it.

use std::process::Command;

use serde_json::Value;

use crate::support::{keystone::Keystone, lab};

#[test]
fn tokens_of_one_instance_are_good_at_all_until_they_are_revoked() {
    let (shared, own) = (
        Keystone::shared(),
        Keystone::start(&["token.expiration=60"]),
    );
    let token = own.token("demo-member");
    assert_eq!(shared.validate(&token)["project"]["name"], "demo");
    own.revoke(&token);
    assert!(shared.validate(&token).is_null());
}

#[test]
fn credentials_act_for_their_users() {
    let keystone = Keystone::shared();
    let token = keystone.credential_token("demo-member", "reads");
    let rules = &keystone.validate(&token)["application_credential"]["access_rules"];
    assert_eq!(rules.as_array().map(Vec::len), Some(2));
}

#[test]
fn the_registered_limits_are_those_of_devstack() {
    let limits = Keystone::shared().ask("GET", "/registered_limits", &Value::Null);
    let limits = limits["registered_limits"].as_array().unwrap();
    let names: Vec<_> = limits.iter().map(|limit| &limit["resource_name"]).collect();
    for name in [
        "image_size_total",
        "image_stage_total",
        "image_count_total",
        "image_count_uploading",
    ] {
        assert!(names.contains(&&Value::from(name)), "{names:?}");
    }
}

#[test]
fn the_command_line_reads_the_clouds() {
    let _shared = Keystone::shared();
    let arguments = ["token", "issue", "-f", "value", "-c", "project_id"];
    let openstack = lab::python().with_file_name("openstack");
    let printed = lab::run(
        Command::new(openstack)
            .args(["--os-cloud", "outsider"])
            .args(arguments)
            .env("OS_CLIENT_CONFIG_FILE", Keystone::clouds()),
    );
    assert_eq!(printed.trim().len(), 32, "{printed}");
}

#[test]
fn a_stopped_instance_comes_back_with_what_it_knew() {
    let own = Keystone::start(&[]);
    let token = own.token("alt-reader");
    own.kill();
    own.up(&[]);
    assert_eq!(own.validate(&token)["project"]["name"], "alt");
}
