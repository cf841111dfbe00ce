//! Images in a real Ceph cluster: what the consumers of Glance's pools find there, and what faults leave behind.

use crate::support::lab;

/// Users have the rights that the manuals give them: a store that needs more fails here.
#[test]
fn the_lab_gives_glance_its_pools_and_no_other() {
    let ceph = lab::ceph();
    lab::run(ceph.command("rbd", "glance").args(["ls", "images"]));
    let volumes = ceph
        .command("rbd", "glance")
        .args(["ls", "volumes"])
        .output();
    let complaint = volumes.unwrap().stderr;
    let complaint = String::from_utf8_lossy(&complaint);
    assert!(complaint.contains("Operation not permitted"), "{complaint}");
}
