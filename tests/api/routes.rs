//! What no route answers, and what every answer has.

use serde_json::json;

use crate::support::{
    app::{TestApp, text},
    wire::Request,
};

fn ask(method: &str, target: &str) -> crate::support::wire::Response {
    TestApp::new().ask(Request::new(method, target))
}

#[test]
fn a_known_path_tells_its_methods() {
    let refused = ask("PUT", "/v2/images");
    assert_eq!(
        (refused.status, refused.header("Allow")),
        (405, Some("GET, POST"))
    );
    assert_eq!(
        text(&refused),
        "The method PUT is not allowed for this resource."
    );
    assert_eq!(
        ask("PUT", "/v2/images/x").header("Allow"),
        Some("GET, PATCH, DELETE")
    );
}

#[test]
fn an_unknown_path_is_not_found_and_an_unknown_method_not_implemented() {
    assert_eq!(ask("GET", "/v2/nothing").status, 404);
    assert_eq!(ask("GET", "/v2/images/").status, 404);
    assert_eq!(ask("FOO", "/v2/nothing").status, 501);
    assert_eq!(ask("PUT", "/v2/info/usage").status, 404);
}

#[test]
fn the_root_of_a_version_moves() {
    let moved = ask("GET", "/v2");
    assert_eq!(moved.status, 302);
    assert!(moved.header("Location").unwrap().ends_with("/v2/"));
}

#[test]
fn a_body_where_none_belongs_is_refused() {
    let request = Request::new("DELETE", "/v2/images/x").body("x");
    let refused = TestApp::new().ask(request);
    assert_eq!(refused.status, 400);
    assert_eq!(text(&refused), "A body is not expected with this request.");
}

#[test]
fn a_request_has_an_id_that_the_client_may_choose() {
    let app = TestApp::new();
    let with =
        |id: &str| app.ask(Request::new("GET", "/v2/images").header("X-OpenStack-Request-ID", id));
    let header = "x-openstack-request-id";
    assert!(
        app.get("/v2/images")
            .header(header)
            .unwrap()
            .starts_with("req-")
    );
    assert_eq!(with("mine").header(header), Some("req-mine"));
    assert_eq!(with("req-mine").header(header), Some("req-mine"));
    assert_eq!(with(&"x".repeat(65)).status, 431);
}

#[test]
fn errors_come_as_the_client_likes_them() {
    let app = TestApp::new();
    let with = |accept: &str| app.ask(Request::new("GET", "/v2/nothing").header("Accept", accept));
    assert_eq!(
        with("*/*").header("Content-Type"),
        Some("text/html; charset=UTF-8")
    );
    assert_eq!(
        with("text/x").header("Content-Type"),
        Some("text/plain; charset=UTF-8")
    );
    let expected = json!({
        "message": "The resource could not be found.<br /><br />\n\n\n",
        "code": "404 Not Found",
        "title": "Not Found",
    });
    assert_eq!(with("application/json").json(), expected);
}
