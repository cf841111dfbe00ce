//! `POST /v2/images/{id}/actions/...`.

use serde_json::json;

use crate::support::{
    app::{TestApp, text},
    wire::Request,
};

fn act(app: &TestApp, image: &str, action: &str) -> crate::support::wire::Response {
    app.ask(Request::new("POST", &format!("{image}/actions/{action}")))
}

#[test]
fn an_image_is_put_away_and_brought_back_and_twice_is_no_error() {
    let app = TestApp::new();
    let image = app.upload(b"bytes");
    for (action, status) in [("deactivate", "deactivated"), ("reactivate", "active")] {
        assert_eq!(act(&app, &image, action).status, 204);
        assert_eq!(act(&app, &image, action).status, 204);
        assert_eq!(app.get(&image).json()["status"], status);
    }
}

#[test]
fn an_image_without_data_is_not_put_away() {
    let app = TestApp::new();
    let image = app.create(&json!({}));
    let refused = act(&app, &image, "deactivate");
    assert_eq!(refused.status, 403);
    assert_eq!(
        text(&refused),
        "Not allowed to deactivate image in status 'queued'"
    );
}
