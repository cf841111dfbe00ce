//! A store that encrypts is a store like any other, and what rests in it are containers.

use std::{sync::Arc, time::Duration};

use fresnel::{
    base::secret::Passphrase,
    buf::{Chunk, Pool},
    data::encrypt::{EncryptedStore, Vault},
    model::{Attempt, ByteRange, ImageId, StoreId},
    store::{Error, Store, conformance, file::FileIoChoice, memory::MemoryStore},
};

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
