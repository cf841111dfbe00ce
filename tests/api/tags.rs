//! `/v2/images/{id}/tags/{tag}`.

use serde_json::json;

use crate::support::app::{TestApp, text};
use fresnel::{api, control::Settings};

#[test]
fn tags_come_and_go() {
    let app = TestApp::new();
    let image = app.create(&json!({"tags": ["a"]}));
    assert_eq!(app.put(&format!("{image}/tags/b%20c")).status, 204);
    assert_eq!(app.put(&format!("{image}/tags/b%20c")).status, 204);
    assert_eq!(app.delete(&format!("{image}/tags/a")).status, 204);
    assert_eq!(app.get(&image).json()["tags"], json!(["b c"]));
    assert_eq!(app.delete(&format!("{image}/tags/a")).status, 404);
}

#[test]
fn tags_are_limited() {
    let settings = Settings {
        image_tag_quota: Some(1),
        ..Settings::default()
    };
    let app = TestApp::with(settings, api::Settings::default());
    let image = app.create(&json!({"tags": ["a"]}));
    let refused = app.put(&format!("{image}/tags/b"));
    assert_eq!(refused.status, 413);
    assert!(text(&refused).starts_with("Image tag limit exceeded for image "));
    let long = format!("{image}/tags/{}", "x".repeat(256));
    assert_eq!(app.put(&long).status, 400);
}

#[test]
fn an_image_that_is_not_there_has_no_tags() {
    let refused = TestApp::new().put("/v2/images/nobody/tags/x");
    assert_eq!(
        (refused.status, text(&refused).as_str()),
        (404, "Image nobody not found.")
    );
}
