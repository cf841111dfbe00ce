//! The digests of an image that is in a store already: read ahead in parallel, hashed in order.

use super::{
    Plane, ReadPlan, Result,
    readahead::{Readers, WINDOW_BYTES},
};
use crate::model::{Digests, HashAlgorithm};

/// Reads all that the plan says and hashes it: MD5, and `os_hash_algo`.
///
/// # Errors
/// As a download's: see [`egress::open`] and [`egress::Egress::next`].
pub async fn digests(
    plane: &Plane,
    plan: &ReadPlan,
    os_hash_algo: HashAlgorithm,
) -> Result<Digests> {
    digests_by(plane, plan, os_hash_algo, WINDOW_BYTES).await
}

async fn digests_by(
    plane: &Plane,
    plan: &ReadPlan,
    os_hash_algo: HashAlgorithm,
    window_bytes: u64,
) -> Result<Digests> {
    let stream = plane.engine.open(&[HashAlgorithm::Md5, os_hash_algo]);
    let mut readers = Readers::new(plane.clone(), plan.clone(), window_bytes);
    while let Some(chunk) = readers.next().await? {
        stream.feed(&chunk).await;
    }
    let [checksum, os_hash_value] = stream
        .finish()
        .await
        .try_into()
        .expect("a digest for each algorithm");
    Ok(Digests {
        checksum,
        os_hash_algo,
        os_hash_value,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        base::limits::MIB,
        buf::{Chunk, Pool},
        data::{self, Error, digest::Engine, encrypt::Vault},
        model::{Attempt, ByteRange, ImageId, StoreId},
        store::{Registry, Store, memory::MemoryStore},
    };

    /// A plane over one store in memory, with the smallest pool, and an object of that many bytes.
    pub(in crate::data) async fn plane(len: usize) -> (Plane, ReadPlan) {
        let store = Arc::new(MemoryStore::new(StoreId::new("memory")));
        let image = ImageId::random();
        let attempt = Attempt::random();
        let intent = store.intend(&image, attempt, None).await.unwrap();
        let mut writer = store.writer(&intent, None).await.unwrap();
        for piece in bytes(len).chunks(MIB) {
            writer
                .write(Chunk::new(piece.to_vec().into()))
                .await
                .unwrap();
        }
        let published = writer.commit().await.unwrap();
        let plane = Plane {
            pool: Pool::new(0, &[store.id().clone()]),
            engine: Engine::new(2).unwrap(),
            vault: Vault::default(),
            settings: data::Settings::default(),
            stores: Registry::new(vec![store.clone()], store.id().clone()),
        };
        let plan = ReadPlan {
            image,
            locations: vec![(store.id().clone(), published.url)],
            range: ByteRange::whole(len as u64),
        };
        (plane, plan)
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len)
            .map(|at| (at ^ (at >> 8) ^ (at >> 20)) as u8)
            .collect()
    }

    /// The pool admits two readers, where three windows would be read.
    #[tokio::test]
    async fn windows_are_hashed_in_order_also_without_buffers_to_read_ahead() {
        let len = 4 * MIB + 12_345;
        let (plane, plan) = plane(len).await;
        let window_bytes = 700_000;
        let found = digests_by(&plane, &plan, HashAlgorithm::Sha256, window_bytes);
        let found = found.await.unwrap();
        let stream = plane
            .engine
            .open(&[HashAlgorithm::Md5, HashAlgorithm::Sha256]);
        stream.feed(&Chunk::new(bytes(len).into())).await;
        let whole = stream.finish().await;
        assert_eq!([found.checksum, found.os_hash_value], whole[..]);
    }

    #[tokio::test]
    async fn an_object_that_is_shorter_has_no_digest() {
        let (plane, mut plan) = plane(1000).await;
        plan.range.len = 1001;
        let failed = digests(&plane, &plan, HashAlgorithm::Md5).await;
        assert!(matches!(failed, Err(Error::Store(_))), "{failed:?}");
    }
}
