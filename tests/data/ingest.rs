//! Uploads that nothing disturbs, and those that the sender gets wrong.

use std::{sync::Arc, time::Duration};

use fresnel::{
    base::limits::MIB,
    data::{DeclaredSize, ingress::PACE_WINDOW},
    model::{ByteRange, HashAlgorithm, StoreId},
    store::{Store, memory::MemoryStore},
};
use openssl::hash::{MessageDigest, hash};
use proptest::prelude::{ProptestConfig, any, prop, prop_assert_eq, proptest};

use super::rig::{Act, Rig, Sender, content, cut, run, word};

fn memory(name: &str) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(StoreId::new(name)))
}

async fn rig() -> (Rig, Arc<MemoryStore>) {
    let store = memory("memory");
    (Rig::new(vec![store.clone()]).await, store)
}

fn hex(digest: MessageDigest, content: &[u8]) -> String {
    let digest = hash(digest, content).unwrap();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_sent_is_stored(
        len in 0..3 * MIB,
        pieces in prop::collection::vec(1..2 * MIB, 1..5),
        declared in any::<bool>(),
        range in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        run(async {
            let (mut rig, _) = rig().await;
            let content = content(len);
            if declared {
                rig.plan.size = DeclaredSize::Exact(len as u64);
            }
            let receipts = rig.ingest(Sender::of(&content, &pieces)).await.unwrap();
            let receipt = &receipts[0];
            prop_assert_eq!(receipt.size_bytes, len as u64);
            let virtual_size = Some(len as u64).filter(|bytes| *bytes > 0);
            prop_assert_eq!(receipt.virtual_size_bytes, virtual_size);
            let digests = receipt.digests.as_ref().unwrap();
            prop_assert_eq!(&digests.checksum, &hex(MessageDigest::md5(), &content));
            prop_assert_eq!(&digests.os_hash_value, &hex(MessageDigest::sha512(), &content));
            let (first, last) = (range.0.index(len + 1), range.1.index(len + 1));
            let (start, end) = (first.min(last), first.max(last));
            let piece = ByteRange { offset: start as u64, len: (end - start) as u64 };
            assert!(rig.read(receipt, piece).await.unwrap() == content[start..end]);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn an_image_hashed_with_md5_has_it_twice() {
    let (mut rig, _) = rig().await;
    rig.plan.os_hash_algo = Some(HashAlgorithm::Md5);
    let receipts = rig.ingest(Sender::of(b"abc", &[])).await.unwrap();
    let digests = receipts[0].digests.as_ref().unwrap();
    assert_eq!(digests.checksum, "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(digests.os_hash_value, digests.checksum);
}

#[tokio::test]
async fn a_declared_size_binds() {
    for (declared, sent, expected, text) in [
        (
            10,
            9,
            "short",
            "Size mismatch: expected 10 bytes, got 9 bytes",
        ),
        (
            10,
            11,
            "exceeded",
            "Size exceeds: expected 10 bytes, got 11 bytes",
        ),
    ] {
        let (mut rig, store) = rig().await;
        rig.plan.size = DeclaredSize::Exact(declared);
        let error = rig
            .ingest(Sender::of(&content(sent), &[4]))
            .await
            .unwrap_err();
        assert_eq!((word(&error), error.to_string().as_str()), (expected, text));
        assert!(store.is_empty());
    }
}

#[tokio::test]
async fn excess_is_noticed_at_once() {
    let (mut rig, store) = rig().await;
    rig.plan.size = DeclaredSize::Exact(10);
    let acts = [Act::Send(content(11).into()), Act::Hang];
    let error = rig.ingest(Sender::new(acts)).await.unwrap_err();
    assert_eq!(word(&error), "exceeded");
    assert!(store.is_empty());
}

#[tokio::test]
async fn one_byte_beyond_the_limit_is_too_many() {
    for (sent, outcome) in [(10, "stored"), (11, "large")] {
        let (mut rig, store) = rig().await;
        rig.plan.limit_bytes = 10;
        let ingested = rig.ingest(Sender::of(&content(sent), &[3])).await;
        assert_eq!(ingested.as_ref().err().map_or("stored", word), outcome);
        assert_eq!(store.is_empty(), outcome == "large");
    }
}

#[tokio::test]
async fn a_size_beyond_the_limit_needs_no_bytes() {
    let (mut rig, store) = rig().await;
    rig.plan.limit_bytes = 10;
    rig.plan.size = DeclaredSize::Exact(11);
    let error = rig.ingest(Sender::new([Act::Hang])).await.unwrap_err();
    assert_eq!(word(&error), "large");
    assert!(store.is_empty());
}

#[tokio::test]
async fn content_of_another_format_is_refused() {
    let (mut rig, store) = rig().await;
    rig.plan.expect.as_mut().unwrap().disk_format = "qcow2".to_owned();
    let error = rig
        .ingest(Sender::of(&content(2 * MIB), &[]))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Image disk_format qcow2 does not match stream data raw"
    );
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_too_slow() {
    let (mut rig, store) = rig().await;
    rig.plane.settings.min_rate_bytes_per_second = 100;
    let seconds = PACE_WINDOW.as_secs() as usize + 1;
    let trickle = cut(&content(99 * seconds), &[99]).into_iter();
    let trickle = trickle.flat_map(|piece| [Act::Pause(Duration::from_secs(1)), Act::Send(piece)]);
    let error = rig.ingest(Sender::new(trickle)).await.unwrap_err();
    assert_eq!(word(&error), "slow");
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_sender_is_too_slow() {
    let (rig, store) = rig().await;
    let acts = [Act::Send(content(10).into()), Act::Hang];
    let error = rig.ingest(Sender::new(acts)).await.unwrap_err();
    assert_eq!(word(&error), "slow");
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_busy_pool_refuses_before_the_first_byte() {
    let (rig, store) = rig().await;
    let id = store.id();
    let wait = Duration::from_secs(1);
    let mut held = Vec::new();
    while let Ok(admission) = rig.plane.pool.admit(id, wait).await {
        held.push(admission);
    }
    let error = rig.ingest(Sender::new([Act::Hang])).await.unwrap_err();
    assert_eq!(word(&error), "busy");
    assert!(store.is_empty());
}

#[tokio::test]
async fn two_stores_get_the_same() {
    let (left, right) = (memory("left"), memory("right"));
    let rig = Rig::new(vec![left, right]).await;
    let content = content(3 * MIB + 5);
    let receipts = rig.ingest(Sender::of(&content, &[70_000])).await.unwrap();
    assert_eq!(receipts.len(), 2);
    for receipt in &receipts {
        let whole = ByteRange::whole(content.len() as u64);
        assert!(rig.read(receipt, whole).await.unwrap() == content);
    }
}
