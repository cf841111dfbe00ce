//! `DELETE /v2/stores/{store}/{image}`.

use std::thread;

use fresnel::{api, control::Settings};
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, multistore, text},
    wire::Response,
};

const BYTES: &[u8] = b"bytes in more places than one";

fn app() -> TestApp {
    let settings = Settings {
        show_multiple_locations: true,
        ..Settings::default()
    };
    TestApp::with(multistore(settings), api::Settings::default())
}

/// An image with two copies in the store, and their addresses.
fn twice(app: &TestApp) -> (String, [String; 2]) {
    let (image, second) = (app.upload(BYTES), app.object(BYTES));
    let value = json!({"url": second, "metadata": {}});
    let add = json!([{"op": "add", "path": "/locations/-", "value": value}]);
    let changed = app.patch(&image, &add);
    assert_eq!(changed.status, 200, "{}", text(&changed));
    let first = changed.json()["locations"][0]["url"].clone();
    (image, [first.as_str().unwrap().to_owned(), second])
}

fn unstore(app: &TestApp, store: &str, image: &str) -> Response {
    let id = image.rsplit('/').next().unwrap();
    app.delete(&format!("/v2/stores/{store}/{id}"))
}

#[track_caller]
fn refused(app: &TestApp, store: &str, image: &str, status: u16, expected: &str) {
    let answer = unstore(app, store, image);
    assert_eq!(
        (answer.status, text(&answer)),
        (status, expected.to_owned())
    );
}

const ONLY: &str = "Cannot delete image data from the only store containing it. Consider deleting the \
                    image instead.";

#[test]
fn a_copy_goes_with_its_bytes_and_the_last_one_stays() {
    let app = app();
    let (image, [first, second]) = twice(&app);
    assert_eq!(unstore(&app, "memory", &image).status, 204);
    assert!(!app.has_object(&first) && app.has_object(&second));
    let shown = app.get(&image).json();
    assert_eq!(shown["locations"][0]["url"], Value::String(second));
    assert_eq!(shown["locations"].as_array().unwrap().len(), 1);
    refused(&app, "memory", &image, 403, ONLY);
    assert_eq!(app.get(&format!("{image}/file")).body, BYTES);
}

#[test]
fn what_cannot_go_is_told() {
    let app = app();
    let (image, [first, _]) = twice(&app);
    let id = image.rsplit('/').next().unwrap();
    let text = "The selected store nowhere is not available on this node.";
    refused(&app, "nowhere", &image, 409, text);
    refused(&app, "memory", "/none", 404, "Failed to find image none");
    app.store.hold(&first);
    let text = format!(
        "The data for Image {id} could not be deleted because it is in use: The image cannot be \
         deleted because it is in use through the backend store outside of Glance."
    );
    refused(&app, "memory", &image, 409, &text);
    assert_eq!(
        app.get(&image).json()["locations"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let queued = app.create(&json!({}));
    let text = "It's not allowed to remove image data from store if image status is not 'active'";
    refused(&app, "memory", &queued, 409, text);
    let single = TestApp::new();
    let text = "The resource could not be found.";
    refused(&single, "memory", &queued, 404, text);
}

/// However they interleave, one of two is told that its copy is the last.
#[test]
fn two_at_once_leave_a_copy() {
    let app = app();
    for _ in 0..20 {
        let (image, _) = twice(&app);
        let mut answers = thread::scope(|scope| {
            let asked = [(); 2].map(|()| scope.spawn(|| unstore(&app, "memory", &image).status));
            asked.map(|asked| asked.join().unwrap())
        });
        answers.sort_unstable();
        assert!(
            answers == [204, 403] || answers == [204, 204],
            "{answers:?}"
        );
        assert_eq!(app.get(&format!("{image}/file")).body, BYTES);
    }
}
