//! The bindings on the lab's cluster: every call once, and what happens to memory when futures are
//! dropped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    path::Path,
    process::{Command, id},
};

use bytes::Bytes;
use fresnel_ceph::{Cluster, FEATURE_OBJECT_MAP, Image, NewImage, Options, Outcome, Pool};

const MIB: usize = 1 << 20;

/// Pool `images` as the store sees it.
fn pool() -> Pool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let started = Command::new(root.join("tests/lab/ceph-up"))
        .output()
        .unwrap();
    assert!(started.status.success(), "{started:?}");
    let conf = String::from_utf8(started.stdout).unwrap();
    let settings = [
        ("rbd_cache", "false"),
        ("rbd_disable_zero_copy_writes", "false"),
        ("no_such_option", "1"),
    ];
    let options = Options {
        conf_file: Some(conf.trim().to_owned()),
        user: Some("glance".to_owned()),
        settings: settings
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
    };
    Cluster::connect(&options).unwrap().pool("images").unwrap()
}

/// An image of one test of one process.
fn create(pool: &Pool, name: &str) -> (String, Image) {
    let name = format!("bindings-{name}-{}", id());
    let image = NewImage {
        name: &name,
        size_bytes: 16 * MIB as u64,
        order: 22,
        features: None,
        data_pool: None,
    };
    pool.create(&image).unwrap();
    let image = pool.open_image(&name).unwrap();
    (name, image)
}

/// Through the trash, as the store does.
async fn remove(pool: &Pool, name: &str, image: Image) {
    let id = image.id().unwrap();
    closed(image).await;
    pool.trash_move(name).unwrap();
    let trash = pool.trash().unwrap();
    assert!(
        trash
            .iter()
            .any(|entry| (&*entry.id, &*entry.name) == (&*id, name))
    );
    closed(pool.open_by_id(&id).unwrap()).await;
    closed(pool.open_by_id_read_only(&id).unwrap()).await;
    pool.trash_remove(&id).unwrap();
    assert_eq!(pool.image_id(name), Ok(None));
}

async fn closed(image: Image) {
    let closed = image.closed();
    drop(image);
    closed.await;
}

/// Some bytes in pieces of different lengths, on the heap.
fn pieces(len: usize, seed: u8) -> Vec<Bytes> {
    let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8 ^ seed).collect();
    let mut bytes = Bytes::from(bytes);
    let first = bytes.split_to(len / 3);
    vec![first, bytes.slice(..1), bytes.slice(1..)]
}

#[tokio::test]
async fn what_is_written_is_read() {
    let pool = pool();
    let (name, image) = create(&pool, "read");
    assert_eq!(image.size_bytes(), Ok(16 * MIB as u64));
    assert!(image.features().unwrap() & FEATURE_OBJECT_MAP != 0);
    let written = pieces(5 * MIB + 3, 1);
    image
        .write_at(4 * MIB as u64, written.clone())
        .await
        .unwrap();
    image.flush().await.unwrap();
    let buffers = vec![vec![0_u8; MIB], vec![0; 4 * MIB + 3]];
    let (read, len) = image.read_at(4 * MIB as u64, buffers).await.unwrap();
    assert_eq!(len, 5 * MIB + 3);
    assert!(read.concat() == written.concat());
    assert!(image.knows_its_objects().unwrap());
    let mut extents = Vec::new();
    let found = |offset, len| extents.push((offset, len));
    image.data_extents(0, 16 * MIB as u64, found).unwrap();
    assert_eq!(extents.first().map(|extent| extent.0), Some(4 * MIB as u64));
    image.resize(10 * MIB as u64).unwrap();
    // The read is short at the image's end.
    let tail = image.read_at(9 * MIB as u64, vec![vec![0_u8; 2 * MIB]]);
    assert_eq!(tail.await.unwrap().1, MIB);
    remove(&pool, &name, image).await;
}

#[tokio::test]
async fn notes_watchers_and_snapshots_are_told() {
    let pool = pool();
    let (name, image) = create(&pool, "told");
    assert_eq!(image.metadata("key"), Ok(None));
    image.set_metadata("key", "value").unwrap();
    assert_eq!(image.metadata("key"), Ok(Some("value".to_owned())));
    let address = pool.cluster().address().unwrap();
    assert_eq!(image.watchers(), Ok(vec![address]));
    assert_eq!(image.snapshots(), Ok(Vec::new()));
    for snapshot in ["one", "two"] {
        image.snap_create(snapshot).unwrap();
    }
    image.snap_protect("one").unwrap();
    assert_eq!(image.snap_is_protected("one"), Ok(true));
    let refused = image.snap_remove("one").unwrap_err();
    assert_eq!(refused.outcome(), Some(Outcome::Busy));
    let snapshots = image.snapshots().unwrap();
    let names: Vec<_> = snapshots.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    let opened = pool.open_read_only(&name, Some("one")).unwrap();
    assert_eq!(opened.size_bytes(), Ok(16 * MIB as u64));
    closed(opened).await;
    image.snap_unprotect("one").unwrap();
    image.snap_remove("one").unwrap();
    image.snap_remove_by_id(snapshots[1].id).unwrap();
    remove(&pool, &name, image).await;
}

/// The library goes on, and with it all that it points to.
#[tokio::test]
async fn operations_outlive_their_futures() {
    let pool = pool();
    let (name, image) = create(&pool, "outlive");
    for at in 0..4 {
        drop(image.write_at((at * 4 * MIB) as u64, pieces(4 * MIB, at as u8)));
    }
    drop(image.read_at(0, vec![vec![0_u8; 4 * MIB]]));
    closed(image).await;
    let image = pool.open_image(&name).unwrap();
    for at in 0..4 {
        let buffers = vec![vec![0_u8; 4 * MIB]];
        let (read, _) = image.read_at((at * 4 * MIB) as u64, buffers).await.unwrap();
        assert!(read.concat() == pieces(4 * MIB, at as u8).concat(), "{at}");
    }
    remove(&pool, &name, image).await;
}

/// Of two that take one name, one gets it.
#[tokio::test]
async fn a_rename_does_not_replace() {
    let pool = pool();
    let (one, first) = create(&pool, "one");
    let (two, second) = create(&pool, "two");
    let (id, name) = (first.id().unwrap(), format!("bindings-name-{}", id()));
    pool.rename(&one, &name).unwrap();
    let refused = pool.rename(&two, &name).unwrap_err();
    assert_eq!(refused.outcome(), Some(Outcome::Exists));
    let gone = pool.rename(&one, &name).unwrap_err();
    assert_eq!(gone.outcome(), Some(Outcome::NotFound));
    assert_eq!(pool.image_id(&name), Ok(Some(id.clone())));
    assert_eq!(pool.name_of(&id), Ok(Some(name.clone())));
    pool.rename_journaled(&name, &one).unwrap();
    remove(&pool, &one, first).await;
    remove(&pool, &two, second).await;
}

#[test]
fn what_is_wrong_is_said() {
    let pool = pool();
    assert_eq!(pool.is_prepared(), Ok(true));
    pool.prepare_trash().unwrap();
    pool.forget_name("bindings-never-was").unwrap();
    let missing = pool.open_image("bindings-never-was").unwrap_err();
    assert_eq!(missing.outcome(), Some(Outcome::NotFound));
    let missing = pool.cluster().pool("no-such-pool").unwrap_err();
    assert_eq!(missing.outcome(), Some(Outcome::NotFound));
    let features = pool.setting("rbd_default_features").unwrap();
    assert_eq!(pool.cluster().setting("rbd_default_features"), Ok(features));
    let missing = pool.setting("no_such_option").unwrap_err();
    assert_eq!(missing.outcome(), Some(Outcome::NotFound));
    assert_eq!(pool.cluster().fsid().unwrap().len(), 36);
}
