//! `/v2/images/{id}`.

use serde_json::json;

use crate::support::{
    app::{TestApp, multistore, text},
    wire::Request,
};
use fresnel::{api, control::Settings};

#[test]
fn a_new_image_is_shown_and_found_where_it_says() {
    let app = TestApp::new();
    let created = app.post(
        "/v2/images",
        &json!({"name": "n", "tags": ["a"], "os_distro": "x"}),
    );
    assert_eq!(created.status, 201);
    let image = created.json();
    assert_eq!(image["status"], "queued");
    assert_eq!(
        (&image["os_distro"], &image["tags"]),
        (&json!("x"), &json!(["a"]))
    );
    let path = image["self"].as_str().unwrap();
    let location = created.header("Location").unwrap();
    assert!(location.starts_with("http://127.0.0.1:") && location.ends_with(path));
    assert_eq!(app.get(path).json(), image);
}

#[test]
fn an_id_is_taken_once_and_for_ever() {
    let app = TestApp::new();
    let id = "11111111-2222-3333-4444-555555555555";
    let image = app.create(&json!({"id": id}));
    assert_eq!(app.delete(&image).status, 204);
    let again = app.post("/v2/images", &json!({"id": id}));
    assert_eq!(again.status, 409);
    assert_eq!(text(&again), format!("Image ID {id} already exists!"));
}

#[test]
fn what_a_client_may_not_set_is_refused_in_glances_words() {
    let app = TestApp::new();
    let cases = [
        (json!({"self": "x"}), 403, "Attribute 'self' is read-only."),
        (json!({"size": 1}), 403, "Attribute 'size' is read-only."),
        (
            json!({"deleted": "x"}),
            403,
            "Access was denied to this resource.\nAttribute 'deleted' is reserved.",
        ),
        (
            json!({"locations": []}),
            403,
            "Attribute 'locations' is reserved.",
        ),
        (
            json!({"min_disk": -1}),
            400,
            "Invalid value '-1' for parameter 'min_disk': Cannot be a negative value",
        ),
        (
            json!({"min_ram": 2_147_483_648_u32}),
            400,
            "'min_ram' value out of range, must not exceed 2147483647.",
        ),
        (
            json!({"name": "😀"}),
            400,
            "Name can't contain 4 byte unicode characters.",
        ),
        (
            json!({"os_x": "😀"}),
            400,
            "Os_X can't contain 4 byte unicode characters.",
        ),
        (
            json!({"😀": "x"}),
            400,
            "Property names can't contain 4 byte unicode.",
        ),
        (
            json!({"tags": ["😀"]}),
            400,
            "Param values can't contain 4 byte unicode.",
        ),
    ];
    for (body, status, expected) in cases {
        let refused = app.post("/v2/images", &body);
        assert_eq!(
            (refused.status, text(&refused).as_str()),
            (status, expected),
            "{body}"
        );
    }
}

#[test]
fn properties_and_tags_have_quotas() {
    let settings = Settings {
        image_property_quota: Some(1),
        image_tag_quota: Some(1),
        ..Settings::default()
    };
    let app = TestApp::with(settings, api::Settings::default());
    let refused = app.post("/v2/images", &json!({"a": "1", "b": "2"}));
    assert_eq!(refused.status, 413);
    let expected = "The limit has been exceeded on the number of allowed image properties. \
                    Attempted: 2, Maximum: 1";
    assert!(text(&refused).contains(expected));
    assert_eq!(
        app.post("/v2/images", &json!({"tags": ["a", "b"]})).status,
        413
    );
}

#[test]
fn a_body_is_json_of_a_limited_length() {
    let app = TestApp::new();
    let post = |body: &str| app.ask(Request::new("POST", "/v2/images").body(body));
    assert_eq!(text(&post("")), "Body expected in request.");
    assert_eq!(text(&post("{")), "Malformed JSON in request body.");
    assert_eq!(
        text(&post("7")),
        "Unexpected body type. Expected list/dict."
    );
    assert_eq!(post("[]").status, 400);
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(1024 * 1024));
    assert_eq!(post(&large).status, 413);
}

#[test]
fn a_value_of_a_property_is_no_longer_than_a_column() {
    let app = TestApp::new();
    let value = |bytes: usize| "x".repeat(bytes);
    let image = app.create(&json!({"a": value(65_535)}));
    assert_eq!(
        app.post("/v2/images", &json!({"a": value(65_536)})).status,
        400
    );
    let add = json!([{"op": "add", "path": "/b", "value": value(65_536)}]);
    let refused = app.patch(&image, &add);
    let expected = "The value of property b is longer than 65535 bytes.";
    assert_eq!((refused.status, text(&refused).as_str()), (400, expected));
}

#[test]
fn a_deleted_image_is_gone_with_its_data() {
    let app = TestApp::new();
    let image = app.upload(b"bytes");
    assert_eq!(app.delete(&image).status, 204);
    assert!(app.store.is_empty());
    let gone = app.get(&image);
    let id = image.rsplit('/').next().unwrap();
    assert_eq!(
        (gone.status, text(&gone)),
        (404, format!("No image found with ID {id}"))
    );
    let again = app.delete(&image);
    assert_eq!(text(&again), format!("Failed to find image {id} to delete"));
}

#[test]
fn a_protected_image_stays() {
    let app = TestApp::new();
    let image = app.create(&json!({"protected": true}));
    let refused = app.delete(&image);
    assert_eq!(refused.status, 403);
    assert!(text(&refused).ends_with("is protected and cannot be deleted."));
    assert_eq!(app.get(&image).status, 200);
}

#[test]
fn data_makes_an_image_active_and_only_once() {
    let app = TestApp::new();
    let path = app.upload(b"bytes");
    let image = app.get(&path).json();
    assert_eq!(
        (&image["status"], &image["size"]),
        (&json!("active"), &json!(5))
    );
    assert_eq!(image["checksum"], "4b3a6218bb3e3a7303e8a171a60fcf92");
    let request = Request::new("PUT", &format!("{path}/file"));
    let again = app.ask(
        request
            .header("Content-Type", "application/octet-stream")
            .body("x"),
    );
    assert_eq!(again.status, 409);
    assert_eq!(
        text(&again),
        "Image status transition from active to saving is not allowed"
    );
}

#[test]
fn addresses_are_shown_where_the_operator_says_so() {
    let settings = Settings {
        show_image_direct_url: true,
        show_multiple_locations: true,
        ..Settings::default()
    };
    let app = TestApp::with(multistore(settings), api::Settings::default());
    let queued = app.create(&json!({}));
    assert_eq!(app.get(&queued).json()["locations"], json!([]));
    let image = app.get(&app.upload(b"bytes")).json();
    let url = image["direct_url"].as_str().unwrap();
    assert_eq!(image["stores"], "memory");
    assert_eq!(
        image["locations"],
        json!([{"url": url, "metadata": {"store": "memory"}}])
    );
    let plain = TestApp::new();
    let image = plain.get(&plain.upload(b"bytes")).json();
    assert!(
        ["direct_url", "locations", "stores"]
            .iter()
            .all(|key| image.get(key).is_none())
    );
}

#[test]
fn a_create_in_multistore_mode_names_the_stores() {
    let app = TestApp::with(multistore(Settings::default()), api::Settings::default());
    let created = app.post("/v2/images", &json!({}));
    assert_eq!(created.header("OpenStack-image-store-ids"), Some("memory"));
    assert_eq!(created.header("OpenStack-image-import-methods"), None);
}
