//! Artifacts (reference J.2): through the real routes, and by python-glareclient.

mod blobs;
mod cached;
mod client;
mod people;
mod races;
mod records;

use std::collections::BTreeMap;

use fresnel::{
    api,
    control::{
        Settings,
        artifact::{self, Types},
    },
};
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, text},
    wire::{Request, Response},
};

/// A type with a field of each kind.
const SAMPLE: &str = include_str!("artifacts/sample.json");

/// With all shipped types, and that one.
fn app() -> TestApp {
    app_with(&[])
}

/// The same, with limits.
fn app_with(quotas: &[(&str, i64)]) -> TestApp {
    let names = ["sample", "images", "heat_templates"].map(str::to_owned);
    let quotas = quotas
        .iter()
        .map(|(name, most)| ((*name).to_owned(), *most));
    let artifacts = artifact::Settings {
        enabled: true,
        types: Types::new(&names, &[SAMPLE.to_owned()]).unwrap(),
        quotas: quotas.collect::<BTreeMap<_, _>>(),
        store: None,
    };
    let settings = Settings {
        artifacts,
        ..Settings::default()
    };
    TestApp::with(settings, api::Settings::default())
}

/// Makes one, and returns it.
#[track_caller]
fn make(app: &TestApp, fields: Value) -> Value {
    let made = post(app, "/artifacts/sample", &fields);
    assert_eq!(made.status, 201, "{}", text(&made));
    made.json()
}

fn post(app: &TestApp, target: &str, body: &Value) -> Response {
    let request = Request::new("POST", target).header("Content-Type", "application/json");
    app.ask(request.body(body.to_string()))
}

fn patch(app: &TestApp, target: &str, operations: &Value) -> Response {
    let media_type = "application/json-patch+json";
    let request = Request::new("PATCH", target).header("Content-Type", media_type);
    app.ask(request.body(operations.to_string()))
}

/// Sets one field.
fn set(app: &TestApp, target: &str, field: &str, value: Value) -> Response {
    let path = format!("/{field}");
    patch(
        app,
        target,
        &json!([{"op": "replace", "path": path, "value": value}]),
    )
}

fn path(artifact: &Value) -> String {
    format!("/artifacts/sample/{}", artifact["id"].as_str().unwrap())
}

/// The names in a list.
#[track_caller]
fn names(app: &TestApp, query: &str) -> Vec<String> {
    let listed = app.get(&format!("/artifacts/sample?{query}"));
    assert_eq!(listed.status, 200, "{query}: {}", text(&listed));
    let listed = listed.json();
    let listed = listed["artifacts"].as_array().unwrap();
    listed
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}
