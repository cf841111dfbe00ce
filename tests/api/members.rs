//! `/v2/images/{id}/members`.

use serde_json::json;

use crate::support::{
    app::{TestApp, text},
    wire::Request,
};
use fresnel::{api, control::Settings};

#[test]
fn an_offer_is_made_answered_and_taken_back() {
    let app = TestApp::new();
    let members = format!("{}/members", app.create(&json!({})));
    let offered = app.post(&members, &json!({"member": "p"}));
    assert_eq!(
        (offered.status, &offered.json()["status"]),
        (200, &json!("pending"))
    );
    let member = format!("{members}/p");
    let accept = Request::new("PUT", &member).body(r#"{"status": "accepted"}"#);
    assert_eq!(app.ask(accept).json()["status"], "accepted");
    let listed = app.get(&members).json();
    assert_eq!(listed["members"], json!([app.get(&member).json()]));
    assert_eq!(listed["schema"], "/v2/schemas/members");
    assert_eq!(app.delete(&member).status, 204);
    assert_eq!(app.get(&member).status, 404);
    assert_eq!(app.post(&members, &json!({"member": "p"})).status, 200);
}

#[test]
fn only_shared_images_have_members() {
    let app = TestApp::new();
    let image = app.create(&json!({"visibility": "private"}));
    let members = format!("{image}/members");
    let id = image.rsplit('/').next().unwrap();
    let offered = app.post(&members, &json!({"member": "p"}));
    assert_eq!(offered.status, 403);
    assert_eq!(
        text(&offered),
        format!("Not allowed to create members for image {id}.")
    );
    let listed = app.get(&members);
    assert_eq!(listed.status, 403);
    assert!(text(&listed).ends_with(": Only shared images have members."));
    let shown = app.get(&format!("{members}/p"));
    assert_eq!(
        (shown.status, text(&shown).as_str()),
        (404, "Only shared images have members.")
    );
}

#[test]
fn offers_are_limited_and_not_repeated() {
    let settings = Settings {
        image_member_quota: Some(1),
        ..Settings::default()
    };
    let app = TestApp::with(settings, api::Settings::default());
    let members = format!("{}/members", app.create(&json!({})));
    assert_eq!(app.post(&members, &json!({"member": "p"})).status, 200);
    assert_eq!(app.post(&members, &json!({"member": "q"})).status, 413);
    let app = TestApp::new();
    let members = format!("{}/members", app.create(&json!({})));
    app.post(&members, &json!({"member": "p"}));
    let again = app.post(&members, &json!({"member": "p"}));
    assert_eq!(again.status, 409);
    assert!(text(&again).starts_with("Member p is duplicated for image "));
}

#[test]
fn bodies_are_checked() {
    let app = TestApp::new();
    let members = format!("{}/members", app.create(&json!({})));
    app.post(&members, &json!({"member": "p"}));
    let offered = |body| text(&app.post(&members, &body));
    assert_eq!(offered(json!({})), "Member to be added not specified");
    assert_eq!(offered(json!({"member": ""})), "Member can't be empty");
    assert_eq!(
        offered(json!({"member": "m".repeat(256)})),
        "Member can't be longer than 255 characters"
    );
    let put = |body: &str| text(&app.ask(Request::new("PUT", &format!("{members}/p")).body(body)));
    assert_eq!(put("{}"), "Status not specified");
    assert_eq!(
        put(r#"{"status": "maybe"}"#),
        "Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\"."
    );
}
