//! `/v2/info`, `/v2/schemas`, `/healthcheck`.

use serde_json::json;

use crate::support::{
    app::{TestApp, multistore, text},
    wire::Request,
};
use fresnel::{api, control::Settings};

#[test]
fn one_store_is_no_site_of_several() {
    let refused = TestApp::new().get("/v2/info/stores");
    assert_eq!(refused.status, 404);
    assert_eq!(
        text(&refused),
        "Multi backend is not supported at this site."
    );
}

#[test]
fn stores_are_listed_with_what_one_may_know() {
    let app = TestApp::with(multistore(Settings::default()), api::Settings::default());
    let store = json!({"id": "memory", "description": "for tests", "default": "true"});
    assert_eq!(
        app.get("/v2/info/stores").json(),
        json!({"stores": [store]})
    );
    let detail = app.get("/v2/info/stores/detail").json();
    assert_eq!(detail["stores"][0]["type"], "memory");
    assert_eq!(detail["stores"][0]["weight"], 7);
}

#[test]
fn nothing_can_be_imported_and_nothing_is_counted() {
    let app = TestApp::new();
    assert_eq!(
        app.get("/v2/info/import").json()["import-methods"]["value"],
        json!([])
    );
    assert_eq!(app.get("/v2/info/usage").json(), json!({"usage": {}}));
}

#[test]
fn schemas_name_what_there_is() {
    let app = TestApp::new();
    let image = app.get("/v2/schemas/image").json();
    assert_eq!(image["properties"]["kernel_id"]["is_base"], false);
    assert_eq!(
        app.get("/v2/schemas/images").json()["properties"]["images"]["items"],
        image
    );
    let member = app.get("/v2/schemas/member").json();
    let members = app.get("/v2/schemas/members").json();
    assert_eq!(members["properties"]["members"]["items"], member);
}

#[test]
fn a_living_process_is_well() {
    let app = TestApp::new();
    assert_eq!(app.get("/healthcheck").json()["reasons"], json!(["OK"]));
    let plain = app.ask(Request::new("GET", "/healthcheck").header("Accept", "*/*"));
    assert_eq!(plain.body, b"OK");
}
