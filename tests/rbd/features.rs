//! Images with other features than the default: without an object map, and with a journal.

use std::{fs, path::PathBuf};

use super::rig::{self, MIB, Rig, content};
use crate::support::{
    lab::{self, Ceph},
    served::Served,
    wire::Payload,
};

/// A pool whose images have no object map: to cut one off would cost time for each object, so it grows ahead of its
/// writes, and never far. The pool's own setting counts, as for every other client of librbd.
#[test]
fn without_an_object_map_images_grow() {
    let ceph = lab::ceph_for_faults();
    let key = ["images", "rbd_default_features"];
    ceph.rbd(&[
        "config",
        "pool",
        "set",
        key[0],
        key[1],
        "layering,exclusive-lock",
    ]);
    let rig = Rig::start(&ceph, "");
    let content = content(70 * MIB, 1);
    let image = rig.create();
    let mut upload = rig.begin(&image);
    upload.send(&content).unwrap();
    let size = rig::info(&ceph, &rig.draft(&image))["size"].clone();
    assert!(size.as_u64().unwrap() <= 256 * MIB as u64, "{size}");
    assert_eq!(upload.finish().unwrap().status, 204, "{}", rig.node.log());
    assert!(rig.metric("fresnel_rbd_resizes_total") >= 2.0);
    assert_eq!(features(&ceph, &image), ["layering", "exclusive-lock"]);
    rig.holds(&image, &content);
    let resizes = rig.metric("fresnel_rbd_resizes_total");
    let sized = rig.image(&content);
    assert_eq!(rig.metric("fresnel_rbd_resizes_total"), resizes);
    for image in [&image, &sized] {
        assert_eq!(rig.delete(image).status, 204);
        rig.gone(image);
    }
    ceph.rbd(&["config", "pool", "remove", key[0], key[1]]);
}

/// Images whose changes are journalled, for a mirror in another cluster: their rename is in the journal too.
#[test]
fn with_a_journal_images_are_what_they_were() {
    let ceph = lab::ceph();
    let (_folder, conf) = with_default_features(ceph, "layering,exclusive-lock,journaling");
    let rig = Rig::start(ceph, &format!("rbd_store_ceph_conf = {}\n", conf.display()));
    let content = content(17 * MIB + 5, 2);
    for body in [
        Payload::Sized(content.clone()),
        Payload::Chunked(content.clone(), MIB),
    ] {
        let image = rig.create();
        assert_eq!(rig.upload(&image, body).status, 204, "{}", rig.node.log());
        assert!(features(ceph, &image).contains(&"journaling".to_owned()));
        rig.holds(&image, &content);
        let snapshot = rig::info(ceph, &format!("{image}@snap"));
        assert_eq!(snapshot["protected"], "true");
        assert_eq!(rig.delete(&image).status, 204);
        rig.gone(&image);
    }
    let image = rig.create();
    let mut upload = rig.begin(&image);
    upload.send(&content).unwrap();
    drop(upload);
    rig.takes_another_upload(&image);
}

/// The configuration of a client whose images get these features.
fn with_default_features(ceph: &Ceph, features: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("ceph.conf");
    let shared = fs::read_to_string(&ceph.conf).unwrap();
    fs::write(
        &conf,
        format!("{shared}[client]\nrbd_default_features = {features}\n"),
    )
    .unwrap();
    (folder, conf)
}

fn features(ceph: &Ceph, image: &str) -> Vec<String> {
    let info = rig::info(ceph, image);
    let features = info["features"].as_array().unwrap();
    features.iter().map(rig::text).collect()
}
