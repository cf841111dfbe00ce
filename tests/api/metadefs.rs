//! What only we do with metadata definitions.

use serde_json::json;

use crate::support::app::{TestApp, text};

const TYPES: &str = "/v2/metadefs/resource_types";

#[test]
fn a_resource_type_goes_when_no_namespace_is_for_it() {
    let app = TestApp::new();
    let new = json!({"name": "OS::Own"});
    assert_eq!(app.post(TYPES, &new).status, 201);
    assert_eq!(app.post(TYPES, &new).status, 409);
    let namespace = json!({
        "namespace": "ns", "owner": "lab", "resource_type_associations": [{"name": "OS::Own"}],
    });
    assert_eq!(app.post("/v2/metadefs/namespaces", &namespace).status, 201);
    let one = format!("{TYPES}/OS::Own");
    let refused = app.delete(&one);
    assert_eq!(refused.status, 409);
    assert!(text(&refused).contains("Other records still refer to it"));
    assert_eq!(app.delete("/v2/metadefs/namespaces/ns").status, 204);
    assert_eq!(app.delete(&one).status, 204);
    assert_eq!(app.delete(&one).status, 404);
}

#[test]
fn a_namespace_that_cannot_be_whole_leaves_nothing() {
    let app = TestApp::new();
    let twice = json!({
        "namespace": "ns", "owner": "lab", "resource_type_associations": [{"name": "OS::New"}],
        "tags": [{"name": "a"}, {"name": "a"}],
    });
    assert_eq!(app.post("/v2/metadefs/namespaces", &twice).status, 409);
    assert_eq!(app.get("/v2/metadefs/namespaces/ns").status, 404);
    assert_eq!(app.get(TYPES).json(), json!({"resource_types": []}));
}

#[test]
fn what_glance_answers_500_is_told() {
    let app = TestApp::new();
    let property =
        |property| json!({"namespace": "ns", "owner": "lab", "properties": {"p": property}});
    for wrong in [
        json!({"title": "t", "type": "string", "required": ["x"]}),
        json!({"title": "t", "type": "string", "enum": [1]}),
    ] {
        let answer = app.post("/v2/metadefs/namespaces", &property(wrong));
        assert_eq!(answer.status, 400, "{}", text(&answer));
    }
    assert_eq!(app.get("/v2/metadefs/namespaces?limit=x").status, 400);
    assert_eq!(app.get("/v2/metadefs/namespaces?sort_key=x").status, 400);
}

#[test]
fn a_namespace_that_is_for_a_type_no_more_leaves_nothing_of_it() {
    let app = TestApp::new();
    let namespace = json!({"namespace": "ns", "owner": "lab"});
    assert_eq!(app.post("/v2/metadefs/namespaces", &namespace).status, 201);
    let list = "/v2/metadefs/namespaces/ns/resource_types";
    let association = json!({"name": "OS::Own", "prefix": "x_"});
    for _ in 0..2 {
        assert_eq!(app.post(list, &association).status, 201);
        assert_eq!(app.delete(&format!("{list}/OS::Own")).status, 204);
        assert_eq!(
            app.get(list).json(),
            json!({"resource_type_associations": []})
        );
    }
    // What made the type with the association is gone, so the type can go.
    assert_eq!(app.delete(&format!("{TYPES}/OS::Own")).status, 204);
    assert_eq!(app.get(TYPES).json(), json!({"resource_types": []}));
}
