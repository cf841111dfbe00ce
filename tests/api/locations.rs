//! `/v2/images/{id}/locations`, and `PATCH` of `/locations`.

use std::time::Duration;

use fresnel::{
    api,
    control::{Caller, Error, Identity, Policy, Settings, location::Registration},
    model::ImageId,
};
use openssl::hash::{MessageDigest, hash};
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, text},
    wait_until,
    wire::Request,
};

/// Longer than any digest here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const BYTES: &[u8] = b"bytes that a service has put there";

fn editable() -> TestApp {
    let settings = Settings {
        show_multiple_locations: true,
        ..Settings::default()
    };
    TestApp::with(settings, api::Settings::default())
}

fn queued(app: &TestApp) -> String {
    app.create(&json!({"disk_format": "raw", "container_format": "bare"}))
}

/// A service of another project than any image's.
fn service() -> Caller {
    let identity = Identity {
        project_id: Some("services".to_owned()),
        roles: vec!["service".to_owned()],
        ..Identity::default()
    };
    Caller::authenticated(identity, &Policy::default(), String::new())
}

fn id(image: &str) -> ImageId {
    ImageId::new(image.rsplit('/').next().unwrap())
}

fn hex(kind: MessageDigest, bytes: &[u8]) -> String {
    let digest = hash(kind, bytes).unwrap();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn locations(app: &TestApp, image: &str) -> Value {
    app.get(&format!("{image}/locations")).json()
}

#[track_caller]
fn register(app: &TestApp, image: &str, body: Value) {
    let answer = app.post(&format!("{image}/locations"), &body);
    assert_eq!(answer.status, 202, "{}", text(&answer));
    assert!(answer.body.is_empty());
}

/// Type, status and message of the image's one task.
#[track_caller]
fn task(app: &TestApp, image: &str) -> (String, String, String) {
    let tasks = app.get(&format!("{image}/tasks")).json();
    let [task] = tasks["tasks"].as_array().unwrap().as_slice() else {
        panic!("{tasks}");
    };
    let text = |key: &str| task[key].as_str().unwrap_or_default().to_owned();
    (text("type"), text("status"), text("message"))
}

fn success() -> (String, String, String) {
    ("location_import".into(), "success".into(), String::new())
}

#[track_caller]
fn refused(app: &TestApp, image: &str, body: Value) -> (u16, String) {
    let answer = app.post(&format!("{image}/locations"), &body);
    (answer.status, text(&answer))
}

#[track_caller]
fn patched(app: &TestApp, image: &str, operation: Value) -> (u16, String) {
    let answer = app.patch(image, &json!([operation]));
    (answer.status, text(&answer))
}

fn add(url: &str) -> Value {
    json!({"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}}})
}

#[test]
fn registered_bytes_are_active_at_once_and_get_their_digests() {
    let app = editable();
    let (image, url) = (queued(&app), app.object(BYTES));
    register(&app, &image, json!({"url": url}));
    let shown = app.get(&image).json();
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["size"], BYTES.len());
    assert_eq!(shown["os_hash_algo"], "sha512");
    let expected = json!([{"url": url, "metadata": {}}]);
    assert_eq!(
        (&shown["locations"], &locations(&app, &image)),
        (&expected, &expected)
    );
    assert!(wait_until(PATIENCE, || app.get(&image).json()["checksum"]
        != Value::Null));
    let shown = app.get(&image).json();
    assert_eq!(shown["checksum"], hex(MessageDigest::md5(), BYTES));
    assert_eq!(shown["os_hash_value"], hex(MessageDigest::sha512(), BYTES));
    assert_eq!(task(&app, &image), success());
    assert_eq!(app.get(&format!("{image}/file")).body, BYTES);
}

#[test]
fn bytes_with_a_digest_are_verified_before_they_are_active() {
    let app = TestApp::new();
    let sha256 = hex(MessageDigest::sha256(), BYTES);
    let data = json!({"os_hash_algo": "sha256", "os_hash_value": sha256, "store": "elsewhere"});
    let (image, url) = (queued(&app), app.object(BYTES));
    register(&app, &image, json!({"url": url, "validation_data": data}));
    assert!(wait_until(PATIENCE, || app.get(&image).json()["status"] == "active"));
    let shown = app.get(&image).json();
    assert_eq!(shown["os_hash_value"], sha256);
    assert_eq!(shown["checksum"], hex(MessageDigest::md5(), BYTES));
}

#[test]
fn bytes_of_another_digest_are_given_back() {
    let app = TestApp::new();
    let data = json!({"os_hash_algo": "md5", "os_hash_value": "00".repeat(16)});
    let (image, url) = (queued(&app), app.object(BYTES));
    register(&app, &image, json!({"url": url, "validation_data": data}));
    assert!(wait_until(PATIENCE, || app.get(&image).json()["status"] == "queued"));
    let shown = app.get(&image).json();
    let left = ["size", "checksum", "os_hash_algo", "os_hash_value"];
    assert!(left.iter().all(|key| shown[key] == Value::Null), "{shown}");
    assert_eq!(locations(&app, &image), json!([]));
    assert!(app.has_object(&url));
    let (_, status, message) = task(&app, &image);
    assert_eq!(status, "failure");
    assert!(
        message.contains("not matched with actual os_hash_value"),
        "{message}"
    );
    register(&app, &image, json!({"url": url}));
}

#[test]
fn without_do_secure_hash_the_service_is_believed() {
    let settings = Settings {
        do_secure_hash: false,
        ..Settings::default()
    };
    let app = TestApp::with(settings, api::Settings::default());
    let digest = "ab".repeat(20);
    let data = json!({"os_hash_algo": "sha1", "os_hash_value": digest});
    let (image, url) = (queued(&app), app.object(BYTES));
    register(&app, &image, json!({"url": url, "validation_data": data}));
    let shown = app.get(&image).json();
    assert_eq!(
        (&shown["status"], &shown["checksum"]),
        (&json!("active"), &Value::Null)
    );
    assert_eq!(
        (&shown["os_hash_algo"], &shown["os_hash_value"]),
        (&json!("sha1"), &json!(digest))
    );
    let (plain, url) = (queued(&app), app.object(BYTES));
    register(&app, &plain, json!({"url": url, "validation_data": {}}));
    assert_eq!(task(&app, &plain), success());
    let shown = app.get(&plain).json();
    assert_eq!(
        (&shown["status"], &shown["os_hash_algo"]),
        (&json!("active"), &Value::Null)
    );
}

#[test]
fn what_cannot_be_the_images_bytes_is_refused_at_once() {
    let app = TestApp::new();
    let (image, active) = (queued(&app), app.upload(BYTES));
    let theirs = format!("memory://memory/{}", active.rsplit('/').next().unwrap());
    // The object of an image that does not have it yet, but will.
    let expected = format!(
        "memory://memory/{}",
        queued(&app).rsplit('/').next().unwrap()
    );
    for url in [
        &theirs,
        &expected,
        "memory://memory/nothing",
        "file:///etc/passwd",
        "x",
        "",
    ] {
        let answer = refused(&app, &image, json!({"url": url}));
        assert_eq!(answer, (400, "Invalid location".to_owned()), "{url}");
    }
    assert_eq!(app.get(&image).json()["status"], "queued");
    let answer = refused(&app, &active, json!({"url": app.object(BYTES)}));
    let text = "It's not allowed to add locations if image status is active.";
    assert_eq!(answer, (409, text.to_owned()));
    let bare = app.create(&json!({"disk_format": "raw"}));
    let answer = refused(&app, &bare, json!({"url": app.object(BYTES)}));
    let text = "Property container_format must be set prior to saving data.";
    assert_eq!(answer, (400, text.to_owned()));
}

#[test]
fn a_digest_that_makes_no_sense_is_refused() {
    let app = TestApp::new();
    let image = queued(&app);
    let cases = [
        ("xy", "os_hash_value (xy) is not a valid hexadecimal value"),
        (
            "abcd",
            "os_hash_value: (abcd) is not the correct size for (md5) (should be (16) bytes)",
        ),
    ];
    for (value, text) in cases {
        let data = json!({"os_hash_algo": "md5", "os_hash_value": value});
        let body = json!({"url": "memory://memory/x", "validation_data": data});
        assert_eq!(refused(&app, &image, body), (400, text.to_owned()));
    }
    let alone = json!({"url": "x", "validation_data": {"os_hash_value": "00"}});
    let (status, text) = refused(&app, &image, alone);
    assert_eq!(status, 400);
    assert!(
        text.contains("'os_hash_algo' is a dependency of 'os_hash_value'"),
        "{text}"
    );
}

#[test]
fn a_patch_makes_a_queued_image_active() {
    let app = editable();
    let (image, url) = (queued(&app), app.object(BYTES));
    let digest = "0f".repeat(64);
    let data = json!({"os_hash_algo": "sha512", "os_hash_value": digest});
    let value = json!({"url": url, "metadata": {"key": "value"}, "validation_data": data});
    let operation = json!({"op": "add", "path": "/locations/0", "value": value});
    let changed = app.patch(&image, &json!([operation])).json();
    assert_eq!(
        (&changed["status"], &changed["size"]),
        (&json!("active"), &json!(BYTES.len()))
    );
    assert_eq!(changed["os_hash_value"], digest);
    assert_eq!(
        changed["locations"],
        json!([{"url": url, "metadata": {"key": "value"}}])
    );
    assert_eq!(app.get(&image).json(), changed);
}

#[test]
fn a_patch_adds_renames_and_removes_locations() {
    let app = editable();
    let image = app.upload(BYTES);
    let first = app.get(&image).json()["locations"][0]["url"].clone();
    let second = app.object(BYTES);
    assert_eq!(patched(&app, &image, add(&second)).0, 200);
    let again = patched(&app, &image, add(&second));
    assert_eq!(
        again,
        (400, format!("The location {second} already exists"))
    );
    let other = json!([{"url": second, "metadata": {"a": "b"}}, {"url": first, "metadata": {}}]);
    let operation = json!({"op": "replace", "path": "/locations", "value": other});
    let replaced = app.patch(&image, &json!([operation])).json();
    assert_eq!(replaced["locations"], other);
    assert_eq!(app.get(&image).json()["locations"], other);
    let removed = patched(
        &app,
        &image,
        json!({"op": "remove", "path": "/locations/0"}),
    );
    assert_eq!(removed.0, 200, "{}", removed.1);
    assert!(app.has_object(first.as_str().unwrap()));
    assert!(!app.has_object(&second));
    let last = patched(
        &app,
        &image,
        json!({"op": "remove", "path": "/locations/0"}),
    );
    let text = "Access was denied to this resource.\nCannot remove last location in the image.";
    assert_eq!(last, (403, text.to_owned()));
    assert_eq!(app.get(&format!("{image}/file")).body, BYTES);
}

#[test]
fn a_patch_takes_no_object_of_another_image() {
    let app = editable();
    let (image, theirs) = (queued(&app), app.upload(BYTES));
    let url = app.get(&theirs).json()["locations"][0]["url"].clone();
    let refusal = (400, "Invalid location".to_owned());
    assert_eq!(patched(&app, &image, add(url.as_str().unwrap())), refusal);
    assert_eq!(patched(&app, &image, add("file:///etc/passwd")), refusal);
    let operation = json!({"op": "replace", "path": "/locations",
        "value": [{"url": url, "metadata": {}}]});
    assert_eq!(patched(&app, &image, operation), refusal);
    assert_eq!(app.delete(&theirs).status, 204);
}

#[test]
fn what_is_wrong_with_a_patch_of_locations_is_told() {
    let app = editable();
    let (image, queued) = (app.upload(BYTES), queued(&app));
    let url = app.object(BYTES);
    let place = |place: &str| {
        json!({"op": "add", "path": format!("/locations/{place}"),
            "value": {"url": url, "metadata": {}}})
    };
    let with = |data: Value| {
        json!({"op": "add", "path": "/locations/-",
            "value": {"url": url, "metadata": {}, "validation_data": data}})
    };
    let hashes = json!({"os_hash_algo": "sha512", "os_hash_value": "00"});
    let md5 = json!({"os_hash_algo": "md5", "os_hash_value": "00".repeat(16)});
    let digest = app.get(&image).json()["os_hash_value"].clone();
    let same = json!({"os_hash_algo": "sha512", "os_hash_value": digest});
    let cases = [
        (
            &image,
            place("x"),
            400,
            "Invalid position for adding a location.",
        ),
        (
            &image,
            with(hashes.clone()),
            409,
            "os_hash_value is already set with a different value",
        ),
        (
            &queued,
            with(hashes),
            409,
            "os_hash_value (00) is not the correct size for sha512 (should be 64 bytes)",
        ),
        (
            &queued,
            with(md5),
            409,
            "os_hash_algo must be sha512, not md5",
        ),
        (
            &queued,
            json!({"op": "remove", "path": "/locations/0"}),
            409,
            "It's not allowed to remove locations if image status is queued.",
        ),
        (&image, with(same), 200, ""),
        (
            &image,
            json!({"op": "remove", "path": "/locations/2"}),
            400,
            "Invalid position for removing a location.",
        ),
    ];
    for (image, operation, status, text) in cases {
        let answer = patched(&app, image, operation.clone());
        assert_eq!(answer, (status, text.to_owned()), "{operation}");
    }
}

#[test]
fn data_in_use_keeps_all_of_the_image() {
    let app = editable();
    let (image, held) = (app.upload(BYTES), app.object(BYTES));
    assert_eq!(patched(&app, &image, add(&held)).0, 200);
    app.store.hold(&held);
    let removed = patched(
        &app,
        &image,
        json!({"op": "remove", "path": "/locations/1"}),
    );
    assert_eq!(removed.0, 409);
    let deleted = app.delete(&image);
    assert_eq!(deleted.status, 409);
    assert!(text(&deleted).contains("could not be deleted because it is in use"));
    assert_eq!(app.get(&format!("{image}/file")).body, BYTES);
    assert_eq!(
        app.get(&image).json()["locations"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_service_registers_nothing_for_images_of_others() {
    let app = TestApp::new();
    let image = queued(&app);
    let given = Registration {
        url: app.object(BYTES),
        digest: None,
    };
    let added = app.decide(async |control| {
        control
            .location_add(&service(), &id(&image), &given, None)
            .await
    });
    assert!(matches!(added, Err(Error::NotOwner)), "{added:?}");
    assert_eq!(app.get(&image).json()["status"], "queued");
}

#[test]
fn of_a_deactivated_image_an_administrator_alone_sees_where_it_is() {
    let app = TestApp::new();
    let image = app.upload(BYTES);
    let shown = |caller: Caller| {
        let shown = app.decide(async |control| control.locations_show(&caller, &id(&image)).await);
        shown.unwrap().len()
    };
    assert_eq!(shown(service()), 1);
    let deactivate = app.ask(Request::new("POST", &format!("{image}/actions/deactivate")));
    assert_eq!(deactivate.status, 204);
    assert_eq!(shown(service()), 0);
    assert_eq!(shown(Caller::unauthenticated(String::new())), 1);
}
