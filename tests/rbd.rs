//! Images in a real Ceph cluster, through the real binary: what consumers of the pool find there, what
//! Glance on the same pool makes of it, and what faults leave behind.

mod beside;
mod consumers;
mod faults;
mod features;
mod rig;
mod upload;

use crate::support::lab;

/// Users have the rights that the manuals give them: a store that needs more fails here.
#[test]
fn the_lab_gives_glance_its_pools_and_no_other() {
    let ceph = lab::ceph();
    lab::run(ceph.command("rbd", "glance").args(["ls", "images"]));
    let mut list = ceph.command("rbd", "glance");
    let complaint = list.args(["ls", "volumes"]).output().unwrap().stderr;
    let complaint = String::from_utf8_lossy(&complaint);
    assert!(complaint.contains("Operation not permitted"), "{complaint}");
}
