//! Every store passes the one suite, on every filesystem that we can make here.

mod cinder;
mod encrypted;
mod http;
mod mounted;
mod rbd;
mod s3;
mod swift;

use std::path::Path;

use fresnel::{
    model::StoreId,
    store::{
        conformance,
        file::{Config, FileIo, FileIoChoice, FileStore},
        memory::MemoryStore,
    },
};

#[tokio::test]
async fn memory_conforms() {
    let store = MemoryStore::new(StoreId::new("memory"));
    conformance::all(&store).await;
    assert!(store.is_empty());
}

#[tokio::test]
async fn files_written_by_threads_conform() {
    let dir = tempfile::tempdir().unwrap();
    conformance::all(&open(dir.path(), FileIoChoice::Threads)).await;
    assert_empty(dir.path());
}

#[tokio::test]
async fn files_written_by_a_ring_conform() {
    let dir = tempfile::tempdir().unwrap();
    conformance::all(&open(dir.path(), FileIoChoice::Ring)).await;
    assert_empty(dir.path());
}

#[tokio::test]
async fn files_with_holes_conform() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        thin_provisioning: true,
        file_perm: Some(0o640),
        ..Config::in_dir(dir.path())
    };
    let io = FileIo::start(FileIoChoice::Auto).unwrap();
    let store = FileStore::open(StoreId::new("thin"), config, io).unwrap();
    conformance::all(&store).await;
    assert_empty(dir.path());
}

#[tokio::test]
async fn files_on_tmpfs_conform() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    conformance::all(&open(dir.path(), FileIoChoice::Auto)).await;
    assert_empty(dir.path());
}

fn open(dir: &Path, io: FileIoChoice) -> FileStore {
    let io = FileIo::start(io).unwrap();
    FileStore::open(StoreId::new("file"), Config::in_dir(dir), io).unwrap()
}

/// The suite leaves nothing behind: no object, and no attempt.
fn assert_empty(dir: &Path) {
    let names = |dir: &Path| -> Vec<_> {
        let entries = dir.read_dir().unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(names(dir), [".fresnel"]);
    assert!(names(&dir.join(".fresnel")).is_empty());
}
