//! Side by side with a running Glance, on one MariaDB and one file store: each serves what the other made,
//! and neither reaps, steals or misreads the other's work, whichever of them dies.

mod pair;

use pair::{Pair, Side, bytes};
use serde_json::json;

#[test]
fn each_serves_what_the_other_made() {
    let pair = Pair::start();
    for (maker, other) in [(Side::Ours, Side::Glance), (Side::Glance, Side::Ours)] {
        for size in [0, 1, 100_000, 3_000_000] {
            let image = pair.create(maker);
            assert_eq!(pair.upload(maker, &image, &bytes(size)).status, 204);
            assert_eq!(pair.show(other, &image), pair.show(maker, &image));
            assert_eq!(pair.download(other, &image).body, bytes(size));
            assert_eq!(pair.ids(other), pair.ids(maker));
            assert_eq!(pair.delete(other, &image).status, 204);
            assert_eq!(pair.get(maker, &image).status, 404);
            assert!(!pair.file(&image).exists(), "{other:?} left the data");
        }
    }
}

#[test]
fn each_sees_what_the_other_changes() {
    let pair = Pair::start();
    for (changer, other) in [(Side::Ours, Side::Glance), (Side::Glance, Side::Ours)] {
        let image = pair.create(other);
        assert_eq!(pair.upload(other, &image, b"bytes").status, 204);
        let patch = json!([
            {"op": "replace", "path": "/name", "value": "changed"},
            {"op": "add", "path": "/colour", "value": "red"},
            {"op": "replace", "path": "/tags", "value": ["one", "two"]},
        ]);
        assert_eq!(pair.patch(changer, &image, &patch).status, 200);
        assert_eq!(pair.share(changer, &image, "project-b").status, 200);
        assert_eq!(pair.show(other, &image), pair.show(changer, &image));
        assert_eq!(pair.members(other, &image), ["project-b"]);
        assert_eq!(pair.unshare(other, &image, "project-b").status, 204);
        assert_eq!(pair.share(changer, &image, "project-b").status, 200);
        assert_eq!(pair.members(other, &image), ["project-b"]);
        assert_eq!(pair.action(changer, &image, "deactivate").status, 204);
        assert_eq!(pair.status(other, &image), "deactivated");
        assert_eq!(pair.action(other, &image, "reactivate").status, 204);
        assert_eq!(pair.status(changer, &image), "active");
    }
}

#[test]
fn what_glance_is_writing_is_not_ours_to_reap() {
    let mut pair = Pair::start();
    let (theirs, dead) = (pair.create(Side::Glance), pair.create(Side::Ours));
    let mut upload = pair.begin(Side::Glance, &theirs);
    upload.send(b"half of it, ").unwrap();
    pair.wait_for(Side::Glance, &theirs, "saving");

    // Our own upload dies with us; that it is swept shows that the sweep has passed Glance's by.
    pair.leave_half(&dead);
    pair.wait_for(Side::Ours, &dead, "queued");
    assert_eq!(pair.status(Side::Ours, &theirs), "saving");
    assert_eq!(pair.upload(Side::Ours, &theirs, b"stolen").status, 409);

    upload.send(b"and the rest").unwrap();
    assert_eq!(upload.finish().unwrap().status, 204);
    let whole = b"half of it, and the rest";
    assert_eq!(pair.download(Side::Ours, &theirs).body, whole);
}

#[test]
fn what_a_dead_glance_left_stays_as_it_is() {
    let mut pair = Pair::start();
    let (theirs, dead) = (pair.create(Side::Glance), pair.create(Side::Ours));
    let mut upload = pair.begin(Side::Glance, &theirs);
    upload.send(b"half of it").unwrap();
    pair.wait_for(Side::Glance, &theirs, "saving");
    pair.glance.kill();
    pair.leave_half(&dead);
    pair.wait_for(Side::Ours, &dead, "queued");
    assert_eq!(pair.status(Side::Ours, &theirs), "saving");

    pair.glance.restart();
    assert_eq!(pair.status(Side::Glance, &theirs), "saving");
    assert_eq!(pair.delete(Side::Ours, &theirs).status, 204);
    assert_eq!(pair.get(Side::Glance, &theirs).status, 404);
}

#[test]
fn what_we_are_writing_survives_glance() {
    let pair = Pair::start();
    let image = pair.create(Side::Ours);
    let mut upload = pair.begin(Side::Ours, &image);
    upload.send(b"half of it, ").unwrap();
    pair.wait_for(Side::Glance, &image, "saving");
    assert_eq!(pair.upload(Side::Glance, &image, b"stolen").status, 409);
    pair.glance.kill();
    pair.glance.restart();
    assert_eq!(pair.status(Side::Glance, &image), "saving");

    upload.send(b"and the rest").unwrap();
    assert_eq!(upload.finish().unwrap().status, 204);
    let whole = b"half of it, and the rest";
    assert_eq!(pair.download(Side::Glance, &image).body, whole);
}

#[test]
fn what_we_left_half_done_glance_can_do_again() {
    let mut pair = Pair::start();
    let image = pair.create(Side::Glance);
    pair.leave_half(&image);
    pair.wait_for(Side::Glance, &image, "queued");
    assert_eq!(pair.upload(Side::Glance, &image, b"whole").status, 204);
    assert_eq!(pair.download(Side::Ours, &image).body, b"whole");
}

#[test]
fn glance_deletes_what_we_are_writing() {
    let pair = Pair::start();
    let image = pair.create(Side::Ours);
    let mut upload = pair.begin(Side::Ours, &image);
    upload.send(b"half of it, ").unwrap();
    pair.wait_for(Side::Glance, &image, "saving");
    assert_eq!(pair.delete(Side::Glance, &image).status, 204);
    // Told to stop, or told at the end: the body may already have no reader.
    let told = upload.send(b"and the rest").and_then(|()| upload.finish());
    assert!(told.is_ok_and(|answer| answer.status == 410));
    assert_eq!(pair.get(Side::Ours, &image).status, 404);
    assert_eq!(pair.leftovers(), Vec::<String>::new());
}

#[test]
fn glance_runs_on_a_database_that_we_made() {
    let pair = Pair::start_on_our_database();
    for (maker, other) in [(Side::Ours, Side::Glance), (Side::Glance, Side::Ours)] {
        let image = pair.create(maker);
        assert_eq!(pair.upload(maker, &image, b"bytes").status, 204);
        assert_eq!(pair.download(other, &image).body, b"bytes");
        assert_eq!(pair.show(other, &image), pair.show(maker, &image));
    }
}
