//! Glance 33 and the binary on one database and one pool; and images that have children.

use std::process::Command;

use super::rig::{self, MIB, content};
use crate::support::{
    lab::{self, Ceph, Glance},
    process::Fresnel,
    wait_until,
    wire::{Payload, Request},
};

/// The two, with the configuration of Glance.
struct Both {
    ceph: &'static Ceph,
    glance: Glance,
    ours: Fresnel,
}

impl Both {
    fn start() -> Self {
        let ceph = lab::ceph();
        let database = lab::mariadb(&format!("fresnel_rbd_{}", uuid::Uuid::new_v4().simple()));
        let conf = ceph.conf.to_string_lossy();
        let glance = Glance::start(&["--database", &database, "--rbd", &conf]);
        let mut sync = Command::new(env!("CARGO_BIN_EXE_fresnel"));
        let config = glance.config();
        lab::run(sync.args(["db", "sync", "--config-file"]).arg(&config));
        let ours = Fresnel::start_after(&[&config], |_| "lease_seconds = 3".to_owned());
        Self { ceph, glance, ours }
    }
}

#[test]
fn each_reads_and_deletes_the_others_images() {
    let both = Both::start();
    let (ours, theirs) = (both.ours.address, both.glance.address);
    for (writer, other) in [(ours, theirs), (theirs, ours)] {
        let content = content(18 * MIB + 3, 1);
        let image = rig::create(writer);
        let answer = rig::upload(writer, &image, Payload::Sized(content.clone()));
        assert_eq!(answer.status, 204);
        assert_eq!(rig::show(other, &image)["status"], "active");
        let read = rig::ask(other, &Request::new("GET", &rig::data_path(&image)));
        assert!(read.body == content, "{other} reads what {writer} wrote");
        assert_eq!(rig::delete(other, &image).status, 204);
        let gone = wait_until(rig::CLEAN_LIMIT, || {
            rig::remains(both.ceph, &image).is_empty()
        });
        assert!(gone, "{:?}", rig::remains(both.ceph, &image));
    }
}

/// By clone v1 the parent must stay: 409, and nothing of it is lost, whoever made it.
#[test]
fn images_with_children_of_the_first_kind_stay() {
    let both = Both::start();
    let (ours, theirs) = (both.ours.address, both.glance.address);
    for writer in [ours, theirs] {
        let image = rig::create(writer);
        let content = content(9 * MIB, 2);
        rig::upload(writer, &image, Payload::Sized(content.clone()));
        let child = clone(both.ceph, &image, 1);
        assert_eq!(rig::delete(ours, &image).status, 409);
        assert_eq!(rig::show(ours, &image)["status"], "active");
        let snapshot = rig::info(both.ceph, &format!("{image}@snap"));
        assert_eq!(snapshot["protected"], "true");
        let read = rig::ask(theirs, &Request::new("GET", &rig::data_path(&image)));
        assert!(read.body == content);
        both.ceph.rbd(&["rm", "--no-progress", &child]);
        assert_eq!(rig::delete(ours, &image).status, 204);
    }
}

/// By clone v2 the parent goes into the trash, where its data stays for the child; when the last child is gone, so is it.
#[test]
fn images_with_children_of_the_second_kind_go_to_the_trash() {
    let both = Both::start();
    let (ours, theirs) = (both.ours.address, both.glance.address);
    for writer in [ours, theirs] {
        let image = rig::create(writer);
        let content = content(9 * MIB, 3);
        rig::upload(writer, &image, Payload::Sized(content.clone()));
        let child = clone(both.ceph, &image, 2);
        assert_eq!(rig::delete(ours, &image).status, 204);
        let pool = both.ceph.rbd(&["ls", "images"]);
        assert!(!pool.contains(&image));
        let trash = both.ceph.rbd(&["trash", "ls", "--all", "images"]);
        let entry = trash.lines().find(|line| line.contains(&image));
        let id = entry.and_then(|line| line.split_whitespace().next());
        let id = id.unwrap_or_else(|| panic!("{image} is not in the trash:\n{trash}"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        both.ceph
            .rbd(&["export", "--no-progress", &child, &file.to_string_lossy()]);
        assert!(std::fs::read(&file).unwrap() == content);
        both.ceph.rbd(&["rm", "--no-progress", &child]);
        both.ceph
            .command("rbd", "admin")
            .args(["trash", "rm", "--no-progress", &format!("images/{id}")])
            .output()
            .unwrap();
        let gone = wait_until(rig::CLEAN_LIMIT, || {
            rig::remains(both.ceph, &image).is_empty()
        });
        assert!(gone, "{:?}", rig::remains(both.ceph, &image));
    }
}

/// A clone in pool `volumes`, of this format; its name.
fn clone(ceph: &Ceph, image: &str, format: u32) -> String {
    let child = format!("volumes/child-of-{image}");
    let format = format!("--rbd-default-clone-format={format}");
    ceph.rbd(&[&format, "clone", &format!("images/{image}@snap"), &child]);
    child
}
