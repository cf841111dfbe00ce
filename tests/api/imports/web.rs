//! `web-download`: what servers do wrong leaves an image that can be imported again.

use serde_json::{Value, json};

use super::{LEN, app, bytes, import, md5, task};
use crate::support::{
    app::{TestApp, text},
    web::{Faulty, Then, WebServer},
};

const STORES: &str = "memory,other";

fn queued(app: &TestApp) -> String {
    app.create(&json!({"disk_format": "raw", "container_format": "bare"}))
}

fn download(uri: &str) -> Value {
    json!({"method": {"name": "web-download", "uri": uri}, "all_stores": true})
}

/// A server that sends the bytes to whoever comes.
fn sending() -> Faulty {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n");
    Faulty::start(move |_| ([head.as_bytes(), &bytes()].concat(), Then::Close))
}

#[test]
fn the_web_is_asked_once_for_all_stores() {
    let (app, server) = (app(), sending());
    let image = queued(&app);
    let shown = import(&app, &image, &download(&server.url()));
    assert_eq!(
        (&shown["status"], &shown["stores"]),
        (&json!("active"), &json!(STORES))
    );
    assert_eq!(shown["checksum"], md5(&bytes()));
    assert_eq!(shown["os_glance_failed_import"], "");
    assert_eq!(server.connections(), 1);
    assert!(app.staging.is_empty());
    assert_eq!(task(&app, &image)["status"], "success");
}

#[test]
fn a_redirection_leads_to_the_image() {
    let (app, server) = (app(), WebServer::nginx(false));
    let name = server.put(&bytes());
    let moved = name
        .replace("http://", "")
        .split_once('/')
        .unwrap()
        .1
        .to_owned();
    let uri = format!("{}/moved/?to={moved}", server.root);
    let shown = import(&app, &queued(&app), &download(&uri));
    assert_eq!(shown["checksum"], md5(&bytes()));
}

#[test]
fn a_server_that_fails_leaves_the_image_queued_for_another_try() {
    let app = app();
    let cases = [
        (
            "HTTP/1.1 404 No|Content-Length: 0||",
            Then::Close,
            "there is nothing",
        ),
        (
            "HTTP/1.1 500 No|Content-Length: 0||",
            Then::Close,
            "the server answers 500",
        ),
        (
            "HTTP/1.1 200 OK|Content-Length: 90||short",
            Then::Close,
            "cannot be read",
        ),
        (
            "HTTP/1.1 200 OK|Content-Length: 90||slow",
            Then::Stall,
            "timed out",
        ),
        ("", Then::Stall, "does not answer in time"),
        (
            "HTTP/1.1 200 OK||without end",
            Then::Close,
            "names no length",
        ),
        (
            "HTTP/1.1 302 There|Location: http://169.254.169.254/||",
            Then::Close,
            "a redirection leads astray",
        ),
        (
            "HTTP/1.1 302 There|Location: file:///etc/passwd||",
            Then::Close,
            "astray",
        ),
    ];
    for (answer, then, said) in cases {
        let image = queued(&app);
        let server = Faulty::saying(answer, then);
        let shown = import(&app, &image, &download(&server.url()));
        assert_eq!(shown["status"], "queued", "{answer}");
        assert_eq!(shown["os_glance_failed_import"], STORES, "{answer}");
        assert_eq!(shown["os_glance_importing_to_stores"], "");
        assert_eq!(shown["size"], Value::Null);
        let task = task(&app, &image);
        let message = task["message"].as_str().unwrap();
        assert_eq!(task["status"], "failure");
        assert!(message.contains(said), "{answer}: {message}");
        assert!(app.store.is_empty() && app.other.is_empty());
        let again = import(&app, &image, &download(&sending().url()));
        assert_eq!(again["status"], "active", "{answer}");
        assert_eq!(again["os_glance_failed_import"], "");
        assert_eq!(app.delete(&image).status, 204);
    }
}

#[test]
fn a_store_that_fails_fails_all_stores_of_a_download() {
    let app = app();
    let image = queued(&app);
    app.occupy(&app.other, &image);
    let shown = import(&app, &image, &download(&sending().url()));
    assert_eq!(shown["status"], "queued");
    assert_eq!(shown["os_glance_failed_import"], STORES);
    assert!(app.store.is_empty());
}

#[test]
fn what_the_policy_forbids_is_not_begun() {
    let app = app();
    let image = queued(&app);
    for uri in [
        "http://10.0.0.1/image",
        "http://169.254.169.254/latest",
        "http://127.0.0.2/image",
        "ftp://127.0.0.1/image",
        "file:///etc/passwd",
        "image",
    ] {
        let refused = app.post(&format!("{image}/import"), &download(uri));
        assert_eq!(refused.status, 400, "{uri}");
        let said = format!("URI for web-download does not pass filtering: {uri}");
        assert_eq!(text(&refused), said);
    }
    let nowhere = json!({"method": {"name": "web-download"}});
    let refused = app.post(&format!("{image}/import"), &nowhere);
    assert_eq!(
        text(&refused),
        "URI for web-download does not pass filtering: None"
    );
    assert_eq!(app.get(&image).json()["status"], "queued");
    assert_eq!(
        app.get(&format!("{image}/tasks")).json()["tasks"],
        json!([])
    );
}

#[test]
fn a_download_is_for_an_image_that_waits_for_data() {
    let app = app();
    let image = app.upload(&bytes());
    let refused = app.post(&format!("{image}/import"), &download("http://127.0.0.1/x"));
    assert_eq!(refused.status, 409);
    let staged = super::staged(&app);
    let refused = app.post(&format!("{staged}/import"), &download("http://127.0.0.1/x"));
    assert_eq!(refused.status, 409);
    assert_eq!(
        text(&refused),
        "Image needs to be in 'queued' state to use 'web-download' method"
    );
}

#[test]
fn another_service_must_be_named() {
    let app = app();
    let image = queued(&app);
    let named = |more: Value| {
        let mut method = json!({"name": "glance-download"});
        for (name, value) in more.as_object().unwrap() {
            method[name] = value.clone();
        }
        let refused = app.post(&format!("{image}/import"), &json!({"method": method}));
        assert_eq!(refused.status, 400);
        text(&refused)
    };
    assert_eq!(
        named(json!({})),
        "'glance_region' needs to be set for glance-download import method"
    );
    assert_eq!(
        named(json!({"glance_region": "R"})),
        "'glance_image_id' needs to be set for glance-download import method"
    );
    assert_eq!(
        named(json!({"glance_region": "R", "glance_image_id": "x"})),
        "Remote image id does not look like a UUID: x"
    );
}
