//! Bytes of artifacts: on the way of images, in and out.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::{app, app_with, make, patch, path, post, set};
use crate::support::{
    app::{TestApp, text},
    process::Fresnel,
    wait_until,
    wire::{Payload, Request, Response, exchange},
};

const LOCATION: &str = "application/vnd+openstack.glare-custom-location+json";
const LIMIT: Duration = Duration::from_secs(60);

fn put(app: &TestApp, target: &str, bytes: &[u8]) -> Response {
    let request = Request::new("PUT", target).header("Content-Type", "text/x-template");
    app.ask(request.body(bytes))
}

fn locate(app: &TestApp, target: &str, body: &Value) -> Response {
    let request = Request::new("PUT", target).header("Content-Type", LOCATION);
    app.ask(request.body(body.to_string()))
}

#[test]
fn a_blob_comes_back_as_it_was_sent() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a"})));
    let target = format!("{path}/blob");
    assert_eq!(app.get(&target).status, 404);
    let sent = put(&app, &target, b"some bytes");
    assert_eq!(sent.status, 200, "{}", text(&sent));
    let blob = sent.json()["blob"].clone();
    assert_eq!(
        (&blob["status"], &blob["size"]),
        (&json!("active"), &json!(10))
    );
    assert_eq!(blob["url"], target.as_str());
    assert_eq!(blob["content_type"], "text/x-template");
    let digests = [
        ("md5", "9d0568469d206c1aedf1b71f12f474bc"),
        ("sha1", "f2497d87345140ed5bb53fa233aba45e1aefdd75"),
        (
            "sha256",
            "0d22cdcc10e6d049dbe1af5123d50873fdfc1a4f58306e58cb6241be9472014d",
        ),
    ];
    for (name, digest) in digests {
        assert_eq!(blob[name], digest, "{name}");
    }
    let got = app.get(&target);
    assert_eq!((got.status, got.body.as_slice()), (200, &b"some bytes"[..]));
    assert_eq!(got.header("content-type"), Some("text/x-template"));
    for (header, name) in [
        ("content-md5", "md5"),
        ("x-openstack-glare-content-sha1", "sha1"),
        ("x-openstack-glare-content-sha256", "sha256"),
    ] {
        assert_eq!(got.header(header), blob[name].as_str());
    }
    let part = app.ask(Request::new("GET", &target).header("Range", "bytes=5-"));
    assert_eq!((part.status, part.body.as_slice()), (206, &b"bytes"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 5-9/10"));
    assert_eq!(
        app.ask(Request::new("GET", &target).header("Range", "bytes=10-"))
            .status,
        416
    );
}

#[test]
fn a_new_upload_takes_the_place_of_the_old() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a", "needed": "x"})));
    let target = format!("{path}/blob");
    assert_eq!(put(&app, &target, b"old").status, 200);
    assert_eq!(put(&app, &target, b"newer").status, 200);
    assert_eq!(app.get(&target).body, b"newer");
    assert_eq!(app.delete(&path).status, 204);
    assert!(app.store.is_empty(), "the bytes of both are gone");
}

#[test]
fn limits_hold_with_and_without_a_length() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a"})));
    let small = format!("{path}/small");
    assert_eq!(put(&app, &small, b"eleven byte").status, 413);
    let mut chunked = Request::new("PUT", &small).header("Content-Type", "a/b");
    chunked.body = Payload::Chunked(b"eleven byte".to_vec(), 4);
    assert_eq!(app.ask(chunked.clone()).status, 413);
    assert!(app.store.is_empty());
    assert_eq!(app.get(&path).json()["small"], json!(null));
    chunked.body = Payload::Chunked(b"ten bytes!".to_vec(), 4);
    assert_eq!(app.ask(chunked).status, 200);
    let folder = |key: &str| format!("{path}/folder/{key}");
    assert_eq!(put(&app, &folder("a"), &[0; 60]).status, 200);
    assert_eq!(put(&app, &folder("b"), &[0; 60]).status, 413);
    assert_eq!(put(&app, &folder("b/c"), &[0; 40]).status, 200);
    let shown = app.get(&path).json();
    assert_eq!(shown["folder"]["b/c"]["url"], folder("b/c").as_str());
    assert_eq!(put(&app, &folder("d"), b"").status, 400);
}

#[test]
fn projects_have_as_many_bytes_as_they_may() {
    let app = app_with(&[("max_uploaded_data", 10)]);
    let path = path(&make(&app, json!({"name": "a"})));
    assert_eq!(put(&app, &format!("{path}/small"), b"seven b").status, 200);
    let refused = put(&app, &format!("{path}/blob"), b"four");
    assert_eq!(refused.status, 413);
    assert!(text(&refused).contains("global quota limit: 10. You have 7"));
    let mut chunked = Request::new("PUT", &format!("{path}/blob")).header("Content-Type", "a/b");
    chunked.body = Payload::Chunked(b"four".to_vec(), 2);
    assert_eq!(app.ask(chunked.clone()).status, 413);
    chunked.body = Payload::Chunked(b"ten".to_vec(), 2);
    assert_eq!(app.ask(chunked).status, 200);
}

#[test]
fn what_takes_no_bytes_is_told() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a", "needed": "x"})));
    for (place, status) in [
        ("note", 400),
        ("colour", 400),
        ("folder", 400),
        ("blob/key", 400),
    ] {
        assert_eq!(
            put(&app, &format!("{path}/{place}"), b"x").status,
            status,
            "{place}"
        );
    }
    let untyped = Request::new("PUT", &format!("{path}/blob")).body("x");
    assert_eq!(app.ask(untyped).status, 400);
    assert_eq!(set(&app, &path, "status", json!("active")).status, 200);
    assert_eq!(put(&app, &format!("{path}/folder/a"), b"x").status, 403);
    assert_eq!(put(&app, &format!("{path}/blob"), b"x").status, 200);
    let replaced = patch(
        &app,
        &path,
        &json!([{"op": "replace", "path": "/blob", "value": null}]),
    );
    assert_eq!(replaced.status, 400);
}

/// Keys are any text, and their addresses lead to them.
#[test]
fn a_folder_takes_keys_of_any_letters() {
    let app = app();
    for key in [
        "a/b//c",
        "../x",
        "ü 😀",
        "50%?a=b#c",
        "%2F",
        &"ü".repeat(255),
    ] {
        let path = path(&make(&app, json!({"name": key})));
        let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let sent = put(&app, &format!("{path}/folder/{encoded}"), b"bytes");
        assert_eq!(sent.status, 200, "{key}: {}", text(&sent));
        let folder = sent.json()["folder"].clone();
        let address = folder[key]["url"].as_str().unwrap().to_owned();
        assert_eq!(app.get(&address).body, b"bytes", "{address}");
    }
    let path = path(&make(&app, json!({"name": "a"})));
    for (key, status) in [("x".repeat(256), 400), ("%FF".to_owned(), 400)] {
        let sent = put(&app, &format!("{path}/folder/{key}"), b"x");
        assert_eq!(sent.status, status, "{key}");
    }
}

#[test]
fn no_bytes_are_bytes_too() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a"})));
    let target = format!("{path}/blob");
    assert_eq!(put(&app, &target, b"").status, 200);
    let got = app.get(&target);
    assert_eq!((got.status, got.body.as_slice()), (200, &b""[..]));
    assert_eq!(
        got.header("content-md5"),
        Some("d41d8cd98f00b204e9800998ecf8427e")
    );
    assert_eq!(app.get(&path).json()["blob"]["size"], 0);
}

#[test]
fn what_no_column_holds_is_refused() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a"})));
    let target = format!("{path}/blob");
    let typed = Request::new("PUT", &target).header("Content-Type", &"a".repeat(256));
    assert_eq!(app.ask(typed.body("x")).status, 400);
    for digest in ["m".repeat(256), "a\nb".to_owned()] {
        let there = json!({"url": "http://example.com/", "md5": digest});
        assert_eq!(locate(&app, &target, &there).status, 400, "{digest}");
    }
    let far = json!({"url": format!("http://example.com/{}", "a".repeat(2048)), "md5": "m"});
    assert_eq!(locate(&app, &target, &far).status, 400);
    let split = json!({"url": "http://example.com/\r\nX-Evil: 1", "md5": "m"});
    assert_eq!(locate(&app, &target, &split).status, 400);
}

#[test]
fn a_type_may_need_bytes() {
    let app = app();
    let made = post(&app, "/artifacts/heat_templates", &json!({"name": "t"}));
    let path = format!(
        "/artifacts/heat_templates/{}",
        made.json()["id"].as_str().unwrap()
    );
    let refused = set(&app, &path, "status", json!("active"));
    assert_eq!(refused.status, 403);
    assert!(text(&refused).contains("'template' must be available"));
    assert_eq!(
        put(
            &app,
            &format!("{path}/template"),
            b"heat_template_version: x"
        )
        .status,
        200
    );
    assert_eq!(set(&app, &path, "status", json!("active")).status, 200);
}

#[test]
fn what_is_elsewhere_is_shown_the_way_to() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a"})));
    let target = format!("{path}/blob");
    let there = json!({"url": "http://example.com/a", "md5": "m", "sha1": "s", "sha256": "t"});
    for wrong in [
        json!({}),
        json!({"url": "ftp://example.com/a", "md5": "m"}),
        json!({"url": "http://example.com/a"}),
        json!({"url": "http://example.com/a", "md5": "m", "location_type": "lost"}),
        json!({"url": "unknown://a", "location_type": "internal"}),
    ] {
        assert_eq!(locate(&app, &target, &wrong).status, 400, "{wrong}");
    }
    for url in ["file:///etc/passwd", "FILE:/etc/passwd"] {
        let restricted = json!({"url": url, "location_type": "internal"});
        assert_eq!(locate(&app, &target, &restricted).status, 403, "{url}");
    }
    let located = locate(&app, &target, &there);
    assert_eq!(located.status, 200, "{}", text(&located));
    assert_eq!(located.json()["blob"]["url"], "http://example.com/a");
    assert_eq!(locate(&app, &target, &there).status, 409);
    let sent = app.get(&target);
    assert_eq!(sent.status, 301);
    assert_eq!(sent.header("location"), Some("http://example.com/a"));
    assert_eq!(sent.header("content-md5"), Some("m"));
    assert_eq!(app.delete(&target).json()["blob"], json!(null));
    assert_eq!(app.delete(&target).status, 404);
    assert_eq!(put(&app, &target, b"x").status, 200);
    assert_eq!(app.delete(&target).status, 403);
}

#[test]
fn what_is_in_a_store_is_an_artifacts_unless_it_is_an_images() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a"})));
    let target = format!("{path}/blob");
    let url = app.object(b"stored");
    let internal = |url: &str| json!({"url": url, "location_type": "internal"});
    assert_eq!(locate(&app, &target, &internal(&url)).status, 200);
    assert_eq!(app.get(&target).body, b"stored");
    let image = app.upload(b"an image");
    let image = format!("memory://memory/{}", image.rsplit('/').next().unwrap());
    assert!(app.has_object(&image));
    for taken in [&image, &url] {
        let located = locate(&app, &format!("{path}/small"), &internal(taken));
        assert_eq!(located.status, 409, "{taken}");
    }
    let hers = app.create(&json!({"disk_format": "raw", "container_format": "bare"}));
    let named = app.post(&format!("{hers}/locations"), &json!({"url": url}));
    assert_eq!(named.status, 400, "{}", text(&named));
    assert_eq!(app.delete(&path).status, 204);
    assert!(!app.has_object(&url), "it went with its artifact");
}

/// The shortest lease; senders may be silent for as long as a test likes.
const OPTIONS: &str = "artifacts = true\nlease_seconds = 3\nmin_rate_bytes_per_second = 0\n";

fn ask(node: &Fresnel, request: &Request) -> Response {
    exchange(node.address, request).unwrap()
}

/// All files below a directory.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

/// `kill -9` in the middle, and a restart: no blob, no bytes, and another upload is taken.
#[test]
fn a_killed_upload_leaves_nothing() {
    let mut node = Fresnel::start(OPTIONS);
    let create =
        Request::new("POST", "/artifacts/images").header("Content-Type", "application/json");
    let made = ask(&node, &create.body(json!({"name": "a"}).to_string()));
    assert_eq!(made.status, 201, "{}", text(&made));
    let path = format!("/artifacts/images/{}", made.json()["id"].as_str().unwrap());
    let mut upload = TcpStream::connect(node.address).unwrap();
    let head = format!(
        "PUT {path}/image HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 8388608\r\n\r\n"
    );
    upload.write_all(head.as_bytes()).unwrap();
    upload.write_all(&vec![1; 3 << 20]).unwrap();
    let image = |node: &Fresnel| ask(node, &Request::new("GET", &path)).json()["image"].clone();
    assert!(wait_until(LIMIT, || image(&node)["status"] == "saving"));
    let put = |node: &Fresnel| {
        let request = Request::new("PUT", &format!("{path}/image"));
        ask(node, &request.header("Content-Type", "a/b").body("whole"))
    };
    assert_eq!(put(&node).status, 409);
    assert_eq!(ask(&node, &Request::new("DELETE", &path)).status, 409);
    node.kill();
    node.restart();
    assert!(
        wait_until(LIMIT, || image(&node).is_null()),
        "{}",
        node.log()
    );
    let left = || files(&node.folder().join("images"));
    assert_eq!(left(), [] as [PathBuf; 0]);
    assert_eq!(put(&node).status, 200);
    assert_eq!(
        ask(&node, &Request::new("GET", &format!("{path}/image"))).body,
        b"whole"
    );
    assert_eq!(ask(&node, &Request::new("DELETE", &path)).status, 204);
    assert_eq!(left(), [] as [PathBuf; 0]);
    let unowned = node.lines("scrub --dry-run");
    assert!(
        unowned.iter().all(|line| line["outcome"] != "unowned"),
        "{unowned:?}"
    );
}
