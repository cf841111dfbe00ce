//! `PATCH /v2/images/{id}`.

use serde_json::json;

use crate::support::{
    app::{TestApp, text},
    wire::Request,
};

#[test]
fn changes_are_made_in_order_and_shown() {
    let app = TestApp::new();
    let image = app.create(&json!({"a": "1"}));
    let changed = app.patch(
        &image,
        &json!([
            {"op": "replace", "path": "/name", "value": "n"},
            {"op": "add", "path": "/b", "value": "2"},
            {"op": "remove", "path": "/a"},
            {"op": "replace", "path": "/tags", "value": ["t"]},
        ]),
    );
    assert_eq!(changed.status, 200);
    let shown = app.get(&image).json();
    assert_eq!(shown, changed.json());
    assert_eq!((&shown["name"], &shown["b"]), (&json!("n"), &json!("2")));
    assert_eq!((shown.get("a"), &shown["tags"]), (None, &json!(["t"])));
}

#[test]
fn the_first_failure_undoes_all() {
    let app = TestApp::new();
    let image = app.create(&json!({"name": "before"}));
    let failed = app.patch(
        &image,
        &json!([
            {"op": "replace", "path": "/name", "value": "after"},
            {"op": "replace", "path": "/nothing", "value": "x"},
        ]),
    );
    assert_eq!(failed.status, 409);
    let expected = "There was a conflict when trying to complete your request.\n\
                    Property nothing does not exist.";
    assert_eq!(text(&failed), expected);
    assert_eq!(app.get(&image).json()["name"], "before");
}

#[test]
fn another_media_type_is_told_which_there_are() {
    let app = TestApp::new();
    let image = app.create(&json!({}));
    let request = Request::new("PATCH", &image).header("Content-Type", "application/json");
    let refused = app.ask(request.body("[]"));
    assert_eq!(refused.status, 415);
    let expected = "application/openstack-images-v2.0-json-patch, \
                    application/openstack-images-v2.1-json-patch";
    assert_eq!(refused.header("Accept-Patch"), Some(expected));
}

#[test]
fn version_2_0_adds_only_what_is_new() {
    let app = TestApp::new();
    let image = app.create(&json!({"a": "1"}));
    let media_type = "application/openstack-images-v2.0-json-patch";
    let add = |body: &str| {
        let request = Request::new("PATCH", &image).header("Content-Type", media_type);
        app.ask(request.body(body))
    };
    assert_eq!(add(r#"[{"add": "/b", "value": "2"}]"#).status, 200);
    let present = add(r#"[{"add": "/a", "value": "2"}]"#);
    assert_eq!(present.status, 409);
    assert!(text(&present).ends_with("Property a already present."));
}

#[test]
fn formats_are_fixed_once_there_is_data() {
    let app = TestApp::new();
    let image = app.upload(b"bytes");
    let change = json!([{"op": "replace", "path": "/disk_format", "value": "iso"}]);
    let refused = app.patch(&image, &change);
    assert_eq!(refused.status, 403);
    assert_eq!(
        text(&refused),
        "Attribute disk_format can be only replaced for a queued image."
    );
}

#[test]
fn locations_that_nobody_sees_nobody_changes() {
    let app = TestApp::new();
    let image = app.create(&json!({}));
    let refused = app.patch(&image, &json!([{"op": "remove", "path": "/locations/0"}]));
    assert_eq!(refused.status, 403);
    assert_eq!(
        text(&refused),
        "It's not allowed to remove locations if locations are invisible."
    );
}

#[test]
fn a_property_of_the_schema_may_be_null() {
    let app = TestApp::new();
    let image = app.create(&json!({}));
    let change = json!([{"op": "add", "path": "/kernel_id", "value": null}]);
    assert_eq!(app.patch(&image, &change).json()["kernel_id"], json!(null));
    let change = json!([{"op": "add", "path": "/other", "value": null}]);
    assert_eq!(app.patch(&image, &change).status, 400);
}
