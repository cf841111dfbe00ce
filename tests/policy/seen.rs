//! The policy and the protections of a running service.

use std::{fs, net::TcpListener, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    images::{create, delete},
    process::Fresnel,
    wait_until,
    wire::{Request, exchange},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn get(ours: &Fresnel, target: &str) -> (u16, Value) {
    let answer = exchange(ours.address, &Request::new("GET", target)).unwrap();
    (
        answer.status,
        serde_json::from_slice(&answer.body).unwrap_or_default(),
    )
}

#[test]
fn what_is_protected_for_the_caller_can_be_seen() {
    let ours = Fresnel::start_after(&[], |folder| {
        let path = folder.join("protections.conf");
        let text = "[^x_]\ncreate = x\nread = @\nupdate = service_roles:nova\ndelete = !\n";
        fs::write(&path, text).unwrap();
        format!("[DEFAULT]\nproperty_protection_file = {}", path.display())
    });
    let (_, told) = get(&ours, "/v2/info/property-protections");
    let told = &told["property-protections"];
    let expected =
        json!({"pattern": "^x_", "create": false, "read": true, "update": false, "delete": false});
    assert_eq!(
        (&told["enabled"], &told["rules"][1]),
        (&json!(true), &expected)
    );
    let (_, schema) = get(&ours, "/v2/schemas/image");
    assert_eq!(schema["property_protections"], told["rules"]);
    let request = Request::new("POST", "/v2/images").body(r#"{"x_a": "1"}"#);
    assert_eq!(exchange(ours.address, &request).unwrap().status, 403);
}

#[test]
fn a_value_that_one_may_not_read_cannot_be_guessed() {
    let ours = Fresnel::start_after(&[], |folder| {
        let path = folder.join("protections.conf");
        let text = "[^x_]\ncreate = @\nread = !\nupdate = @\ndelete = @\n\
                    [.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n";
        fs::write(&path, text).unwrap();
        format!("[DEFAULT]\nproperty_protection_file = {}", path.display())
    });
    let request = Request::new("POST", "/v2/images").body(r#"{"x_a": "1", "b": "1"}"#);
    assert_eq!(exchange(ours.address, &request).unwrap().status, 201);
    for (filter, count) in [("b=1", 1), ("x_a=1", 0), ("b=1&x_a=1", 0)] {
        let (status, listed) = get(&ours, &format!("/v2/images?{filter}"));
        let found = listed["images"].as_array().unwrap().len();
        assert_eq!((status, found), (200, count), "{filter}");
    }
}

#[test]
fn without_protections_none_are_told() {
    let ours = Fresnel::start("");
    let (_, told) = get(&ours, "/v2/info/property-protections");
    assert_eq!(
        told["property-protections"],
        json!({"enabled": false, "rules": []})
    );
    let (_, schema) = get(&ours, "/v2/schemas/image");
    assert_eq!(schema.get("property_protections"), None);
}

#[test]
fn a_policy_that_changes_is_in_force_without_a_restart() {
    let ours = Fresnel::start("");
    let path = ours.folder().join("policy.yaml");
    let lists = || get(&ours, "/v2/images").0;
    assert_eq!(lists(), 200);
    fs::write(&path, "get_images: '!'\n").unwrap();
    assert!(wait_until(PATIENCE, || lists() == 403));
    // One that is wrong changes nothing, also when it is asked for.
    fs::write(&path, "get_images: '@ or'\n").unwrap();
    ours.signal(Signal::HUP);
    assert_eq!(lists(), 403);
    fs::write(&path, "get_images: '@'\n").unwrap();
    ours.signal(Signal::HUP);
    assert!(wait_until(PATIENCE, || lists() == 200));
}

#[test]
fn a_delete_that_the_policy_forbids_is_not_passed_on() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let staged = Fresnel::start(&format!(
        "[DEFAULT]\nworker_self_reference_url = http://{address}"
    ));
    let image = create(staged.address);
    let request = Request::new("PUT", &format!("/v2/images/{image}/stage"))
        .header("Content-Type", "application/octet-stream")
        .body("x");
    assert_eq!(exchange(staged.address, &request).unwrap().status, 204);
    let database = staged.folder().join("fresnel.sqlite");
    let ours = Fresnel::start_after(&[], |folder| {
        fs::write(folder.join("policy.yaml"), "delete_image: '!'\n").unwrap();
        format!("[database]\nconnection = sqlite:///{}", database.display())
    });
    assert_eq!(delete(ours.address, &image).status, 403);
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err(), "somebody was asked");
}
