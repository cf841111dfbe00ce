//! Faults of a cluster: daemons that die and pools that are full. One at a time, on a cluster that has no other user.

use std::{thread, time::Duration};

use super::rig::{MIB, Rig, content};
use crate::support::{
    lab::{self, Ceph},
    served::Served,
    wait_until,
    wire::Payload,
};

/// `rados_connect_timeout` of nodes that are to lose patience, in seconds.
const PATIENCE: &str = "rados_connect_timeout = 5\n";
/// The cluster's statistics, and with them quotas, follow within seconds.
const STATISTICS_LIMIT: Duration = Duration::from_secs(60);

/// The OSD dies with writes in flight and comes back: the upload goes on, and every byte is right.
#[test]
fn an_osd_that_restarts_is_waited_for() {
    let ceph = lab::ceph_for_faults();
    let rig = Rig::start(&ceph, "");
    let content = content(96 * MIB, 1);
    let image = rig.create();
    let mut upload = rig.begin(&image);
    let (first, rest) = content.split_at(32 * MIB);
    upload.send(first).unwrap();
    ceph.kill("osd.0");
    let answer = thread::scope(|scope| {
        // The sender is held back while nothing is written; it does not know why.
        let sender = scope.spawn(move || {
            for piece in rest.chunks(MIB) {
                upload.send(piece).unwrap();
            }
            upload.finish().unwrap()
        });
        ceph.recover();
        sender.join().unwrap()
    });
    assert_eq!(answer.status, 204, "{}", rig.node.log());
    rig.holds(&image, &content);
    assert_eq!(rig.delete(&image).status, 204);
    rig.gone(&image);
}

/// The OSD stays away: the sender is told, in time, and what is left is removed when it is back.
#[test]
fn an_osd_that_stays_away_is_a_503() {
    let ceph = lab::ceph_for_faults();
    let rig = Rig::start(&ceph, PATIENCE);
    let image = rig.create();
    let mut upload = rig.begin(&image);
    let content = content(48 * MIB, 1);
    let (first, rest) = content.split_at(16 * MIB);
    upload.send(first).unwrap();
    ceph.kill("osd.0");
    upload.send(rest).unwrap();
    assert_eq!(upload.finish().unwrap().status, 503, "{}", rig.node.log());
    // Its bytes wait for the store, and it does not.
    assert_eq!(rig.status(&image), "queued", "{}", rig.node.log());
    ceph.recover();
    rig.takes_another_upload(&image);
}

/// No monitor when the node starts: it starts, says 503 within its patience, and works once there is one.
#[test]
fn a_monitor_that_is_away_is_a_503_until_it_is_back() {
    let ceph = lab::ceph_for_faults();
    ceph.kill("mon.a");
    let rig = Rig::start(&ceph, PATIENCE);
    let image = rig.create();
    let answer = rig.upload(&image, Payload::Sized(content(MIB, 1)));
    assert_eq!(answer.status, 503, "{}", rig.node.log());
    ceph.recover();
    rig.takes_another_upload(&image);
}

/// A pool that reaches its quota in the middle of an upload: 413 and not silence, with nothing left.
#[test]
fn a_pool_that_fills_is_a_413() {
    let ceph = lab::ceph_for_faults();
    let rig = Rig::start(&ceph, "");
    ceph.quota("images", 16 << 20);
    let image = rig.create();
    let mut upload = rig.begin(&image);
    let content = content(32 * MIB, 1);
    let (first, rest) = content.split_at(24 * MIB);
    upload.send(first).unwrap();
    assert!(wait_until(STATISTICS_LIMIT, || is_full(&ceph)));
    upload.send(rest).unwrap();
    assert_eq!(upload.finish().unwrap().status, 413, "{}", rig.node.log());
    rig.wait_for(&image, "queued");
    rig.gone(&image);
    ceph.quota("images", 0);
    assert!(wait_until(STATISTICS_LIMIT, || !is_full(&ceph)));
    rig.takes_another_upload(&image);
}

/// A full pool: what is there is read, nothing more is taken, and a delete makes room.
#[test]
fn a_full_pool_is_read_and_emptied() {
    let ceph = lab::ceph_for_faults();
    let rig = Rig::start(&ceph, "");
    let content = content(24 * MIB, 1);
    let there = rig.image(&content);
    ceph.quota("images", 16 << 20);
    assert!(wait_until(STATISTICS_LIMIT, || is_full(&ceph)));
    let image = rig.create();
    let answer = rig.upload(&image, Payload::Sized(content.clone()));
    assert_eq!(answer.status, 413, "{}", rig.node.log());
    rig.holds(&there, &content);
    assert_eq!(rig.delete(&there).status, 204);
    rig.gone(&there);
    assert!(wait_until(STATISTICS_LIMIT, || !is_full(&ceph)));
    ceph.quota("images", 0);
    rig.takes_another_upload(&image);
}

/// Whether a pool has been found to be over its quota.
fn is_full(ceph: &Ceph) -> bool {
    let mut list = ceph.command("ceph", "admin");
    let pools = lab::run(list.args(["osd", "pool", "ls", "detail"]));
    pools.contains("full_quota")
}
