//! Downloads: the first location that works, every byte of it, or an error.

use std::{fs, path::Path, sync::Arc, time::Duration};

use fresnel::{
    base::limits::MIB,
    data::{ReadPlan, egress},
    model::{ByteRange, StoreId},
    store::{
        Store,
        file::{Config, FileIo, FileIoChoice, FileStore},
        memory::MemoryStore,
    },
};

use super::rig::{Rig, Sender, content, read, word};

fn files(dir: &Path) -> Arc<dyn Store> {
    let io = FileIo::start(FileIoChoice::Threads).unwrap();
    let store = FileStore::open(StoreId::new("file"), Config::in_dir(dir), io);
    Arc::new(store.unwrap())
}

/// An image of `len` bytes in files under `dir`, and the plan to read all of it.
async fn stored(dir: &Path, len: usize) -> (Rig, ReadPlan) {
    let memory = Arc::new(MemoryStore::new(StoreId::new("memory")));
    let rig = Rig::new(vec![files(dir), memory]).await;
    let receipts = rig.ingest(Sender::of(&content(len), &[])).await.unwrap();
    let plan = ReadPlan {
        image: rig.plan.image.clone(),
        locations: receipts.into_iter().map(|r| (r.store, r.url)).collect(),
        range: ByteRange::whole(len as u64),
    };
    (rig, plan)
}

#[tokio::test]
async fn the_next_location_serves_when_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, plan) = stored(dir.path(), 2 * MIB).await;
    fs::remove_file(dir.path().join(rig.plan.image.as_str())).unwrap();
    let egress = egress::open(&rig.plane, &plan).await.unwrap();
    assert_eq!(egress.store().as_str(), "memory");
    assert!(read(&rig.plane, &plan).await.unwrap() == content(2 * MIB));
}

#[tokio::test]
async fn a_lost_object_is_known_before_the_headers() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, mut plan) = stored(dir.path(), 10).await;
    plan.locations.truncate(1);
    fs::remove_file(dir.path().join(rig.plan.image.as_str())).unwrap();
    let error = egress::open(&rig.plane, &plan).await.err().unwrap();
    assert_eq!(word(&error), "lost");
}

#[tokio::test]
async fn a_short_object_is_known_before_the_headers() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, mut plan) = stored(dir.path(), 10).await;
    plan.locations.truncate(1);
    plan.range.len = 11;
    let error = egress::open(&rig.plane, &plan).await.err().unwrap();
    assert!(error.to_string().ends_with("is damaged"), "{error}");
}

/// Files leave by sendfile: a pool that uploads have taken to the last buffer hinders no download.
#[tokio::test]
async fn a_download_of_a_file_needs_no_buffers() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, mut plan) = stored(dir.path(), 2 * MIB).await;
    plan.locations.truncate(1);
    let mut held = Vec::new();
    while let Ok(admission) = rig
        .plane
        .pool
        .admit(&plan.locations[0].0, Duration::ZERO)
        .await
    {
        held.push(admission);
    }
    assert!(read(&rig.plane, &plan).await.unwrap() == content(2 * MIB));
}
