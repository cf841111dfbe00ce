//! `/v2/tasks`: a task makes an image of its own, which goes with its failure, and is forgotten in time.

use std::time::Duration;

use fresnel::{
    api,
    control::{Settings, import},
};
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, text},
    wait_until,
    web::{Faulty, Then},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn task(uri: &str, properties: &Value) -> Value {
    json!({"type": "import", "input": {
        "import_from": uri,
        "import_from_format": "raw",
        "image_properties": properties,
    }})
}

fn properties() -> Value {
    json!({"name": "made", "disk_format": "raw", "container_format": "bare", "made_by": "a task"})
}

fn serving() -> Faulty {
    Faulty::saying("HTTP/1.1 200 OK|Content-Length: 5||bytes", Then::Close)
}

/// The task, once it has ended.
#[track_caller]
fn ended(app: &TestApp, body: &Value) -> Value {
    let answer = app.post("/v2/tasks", body);
    assert_eq!(answer.status, 201, "{}", text(&answer));
    let created = answer.json();
    let own = created["self"].as_str().unwrap().to_owned();
    assert!(answer.header("location").unwrap().ends_with(&own));
    assert_eq!(
        (&created["status"], &created["type"]),
        (&json!("pending"), &json!("import"))
    );
    assert_eq!(created["input"], body["input"]);
    app.ended(&own)
}

#[test]
fn a_body_that_a_task_keeps_is_shorter() {
    let app = TestApp::new();
    let uri = format!("http://127.0.0.1/{}", "x".repeat(60 * 1024));
    assert_eq!(
        app.post("/v2/tasks", &task(&uri, &properties())).status,
        413
    );
    let image = app.create(&properties());
    let import = json!({"method": {"name": "web-download", "uri": uri}});
    assert_eq!(app.post(&format!("{image}/import"), &import).status, 413);
}

#[test]
fn the_newest_tasks_of_an_image_are_listed() {
    let settings = Settings {
        import: import::Settings {
            methods: import::Method::ALL.to_vec(),
            ..import::Settings::default()
        },
        ..Settings::default()
    };
    let api = api::Settings {
        api_limit_max: 1,
        ..api::Settings::default()
    };
    let app = TestApp::with(settings, api);
    let image = app.create(&properties());
    let begun = || {
        let empty = Faulty::saying("HTTP/1.1 404 No|Content-Length: 0||", Then::Close);
        let body = json!({"method": {"name": "web-download", "uri": empty.url()}});
        assert_eq!(app.post(&format!("{image}/import"), &body).status, 202);
        app.imported(&image);
        app.get(&format!("{image}/tasks")).json()["tasks"].clone()
    };
    let (first, second) = (begun(), begun());
    assert_eq!(second.as_array().unwrap().len(), 1);
    assert_ne!(first[0]["id"], second[0]["id"]);
}

#[test]
fn a_task_makes_an_image() {
    let app = TestApp::new();
    let task = ended(&app, &task(&serving().url(), &properties()));
    assert_eq!(task["status"], "success", "{task}");
    assert!(task["expires_at"].is_string());
    let id = task["result"]["image_id"].as_str().unwrap();
    let image = app.get(&format!("/v2/images/{id}")).json();
    assert_eq!(
        (&image["status"], &image["size"]),
        (&json!("active"), &json!(5))
    );
    assert_eq!(
        (&image["name"], &image["made_by"]),
        (&json!("made"), &json!("a task"))
    );
    for none in [
        "os_glance_import_task",
        "os_glance_importing_to_stores",
        "os_glance_failed_import",
    ] {
        assert_eq!(image.get(none), None, "{none}");
    }
    assert_eq!(app.get(&format!("/v2/images/{id}/file")).body, b"bytes");
    let listed = app.get("/v2/tasks").json();
    assert_eq!(listed["tasks"][0]["id"], task["id"]);
}

#[test]
fn an_image_goes_with_the_failure_of_its_task() {
    let app = TestApp::new();
    let broken = Faulty::saying("HTTP/1.1 200 OK|Content-Length: 9||bytes", Then::Close);
    let cases = [
        (task(&broken.url(), &properties()), "cannot be read"),
        (
            task(&serving().url(), &json!({"disk_format": "raw"})),
            "container_format must be set",
        ),
        (
            task(&serving().url(), &json!({"status": "active"})),
            "read-only",
        ),
        (
            json!({"type": "import", "input": {"import_from": serving().url()}}),
            "Input does not contain 'import_from_format' field",
        ),
    ];
    for (body, said) in cases {
        let task = ended(&app, &body);
        assert_eq!(
            (&task["status"], &task["result"]),
            (&json!("failure"), &Value::Null)
        );
        let message = task["message"].as_str().unwrap();
        assert!(message.contains(said), "{message}");
        assert_eq!(app.get("/v2/images").json()["images"], json!([]), "{body}");
        assert!(app.store.is_empty());
    }
}

#[test]
fn what_is_no_task_is_refused_in_glances_words() {
    let app = TestApp::new();
    let uri = |uri: Value| json!({"type": "import", "input": {"import_from": uri}});
    let cases = [
        (json!({}), "Task 'type' is required"),
        (json!({"type": "import"}), "Task 'input' is required"),
        (
            json!({"type": "import", "input": null}),
            "Invalid location: None",
        ),
        (uri(json!("")), "Invalid location:"),
        (
            uri(json!("file:///etc/passwd")),
            "File based imports are not allowed. Please use a non-local source of image data.",
        ),
        (
            uri(json!("swift://x")),
            "The given uri is not valid. Please specify a valid uri from the following list of \
             supported uri ['http']",
        ),
        (
            uri(json!("http://10.0.0.1/x")),
            "URI for legacy import task does not pass filtering: http://10.0.0.1/x",
        ),
    ];
    for (body, said) in cases {
        let refused = app.post("/v2/tasks", &body);
        assert_eq!(
            (refused.status, text(&refused).as_str()),
            (400, said),
            "{body}"
        );
    }
    let unknown = app.post("/v2/tasks", &json!({"type": "export", "input": {}}));
    let said = "Provided object does not match schema 'task': 'export' is not one of";
    assert!(text(&unknown).starts_with(said), "{}", text(&unknown));
    assert_eq!(app.get("/v2/tasks").json()["tasks"], json!([]));
}

#[test]
fn a_task_that_has_ended_is_forgotten_in_time() {
    let settings = Settings {
        import: import::Settings {
            task_time_to_live: Duration::ZERO,
            ..import::Settings::default()
        },
        ..Settings::default()
    };
    let app = TestApp::with(settings, api::Settings::default());
    let server = serving();
    let created = app.post("/v2/tasks", &task(&server.url(), &properties()));
    let own = created.json()["self"].as_str().unwrap().to_owned();
    let is_forgotten = || app.get("/v2/tasks").json()["tasks"] == json!([]);
    assert!(wait_until(PATIENCE, is_forgotten));
    assert_eq!(app.get(&own).status, 404);
    assert_eq!(
        app.get("/v2/images").json()["images"][0]["status"],
        "active"
    );
}
