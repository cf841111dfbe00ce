//! `kill -9` in the middle of staging and of imports: another node goes on.

use std::{path::PathBuf, time::Duration};

use serde_json::json;

use super::{Pair, content, download, files, queue, queue_sealed, status, upload::Upload};
use crate::support::{
    process::Fresnel,
    wait_until,
    web::{Faulty, Then},
    wire::{Request, Response, exchange},
};

const LEN: usize = 12 << 20;
const STAGED: &str = r#"{"method": {"name": "glance-direct"}}"#;
/// Images whose import the kill interrupts, each somewhere else.
const IMAGES: u64 = 5;
/// A dead lease, the jobs of one node after the other, and digests, unoptimised as tests are.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn another_node_goes_on_with_imports_mariadb() {
    another_node_goes_on_with_imports("mariadb-up");
}

#[test]
fn another_node_goes_on_with_imports_postgres() {
    another_node_goes_on_with_imports("postgres-up");
}

/// Bytes that are not staged are fetched again.
#[test]
fn another_node_goes_on_with_a_download() {
    let web = Faulty::start(|nth| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n");
        let sent = if nth == 0 { LEN / 2 } else { LEN };
        let then = if nth == 0 { Then::Stall } else { Then::Close };
        ([head.as_bytes(), &content(LEN, 5)[..sent]].concat(), then)
    });
    let mut pair = Pair::start("postgres-up");
    let image = queue(&pair.left);
    assert_eq!(import(&pair.left, &image, &download_from(&web.url())), 202);
    assert!(wait_until(PATIENCE, || !files(&pair.images).is_empty()));
    pair.left.kill();
    let done = || status(&pair.right, &image) == "active";
    assert!(wait_until(PATIENCE, done), "{}", pair.right.log());
    assert!(download(&pair.right, &image) == content(LEN, 5));
    assert_eq!(web.connections(), 2);
    nothing_else_is_there(&pair, std::iter::once(&image));
}

fn another_node_goes_on_with_imports(up: &str) {
    let mut pair = Pair::start(up);
    let half_staged = queue(&pair.left);
    let mut upload = Upload::begin_at(&pair.left, &half_staged, "stage", LEN);
    upload.send(&content(LEN / 2, 1));
    let queue = |seed| match seed % 2 {
        0 => queue(&pair.left),
        _ => queue_sealed(&pair.left),
    };
    let images: Vec<(String, Vec<u8>)> = (0..IMAGES)
        .map(|seed| (queue(seed), content(LEN, seed)))
        .collect();
    for (number, (image, content)) in images.iter().enumerate() {
        let is_sealed = number % 2 == 1;
        assert_eq!(stage(&pair.left, image, content, is_sealed).status, 204);
    }
    for (image, _) in &images {
        assert_eq!(import(&pair.left, image, STAGED), 202);
    }
    // One is done: the others are somewhere before.
    let is_active = |(image, _): &(String, Vec<u8>)| status(&pair.right, image) == "active";
    let one_is_done = || images.iter().any(is_active);
    assert!(wait_until(PATIENCE, one_is_done), "{}", pair.left.log());
    pair.left.kill();
    for (image, content) in &images {
        let done = || status(&pair.right, image) == "active";
        assert!(wait_until(PATIENCE, done), "{image}:\n{}", pair.right.log());
        assert!(download(&pair.right, image) == *content);
    }
    assert_eq!(upload.answer(), None);
    let queued = || status(&pair.right, &half_staged) == "queued";
    assert!(wait_until(PATIENCE, queued), "{}", pair.right.log());
    let content = content(LEN, 99);
    assert_eq!(
        stage(&pair.right, &half_staged, &content, false).status,
        204
    );
    assert_eq!(import(&pair.right, &half_staged, STAGED), 202);
    let done = || status(&pair.right, &half_staged) == "active";
    assert!(wait_until(PATIENCE, done), "{}", pair.right.log());
    nothing_else_is_there(
        &pair,
        images.iter().map(|(image, _)| image).chain([&half_staged]),
    );
}

/// The images' files, and no staged data.
fn nothing_else_is_there<'a>(pair: &Pair, images: impl Iterator<Item = &'a String>) {
    let mut expected: Vec<PathBuf> = images.map(|image| pair.images.join(image)).collect();
    expected.sort();
    let found = || {
        let mut found = files(&pair.images);
        found.sort();
        found
    };
    let clean = || files(&pair.staging).is_empty() && found() == expected;
    assert!(
        wait_until(PATIENCE, clean),
        "{:?} {:?}",
        files(&pair.staging),
        found()
    );
}

fn stage(node: &Fresnel, image: &str, content: &[u8], is_sealed: bool) -> Response {
    let request = Request::new("PUT", &format!("/v2/images/{image}/stage"));
    let request = request.header("Content-Type", "application/octet-stream");
    let is_plain = if is_sealed { "true" } else { "false" };
    let request = request.header("X-Fresnel-Plain", is_plain);
    exchange(node.address, &request.body(content)).unwrap()
}

fn download_from(uri: &str) -> String {
    json!({"method": {"name": "web-download", "uri": uri}}).to_string()
}

fn import(node: &Fresnel, image: &str, body: &str) -> u16 {
    let request = Request::new("POST", &format!("/v2/images/{image}/import"));
    let request = request.body(body);
    exchange(node.address, &request).unwrap().status
}
