//! A store that encrypts is a store like any other, and what rests in it are containers.

use std::{sync::Arc, time::Duration};

use fresnel::{
    base::secret::Passphrase,
    buf::{Chunk, Pool},
    data::encrypt::{EncryptedStore, Vault},
    model::{Attempt, ByteRange, ImageId, ProjectId, StoreId},
    store::{Entry, Error, Store, conformance, file::FileIoChoice, memory::MemoryStore},
};
use tokio::sync::mpsc;

use super::{assert_empty, open};

const PATIENCE: Duration = Duration::from_secs(5);

fn encrypted(inner: Arc<dyn Store>) -> EncryptedStore {
    let passphrase = Passphrase::of_key(&[7; 32]);
    EncryptedStore::new(inner, passphrase, Vault::default(), PATIENCE)
}

#[tokio::test]
async fn memory_that_is_encrypted_conforms() {
    let inner = Arc::new(MemoryStore::new(StoreId::new("memory")));
    conformance::all(&encrypted(inner.clone())).await;
    assert!(inner.is_empty());
}

#[tokio::test]
async fn files_that_are_encrypted_conform() {
    let dir = tempfile::tempdir().unwrap();
    let inner = open(dir.path(), FileIoChoice::Auto);
    conformance::all(&encrypted(Arc::new(inner))).await;
    assert_empty(dir.path());
}

/// Cinder's notes it beside the bytes.
#[tokio::test]
async fn the_store_behind_hears_whose_an_image_is() {
    let inner = Arc::new(MemoryStore::new(StoreId::new("memory")));
    let store = encrypted(inner.clone());
    let image = ImageId::random();
    let intent = store.intend(&image, Attempt::random(), None);
    let mut intent = intent.await.unwrap();
    intent.owner = Some(ProjectId::new("p1"));
    let writer = store.writer(&intent, None).await.unwrap();
    let (sender, mut listed) = mpsc::channel(1);
    inner.list(sender).await.unwrap();
    let Some(Entry::Draft(draft)) = listed.recv().await else {
        panic!("a draft is there");
    };
    assert_eq!(draft, intent);
    writer.abort().await.unwrap();
}

#[tokio::test]
async fn what_was_there_before_is_damage() {
    let inner = Arc::new(MemoryStore::new(StoreId::new("memory")));
    let image = ImageId::random();
    let intent = inner.intend(&image, Attempt::random(), None).await.unwrap();
    let mut writer = inner.writer(&intent, None).await.unwrap();
    for _ in 0..3 {
        writer
            .write(Chunk::new(vec![7; 1 << 20].into()))
            .await
            .unwrap();
    }
    let url = writer.commit().await.unwrap().url;
    let pool = Pool::new(0, &[inner.id().clone()]);
    let memory = pool.claim(inner.id(), PATIENCE);
    let store = encrypted(inner);
    let read = store.reader(&url, ByteRange::whole(512), memory).await;
    assert!(matches!(read, Err(Error::Corrupt(_))));
}
