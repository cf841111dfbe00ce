//! `/v2/images/{id}/stage`, `/import`, `/tasks`: the bytes reach the stores, and what fails leaves
//! an image that can be staged again.

use fresnel::{
    api,
    control::{
        Settings, StoreSettings,
        import::{self, Method},
    },
    model::StoreId,
};
use openssl::hash::{MessageDigest, hash};
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, multistore, text},
    wait_until,
};
use std::time::Duration;

mod plugins;
mod web;

const LEN: usize = 5_000_000;

/// Two stores.
fn app() -> TestApp {
    app_with(import::Settings::default())
}

/// The same, with all methods.
fn app_with(import: import::Settings) -> TestApp {
    let mut settings = Settings {
        import: import::Settings {
            methods: Method::ALL.to_vec(),
            ..import
        },
        ..multistore(Settings::default())
    };
    settings.stores.push(StoreSettings {
        id: StoreId::new("other"),
        description: None,
        weight: 0,
        read_only: false,
        properties: serde_json::Map::new(),
        encryption_key: None,
    });
    TestApp::with(settings, api::Settings::default())
}

fn bytes() -> Vec<u8> {
    (0..LEN).map(|at| (at ^ (at >> 8)) as u8).collect()
}

/// An image with staged data.
#[track_caller]
fn staged(app: &TestApp) -> String {
    let image = app.create(&json!({"disk_format": "raw", "container_format": "bare"}));
    let answer = app.stage(&image, &bytes());
    assert_eq!(answer.status, 204, "{}", text(&answer));
    image
}

#[track_caller]
fn import(app: &TestApp, image: &str, body: &Value) -> Value {
    let answer = app.post(&format!("{image}/import"), body);
    assert_eq!(answer.status, 202, "{}", text(&answer));
    app.imported(image)
}

fn direct(more: Value) -> Value {
    let mut body = json!({"method": {"name": "glance-direct"}});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn md5(bytes: &[u8]) -> String {
    let digest = hash(MessageDigest::md5(), bytes).unwrap();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The last task of an image.
fn task(app: &TestApp, image: &str) -> Value {
    let mut tasks = app.get(&format!("{image}/tasks")).json();
    tasks["tasks"].as_array_mut().unwrap().pop().unwrap()
}

#[test]
fn staged_data_waits_and_is_then_imported() {
    let app = app();
    let image = staged(&app);
    let shown = app.get(&image).json();
    assert_eq!(
        (&shown["status"], &shown["size"]),
        (&json!("uploading"), &json!(LEN))
    );
    assert!(app.store.is_empty());
    let shown = import(&app, &image, &direct(json!({})));
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["checksum"], md5(&bytes()));
    assert_eq!(shown["stores"], "memory");
    assert_eq!(shown["os_glance_importing_to_stores"], "");
    assert_eq!(shown["os_glance_failed_import"], "");
    assert!(app.get(&format!("{image}/file")).body == bytes());
    assert!(wait_until(Duration::from_secs(20), || app
        .staging
        .is_empty()));
    assert_eq!(task(&app, &image)["status"], "success");
}

#[test]
fn all_stores_get_the_image_at_once() {
    let app = app();
    let image = staged(&app);
    let shown = import(&app, &image, &direct(json!({"all_stores": true})));
    assert_eq!(shown["stores"], "memory,other");
    assert_eq!(shown["size"], LEN);
    assert_eq!(app.delete(&image).status, 204);
    assert!(app.store.is_empty() && app.other.is_empty());
}

#[test]
fn a_store_that_must_succeed_fails_all_and_the_image_can_be_staged_again() {
    let app = app();
    let image = staged(&app);
    app.occupy(&app.other, &image);
    let shown = import(&app, &image, &direct(json!({"all_stores": true})));
    assert_eq!(shown["status"], "queued");
    assert_eq!(shown["os_glance_failed_import"], "other");
    assert_eq!(shown["os_glance_importing_to_stores"], "");
    for gone in ["size", "checksum", "os_hash_value"] {
        assert_eq!(shown[gone], Value::Null, "{gone}");
    }
    assert!(app.store.is_empty() && app.staging.is_empty());
    assert_eq!(task(&app, &image)["status"], "failure");
    assert_eq!(app.stage(&image, &bytes()).status, 204);
    let shown = import(&app, &image, &direct(json!({"stores": ["memory"]})));
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["os_glance_failed_import"], "other");
}

#[test]
fn a_store_that_need_not_succeed_is_told_and_copied_to_later() {
    let app = app();
    let image = staged(&app);
    app.occupy(&app.other, &image);
    let all = json!({"all_stores": true, "all_stores_must_succeed": false});
    let shown = import(&app, &image, &direct(all));
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["stores"], "memory");
    assert_eq!(shown["os_glance_failed_import"], "other");
    assert_eq!(task(&app, &image)["status"], "success");
}

#[test]
fn no_store_at_all_leaves_the_image_queued() {
    let app = app();
    let image = staged(&app);
    app.occupy(&app.other, &image);
    app.occupy(&app.store, &image);
    let all = json!({"all_stores": true, "all_stores_must_succeed": false});
    let shown = import(&app, &image, &direct(all));
    assert_eq!(shown["status"], "queued");
    assert_eq!(shown["os_glance_failed_import"], "memory,other");
}

#[test]
fn a_copy_adds_a_store() {
    let app = app();
    let image = app.upload(&bytes());
    let copy = json!({"method": {"name": "copy-image"}, "stores": ["other"]});
    let shown = import(&app, &image, &copy);
    assert_eq!(
        (&shown["status"], &shown["stores"]),
        (&json!("active"), &json!("memory,other"))
    );
    assert_eq!(shown["checksum"], md5(&bytes()));
    let again = app.post(&format!("{image}/import"), &copy);
    assert_eq!(again.status, 400);
    assert_eq!(text(&again), "Image is already present at store 'other'");
}

#[test]
fn a_copy_that_fails_leaves_the_image_as_it_is() {
    let app = app();
    let image = app.upload(&bytes());
    app.occupy(&app.other, &image);
    let copy = json!({"method": {"name": "copy-image"}, "stores": ["other"]});
    let shown = import(&app, &image, &copy);
    assert_eq!(
        (&shown["status"], &shown["stores"]),
        (&json!("active"), &json!("memory"))
    );
    assert_eq!(shown["os_glance_failed_import"], "other");
    assert_eq!(task(&app, &image)["status"], "failure");
}

#[test]
fn data_of_another_format_is_not_imported() {
    let app = app();
    let image = app.create(&json!({"disk_format": "qcow2", "container_format": "bare"}));
    app.stage(&image, &bytes());
    let shown = import(&app, &image, &direct(json!({"all_stores": true})));
    assert_eq!(shown["status"], "queued");
    assert_eq!(shown["os_glance_failed_import"], "memory");
    let message = task(&app, &image)["message"].clone();
    assert!(
        message.as_str().unwrap().contains("does not match"),
        "{message}"
    );
}

#[test]
fn deleting_an_image_takes_its_staged_data_along() {
    let app = app();
    let image = staged(&app);
    assert!(!app.staging.is_empty());
    assert_eq!(app.delete(&image).status, 204);
    assert!(app.staging.is_empty());
}

#[test]
fn nobody_names_the_staging_store() {
    let app = app();
    let image = staged(&app);
    let body = direct(json!({"stores": [import::Settings::STAGING_STORE]}));
    assert_eq!(app.post(&format!("{image}/import"), &body).status, 409);
}

#[test]
fn what_cannot_be_imported_is_refused_in_glances_words() {
    let app = app();
    let image = app.create(&json!({"disk_format": "raw", "container_format": "bare"}));
    let refused = app.post(&format!("{image}/import"), &direct(json!({})));
    assert_eq!(refused.status, 409);
    assert_eq!(
        text(&refused),
        "Image needs to be staged before 'glance-direct' method can be used"
    );
    let staged = staged(&app);
    let refused = app.stage(&staged, b"more");
    assert_eq!(refused.status, 409);
    let none = TestApp::new().stage(&image, b"data");
    assert_eq!(none.status, 404);
    assert_eq!(
        text(&none),
        "'glance-direct' method is not available at this site."
    );
}
