//! `GET /v2/images`.

use serde_json::{Value, json};

use crate::support::app::{TestApp, text};

fn names(app: &TestApp, query: &str) -> Vec<String> {
    let page = app.get(&format!("/v2/images?{query}")).json();
    let images = page["images"].as_array().unwrap().iter();
    images
        .map(|image| image["name"].as_str().unwrap().to_owned())
        .collect()
}

fn three() -> TestApp {
    let app = TestApp::new();
    app.create(&json!({"name": "a", "tags": ["x", "y"], "os_distro": "debian"}));
    app.create(&json!({"name": "b,c", "tags": ["x"], "visibility": "public"}));
    app.create(&json!({"name": "d", "visibility": "community", "os_distro": "debian"}));
    app.create(&json!({"name": "h", "os_hidden": true}));
    app
}

#[test]
fn nothing_is_an_empty_page() {
    let expected = json!({"images": [], "first": "/v2/images", "schema": "/v2/schemas/images"});
    assert_eq!(TestApp::new().get("/v2/images").json(), expected);
}

#[test]
fn pages_follow_one_another() {
    let app = three();
    let mut page = app.get("/v2/images?limit=1&sort=name:asc").json();
    let mut found = Vec::new();
    while let Some(next) = page["next"].as_str() {
        found.push(page["images"][0]["name"].clone());
        assert_eq!(page["first"], "/v2/images?limit=1&sort=name%3Aasc");
        page = app.get(next).json();
    }
    assert_eq!(found, ["a", "b,c"]);
    assert_eq!(page["images"], Value::Array(Vec::new()));
}

#[test]
fn filters_narrow_and_sorts_order() {
    let app = three();
    assert_eq!(names(&app, "sort=name"), ["b,c", "a"]);
    assert_eq!(names(&app, "sort=name&visibility=all"), ["d", "b,c", "a"]);
    assert_eq!(names(&app, "visibility=public"), ["b,c"]);
    assert_eq!(names(&app, "os_hidden=true"), ["h"]);
    assert_eq!(names(&app, "tag=x&tag=y"), ["a"]);
    assert_eq!(names(&app, "os_distro=debian"), ["a"]);
    assert_eq!(
        names(&app, "name=in:a,%22b,c%22&sort=name:asc"),
        ["a", "b,c"]
    );
    assert_eq!(names(&app, "created_at=lt:2000-01-01T00:00:00Z"), [""; 0]);
    assert_eq!(names(&app, "limit=0"), [""; 0]);
}

#[test]
fn repeated_parameters_are_repeated_in_the_links() {
    let page = three().get("/v2/images?tag=x&tag=y").json();
    assert_eq!(page["first"], "/v2/images?tag=x&tag=y");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let app = three();
    let unknown = app.get("/v2/images?marker=nobody");
    assert_eq!(unknown.status, 400);
    assert_eq!(text(&unknown), "No image found with ID nobody");
    let sort = app.get("/v2/images?sort=nothing");
    assert!(text(&sort).starts_with("Invalid sort key: nothing."));
    assert_eq!(app.get("/v2/images?name=%ff").status, 400);
}
