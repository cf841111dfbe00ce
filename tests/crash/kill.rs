//! `kill -9`.

use std::{thread, time::Duration};

use super::{
    OPTIONS, Pair, content, download, files, put, queue, retry, settled, status, upload::Upload,
};
use crate::support::{process::Fresnel, wait_until};

/// The points at which an upload of this many bytes is killed.
const POINTS: u64 = 10;
const LEN: usize = 12 << 20;

/// At ten random points, the last byte's among them, then a restart.
#[test]
fn a_killed_upload_is_as_if_it_had_not_been() {
    let seed = rand_seed();
    println!("FRESNEL_TEST_SEED={seed}");
    thread::scope(|scope| {
        for point in 0..POINTS {
            scope.spawn(move || killed_at(point, seed.wrapping_add(point)));
        }
    });
}

fn killed_at(point: u64, seed: u64) {
    let mut node = Fresnel::start(OPTIONS);
    let images = node.folder().join("images");
    let (image, content) = (queue(&node), content(LEN, seed));
    // Every third is killed within milliseconds of its last byte: in the middle of its commit.
    let (sent, pause) = match point % 3 {
        0 => (LEN, Duration::from_micros(seed % 40_000)),
        _ => (seed as usize % LEN, Duration::ZERO),
    };
    let mut upload = Upload::begin(&node, &image, LEN);
    upload.send(&content[..sent]);
    wait(pause);
    node.kill();
    let answer = upload.answer();
    node.restart();
    match (settled(&node, &image).as_str(), answer) {
        ("active", None | Some(204)) => {
            assert_eq!(sent, LEN);
            assert!(download(&node, &image) == content, "point {point}");
            assert_eq!(files(&images), [images.join(&image)]);
        }
        ("queued", None) => retry(&node, &image, &images),
        other => panic!(
            "point {point}, {sent} of {LEN} bytes: {other:?}\n{}",
            node.log()
        ),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the moment of the kill is what is random"
)]
fn wait(pause: Duration) {
    thread::sleep(pause);
}

/// A node that stays dead: the other one recovers its images.
#[test]
fn another_node_recovers_mariadb() {
    another_node_recovers("mariadb-up");
}

#[test]
fn another_node_recovers_postgres() {
    another_node_recovers("postgres-up");
}

fn another_node_recovers(up: &str) {
    let mut pair = Pair::start(up);
    let image = queue(&pair.left);
    let other = queue(&pair.left);
    let mut upload = Upload::begin(&pair.left, &image, LEN);
    upload.send(&content(LEN / 2, 1));
    let saving = wait_until(super::RECOVERY_LIMIT, || {
        status(&pair.right, &image) == "saving"
    });
    assert!(saving);
    // A living node's upload is nobody else's business.
    assert_eq!(put(&pair.right, &image, b"x").status, 409);
    pair.left.kill();
    assert_eq!(upload.answer(), None);
    assert_eq!(settled(&pair.right, &image), "queued");
    retry(&pair.right, &image, &pair.images);
    assert_eq!(status(&pair.right, &other), "queued");
}

/// From the environment to repeat a run, else new.
fn rand_seed() -> u64 {
    let given = std::env::var("FRESNEL_TEST_SEED").ok();
    let given = given.and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}
