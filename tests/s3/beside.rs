//! Glance 33 and the binary on one database and one bucket.

use std::process::Command;

use super::rig::{BUCKET, Rig};
use crate::support::{
    images::{self, MIB, content, data_path},
    lab::{self, Glance},
    process::Fresnel,
    served::Served,
    wire::{Payload, Request},
};

/// Small ones and such as Glance uploads in parts too; each reads and deletes what the other wrote.
#[test]
fn each_reads_and_deletes_the_others_images() {
    let database = lab::mariadb(&format!("fresnel_s3_{}", uuid::Uuid::new_v4().simple()));
    let large = "s3.s3_store_large_object_size=8";
    let glance = Glance::start(&["--database", &database, "--s3", BUCKET, "--set", large]);
    let mut sync = Command::new(env!("CARGO_BIN_EXE_fresnel"));
    let config = glance.config();
    lab::run(sync.args(["db", "sync", "--config-file"]).arg(&config));
    let node = Fresnel::start_after(&[&config], |_| "lease_seconds = 3".to_owned());
    let (ours, theirs) = (node.address, glance.address);
    let rig = Rig::around(node);
    for (writer, other) in [(ours, theirs), (theirs, ours)] {
        for len in [0, 5, 18 * MIB + 3] {
            let content = content(len, 1);
            let image = images::create(writer);
            let answer = images::upload(writer, &image, Payload::Sized(content.clone()));
            assert_eq!(answer.status, 204, "{writer}");
            assert_eq!(images::show(other, &image)["status"], "active");
            let read = images::ask(other, &Request::new("GET", &data_path(&image)));
            assert!(read.body == content, "{other} reads what {writer} wrote");
            assert_eq!(images::delete(other, &image).status, 204);
            rig.gone(&image);
        }
    }
}
