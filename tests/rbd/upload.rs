//! Uploads, downloads and deletes on a cluster in good health.

use std::io::Write;

use super::rig::{self, MIB, Rig, content};
use crate::support::{
    lab,
    served::Served,
    wire::{Payload, Request},
};

const LOCATIONS: &str = "[DEFAULT]\nshow_multiple_locations = true\n";

/// With its size declared and in chunks without one: the bytes, the name, the snapshot and the URL are
/// what Glance would have left.
#[test]
fn an_image_is_what_consumers_expect() {
    let ceph = lab::ceph();
    let rig = Rig::start(ceph, LOCATIONS);
    let fsid = lab::run(ceph.command("ceph", "admin").arg("fsid"));
    for (seed, len) in [1, 8 * MIB, 20 * MIB + 7].into_iter().enumerate() {
        let content = content(len, seed as u64);
        for body in [
            Payload::Sized(content.clone()),
            Payload::Chunked(content.clone(), MIB),
        ] {
            let image = rig.create();
            assert_eq!(rig.upload(&image, body).status, 204, "{}", rig.node.log());
            rig.holds(&image, &content);
            let info = rig::info(ceph, &format!("{image}@snap"));
            assert_eq!(info["size"], len);
            assert_eq!(info["order"], 23);
            assert_eq!(info["protected"], "true");
            assert_eq!(
                rig.show(&image)["locations"][0]["url"],
                format!("rbd://{}/images/{image}/snap", fsid.trim())
            );
            assert_eq!(rig.delete(&image).status, 204);
            rig.gone(&image);
        }
    }
}

/// Its connections to the cluster end with it, and their threads before the library.
#[test]
fn a_graceful_stop_is_a_clean_end() {
    let mut rig = Rig::start(lab::ceph(), "");
    for seed in 0..4 {
        let image = rig.image(&content(MIB, seed));
        assert_eq!(rig.delete(&image).status, 204);
        let ended = rig.node.stop();
        assert!(ended.success(), "{ended}: {}", rig.node.log());
        rig.node.restart();
    }
}

#[test]
fn blobs_of_artifacts_are_kept_as_images_are() {
    Rig::start(lab::ceph(), "[fresnel]\nartifacts = true\n").keeps_blobs();
}

#[test]
fn qemu_reads_what_was_sent() {
    let rig = Rig::start(lab::ceph(), "");
    let content = content(17 * MIB, 1);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    let image = rig.image(&content);
    rig::qemu_compares(rig.ceph, &image, file.path());
    assert_eq!(rig.delete(&image).status, 204);
}

#[test]
fn an_image_of_no_bytes_has_a_snapshot_too() {
    let rig = Rig::start(lab::ceph(), "");
    let image = rig.image(b"");
    rig.holds(&image, b"");
    assert_eq!(rig.delete(&image).status, 204);
    rig.gone(&image);
}

/// Objects of zeroes are not written, whether the size is known or not; the image reads the same.
#[test]
fn zeroes_take_no_room() {
    let rig = Rig::start(lab::ceph(), "");
    let mut content = content(40 * MIB, 1);
    content[8 * MIB..32 * MIB].fill(0);
    for body in [
        Payload::Sized(content.clone()),
        Payload::Chunked(content.clone(), MIB),
    ] {
        let image = rig.create();
        assert_eq!(rig.upload(&image, body).status, 204);
        assert_eq!(rig::objects(rig.ceph, &image, "images"), 2);
        rig.holds(&image, &content);
        assert_eq!(rig.delete(&image).status, 204);
    }
}

#[test]
fn data_goes_to_the_data_pool() {
    let rig = Rig::start(lab::ceph(), "rbd_store_data_pool = images-data\n");
    let content = content(12 * MIB, 1);
    let image = rig.image(&content);
    assert_eq!(rig::objects(rig.ceph, &image, "images-data"), 2);
    assert_eq!(rig::objects(rig.ceph, &image, "images"), 0);
    rig.holds(&image, &content);
    assert_eq!(rig.delete(&image).status, 204);
    rig.gone(&image);
}

/// A declared size binds: more and less are refused, and nothing remains.
#[test]
fn another_size_than_declared_leaves_nothing() {
    let rig = Rig::start(lab::ceph(), "");
    for declared in [9 * MIB - 1, 9 * MIB + 1] {
        let image = rig.create();
        let request = Request::new("PUT", &rig::data_path(&image))
            .header("content-type", "application/octet-stream")
            .header("x-openstack-image-size", &declared.to_string());
        let mut request = request;
        request.body = Payload::Chunked(content(9 * MIB, 1), MIB);
        assert_eq!(rig.ask(&request).status, 400);
        rig.takes_another_upload(&image);
    }
}

/// No resize where the size is known, one trim where it is not; and no connection for a request.
#[test]
fn uploads_resize_at_most_once_and_share_connections() {
    let rig = Rig::start(lab::ceph(), "");
    let first = rig.image(&content(MIB, 1));
    rig.download(&first);
    let connections = rig.metric("fresnel_rbd_connections_total");
    assert!(connections >= 1.0);
    let content = content(70 * MIB, 2);
    let sized = rig.image(&content);
    assert_eq!(rig.metric("fresnel_rbd_resizes_total"), 0.0);
    let chunked = rig.create();
    let answer = rig.upload(&chunked, Payload::Chunked(content, MIB));
    assert_eq!(answer.status, 204);
    assert_eq!(rig.metric("fresnel_rbd_resizes_total"), 1.0);
    for image in [&first, &sized, &chunked] {
        assert_eq!(rig.download(image).len(), rig.show(image)["size"]);
        assert_eq!(rig.delete(image).status, 204);
    }
    assert_eq!(rig.metric("fresnel_rbd_connections_total"), connections);
}

/// The operator's property tells what to expect: right, it spares the trim; wrong, it costs a resize and nothing else.
#[test]
fn a_hint_presizes_and_does_not_bind() {
    let options = "[fresnel]\nsize_hint_property = source_bytes\n";
    let rig = Rig::start(lab::ceph(), options);
    let content = content(9 * MIB + 1, 1);
    for (hint, resizes) in [(content.len(), 0.0), (64 * MIB, 1.0), (4 * MIB, 2.0)] {
        let before = rig.metric("fresnel_rbd_resizes_total");
        let image = rig.create();
        let add = format!(r#"[{{"op": "add", "path": "/source_bytes", "value": "{hint}"}}]"#);
        let patch = Request::new("PATCH", &format!("/v2/images/{image}"));
        let patch = patch.header(
            "content-type",
            "application/openstack-images-v2.1-json-patch",
        );
        assert_eq!(rig.ask(&patch.body(add)).status, 200);
        let answer = rig.upload(&image, Payload::Chunked(content.clone(), MIB));
        assert_eq!(answer.status, 204, "{}", rig.node.log());
        let resized = rig.metric("fresnel_rbd_resizes_total") - before;
        assert_eq!(resized, resizes, "{hint}");
        rig.holds(&image, &content);
        assert_eq!(rig.delete(&image).status, 204);
    }
}

#[test]
fn ranges_are_read() {
    Rig::start(lab::ceph(), "").ranges_are_read(&content(20 * MIB, 3));
}

#[test]
fn a_client_that_goes_leaves_nothing() {
    let rig = Rig::start(lab::ceph(), "");
    let image = rig.create();
    let mut upload = rig.begin(&image);
    upload.send(&content(20 * MIB, 1)).unwrap();
    rig.wait_for(&image, "saving");
    drop(upload);
    rig.takes_another_upload(&image);
}

#[test]
fn a_delete_ends_an_upload() {
    let rig = Rig::start(lab::ceph(), "");
    let image = rig.create();
    let mut upload = rig.begin(&image);
    upload.send(&content(20 * MIB, 1)).unwrap();
    rig.wait_for(&image, "saving");
    assert_eq!(rig.delete(&image).status, 204);
    assert_eq!(upload.finish().unwrap().status, 410);
    rig.gone(&image);
}

/// The node's lease and the dead client's watch must end first: within 60 s it is as if nothing had been.
#[test]
fn a_killed_server_leaves_nothing() {
    let mut rig = Rig::start(lab::ceph(), "");
    let image = rig.create();
    let mut upload = rig.begin(&image);
    upload.send(&content(40 * MIB, 1)).unwrap();
    rig.wait_for(&image, "saving");
    rig.node.kill();
    rig.node.restart();
    rig.takes_another_upload(&image);
}

/// A server that dies in the middle of the last rename leaves one image under two names. Whichever counts, all is undone.
#[test]
fn a_rename_that_broke_off_is_undone() {
    let ceph = lab::ceph();
    for moved in [false, true] {
        let mut rig = Rig::start(ceph, "");
        let image = rig.create();
        let mut upload = rig.begin(&image);
        upload.send(&content(20 * MIB, 1)).unwrap();
        let draft = rig.draft(&image);
        rig.node.kill();
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = file.path().to_str().unwrap();
        rig::rados(ceph, "images", &["get", &format!("rbd_id.{draft}"), file]);
        if moved {
            rig::shut_out_writers(ceph, &draft);
            let names = [&draft, &image].map(|name| format!("images/{name}"));
            ceph.rbd(&["rename", &names[0], &names[1]]);
            rig::rados(ceph, "images", &["put", &format!("rbd_id.{draft}"), file]);
        } else {
            rig::rados(ceph, "images", &["put", &format!("rbd_id.{image}"), file]);
        }
        rig.node.restart();
        rig.takes_another_upload(&image);
        let left = rig::rados(ceph, "images", &["ls"]);
        assert!(!left.contains(&image), "{left}");
    }
}
