//! Uploads, downloads and deletes on a server in good health.

use super::rig::{BUCKET, Rig};
use crate::support::{
    images::{self, MIB, content, data_path},
    lab,
    served::Served,
    wire::{Payload, Request},
};

const LOCATIONS: &str = "[DEFAULT]\nshow_multiple_locations = true\n";

/// With its size declared and in chunks without one: the bytes and the URL are what Glance would have left.
#[test]
fn an_image_is_what_glance_would_have_left() {
    let rig = Rig::start(LOCATIONS);
    let host = lab::s3().url.strip_prefix("http://").unwrap();
    for (seed, len) in [0, 1, 5 * MIB, 23 * MIB + 7].into_iter().enumerate() {
        let content = content(len, seed as u64);
        for body in [
            Payload::Sized(content.clone()),
            Payload::Chunked(content.clone(), MIB),
        ] {
            let image = rig.create();
            assert_eq!(rig.upload(&image, body).status, 204, "{}", rig.node.log());
            rig.holds(&image, &content);
            let record = images::show(rig.node.address, &image);
            let url = format!("s3://{host}/{BUCKET}/{image}");
            assert_eq!(record["locations"][0]["url"], url);
            assert_eq!(rig.delete(&image).status, 204);
            rig.gone(&image);
        }
    }
    let log = rig.node.log();
    assert!(!log.contains(&lab::s3().secret_key), "{log}");
}

#[test]
fn ranges_are_read() {
    Rig::start("").ranges_are_read(&content(20 * MIB, 3));
}

#[test]
fn blobs_of_artifacts_are_kept_as_images_are() {
    Rig::start("[fresnel]\nartifacts = true\n").keeps_blobs();
}

/// Twice as many uploads as have room to gather a part: none waits for another for ever.
#[test]
fn uploads_at_once_share_little_memory() {
    let rig = Rig::start("");
    let content = content(21 * MIB, 4);
    let images: Vec<_> = (0..4).map(|_| rig.create()).collect();
    std::thread::scope(|scope| {
        let (rig, content) = (&rig, &content);
        for image in &images {
            scope.spawn(move || {
                let answer = images::upload(
                    rig.node.address,
                    image,
                    Payload::Chunked(content.clone(), MIB),
                );
                assert_eq!(answer.status, 204, "{}", rig.node.log());
            });
        }
    });
    for image in &images {
        rig.holds(image, &content);
        assert_eq!(rig.delete(image).status, 204);
    }
}

#[test]
fn what_parts_cannot_hold_is_a_413() {
    let rig = Rig::start("[DEFAULT]\nimage_size_cap = 9223372036854775807\n");
    let image = rig.create();
    let request = Request::new("PUT", &data_path(&image))
        .header("content-type", "application/octet-stream")
        .header("content-length", "1000000000000");
    let answer = rig.ask(&request);
    assert_eq!(answer.status, 413);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("memory_limit_mib"), "{text}");
    assert_eq!(rig.status(&image), "queued");
}

#[test]
fn a_client_that_goes_leaves_nothing() {
    let rig = Rig::start("");
    let image = rig.create();
    let mut upload = rig.begin(&image);
    upload.send(&content(12 * MIB, 1)).unwrap();
    rig.wait_for(&image, "saving");
    drop(upload);
    rig.takes_another_upload(&image);
}

#[test]
fn a_delete_ends_an_upload() {
    let rig = Rig::start("");
    let image = rig.create();
    let mut upload = rig.begin(&image);
    upload.send(&content(12 * MIB, 1)).unwrap();
    rig.wait_for(&image, "saving");
    assert_eq!(rig.delete(&image).status, 204);
    assert_eq!(upload.finish().unwrap().status, 410);
    rig.gone(&image);
}
