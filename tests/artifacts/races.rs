//! Requests that meet at one artifact: each is done as a whole, or refused.

use std::thread;

use serde_json::{Value, json};

use super::{app, make, patch, path, post, set};
use crate::support::{
    app::{TestApp, text},
    images::content,
    wait_until,
    wire::{Payload, Request, Response},
};

const AT_ONCE: usize = 6;

/// The same at once, each with its number.
fn at_once(ask: impl Fn(usize) -> Response + Sync) -> Vec<Response> {
    so_many_at_once(AT_ONCE, ask)
}

fn so_many_at_once(count: usize, ask: impl Fn(usize) -> Response + Sync) -> Vec<Response> {
    thread::scope(|scope| {
        let ask = &ask;
        let asking: Vec<_> = (0..count).map(|n| scope.spawn(move || ask(n))).collect();
        let answers = asking.into_iter().map(|one| one.join().unwrap());
        answers.collect()
    })
}

/// Those that were done; the rest must have been told that others were first.
#[track_caller]
fn done(answers: &[Response]) -> usize {
    for answer in answers {
        assert!([200, 409].contains(&answer.status), "{}", text(answer));
    }
    answers.iter().filter(|answer| answer.status == 200).count()
}

fn blob(app: &TestApp, path: &str) -> Value {
    app.get(path).json()["blob"].clone()
}

#[test]
fn of_uploads_at_once_one_is_there_as_a_whole() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a"})));
    let target = format!("{path}/blob");
    let bodies: Vec<_> = (0..AT_ONCE).map(|n| content(300_000, n as u64)).collect();
    let answers = at_once(|n| {
        let mut upload = Request::new("PUT", &target).header("Content-Type", "a/b");
        upload.body = Payload::Chunked(bodies[n].clone(), 10_000);
        app.ask(upload)
    });
    assert!(done(&answers) > 0);
    let got = app.get(&target).body;
    let winner = bodies.iter().position(|body| *body == got);
    assert_eq!(answers[winner.expect("it is one of them")].status, 200);
    assert_eq!(blob(&app, &path)["status"], "active");
    assert_eq!(app.delete(&path).status, 204);
    assert!(app.store.is_empty(), "those of the others are gone too");
}

#[test]
fn a_folder_takes_many_uploads_at_once() {
    const COUNT: usize = 30;
    let app = app();
    let made = post(&app, "/artifacts/heat_templates", &json!({"name": "a"})).json();
    let path = format!("/artifacts/heat_templates/{}", made["id"].as_str().unwrap());
    let answers = so_many_at_once(COUNT, |n| {
        let target = format!("{path}/nested_templates/{n}");
        let upload = Request::new("PUT", &target).header("Content-Type", "a/b");
        app.ask(upload.body("nested"))
    });
    assert_eq!(done(&answers), COUNT);
    let shown = app.get(&path).json();
    assert_eq!(shown["nested_templates"].as_object().unwrap().len(), COUNT);
}

#[test]
fn of_changes_at_once_none_is_lost() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a"})));
    let answers = at_once(|n| {
        let label = format!("/labels/{n}");
        let add = json!([{"op": "add", "path": label, "value": "x"}]);
        patch(&app, &path, &add)
    });
    let labels = app.get(&path).json()["labels"].as_object().unwrap().len();
    assert_eq!(labels, done(&answers));
}

/// One activates, the others take away what an active artifact must have, or the artifact.
#[test]
fn an_artifact_is_active_only_as_it_was_looked_at() {
    for _ in 0..4 {
        let app = app();
        let path = path(&make(&app, json!({"name": "a", "needed": "x"})));
        let answers = at_once(|n| match n % 2 {
            0 => set(&app, &path, "status", json!("active")),
            _ => set(&app, &path, "needed", json!(null)),
        });
        let shown = app.get(&path).json();
        let is_whole = shown["status"] == "drafted" || shown["needed"] == "x";
        assert!(is_whole, "{shown}");
        let known = [200, 403, 409];
        assert!(answers.iter().all(|answer| known.contains(&answer.status)));
    }
}

#[test]
fn while_an_upload_goes_on_its_artifact_stays_as_it_is() {
    let app = app();
    let path = path(&make(&app, json!({"name": "a", "needed": "x"})));
    let target = format!("{path}/blob");
    let mut upload = app.begin(&target);
    upload.send(b"the first half ").unwrap();
    let limit = std::time::Duration::from_secs(60);
    assert!(wait_until(limit, || blob(&app, &path)["status"] == "saving"));
    assert_eq!(app.get(&target).status, 409);
    assert_eq!(set(&app, &path, "status", json!("active")).status, 409);
    assert_eq!(app.delete(&path).status, 409);
    let other = Request::new("PUT", &target).header("Content-Type", "a/b");
    assert_eq!(app.ask(other.body("other bytes")).status, 409);
    assert_eq!(set(&app, &path, "note", json!("meanwhile")).status, 200);
    upload.send(b"and the second").unwrap();
    assert_eq!(upload.finish().unwrap().status, 200);
    assert_eq!(app.get(&target).body, b"the first half and the second");
    assert_eq!(app.get(&path).json()["note"], "meanwhile");
    assert_eq!(set(&app, &path, "status", json!("active")).status, 200);
    assert_eq!(app.delete(&path).status, 204);
    assert!(app.store.is_empty());
}
