//! Whether an entry is the image that it says: of whole ones, and of those that are filled just now.

use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn a_whole_image_is_proven_and_another_is_gone() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, CHUNK_BYTES).await;
    assert!(
        rig.cache.proof(&rig.origin.key("a")).await.is_none(),
        "it is not whole"
    );
    rig.assert_right("a", 0, SIZE).await;
    assert!(rig.prove("a", &rig.origin.digest()).await);
    assert!(
        rig.cache.proof(&rig.origin.key("a")).await.is_none(),
        "it is proven"
    );
    rig.cache.save();
    let rig = rig.restart();
    assert!(rig.cache.entries()[0].is_proven);
    rig.assert_right("b", 0, SIZE).await;
    assert!(!rig.prove("b", "another").await);
    assert_eq!(rig.cache.entries().len(), 1);
}

#[tokio::test]
async fn an_image_is_proven_while_it_is_filled() {
    let rig = Rig::new(SIZE);
    let mut reader = rig.reader("a").await.unwrap();
    let Next::Missing(mut fill) = reader.next(true).await else {
        panic!("it is all missing");
    };
    let proof = rig.cache.proof_beside(&fill).unwrap();
    assert!(rig.cache.proof_beside(&fill).is_none(), "one does it");
    let all = Bytes::from(rig.origin.bytes.clone());
    fill.write(&[all.slice(..CHUNK_BYTES as usize + 1)])
        .unwrap();
    assert!(proof.reaches(CHUNK_BYTES - 1).await);
    let soon = Duration::from_millis(1);
    let next = timeout(soon, proof.reaches(CHUNK_BYTES));
    assert!(next.await.is_err(), "not yet");
    fill.write(&[all.slice(CHUNK_BYTES as usize + 1..)])
        .unwrap();
    drop(fill);
    assert!(proof.reaches(SIZE - 1).await);
    let key = rig.origin.key("a");
    let (digest, waiting) = (rig.origin.digest(), rig.cache.proof(&key));
    let (waited, good) = tokio::join!(waiting, async { proof.end(&digest) });
    assert!(waited.is_none() && good);
}

#[tokio::test]
async fn a_proof_ends_with_the_fill_that_breaks_off() {
    let rig = Rig::new(SIZE);
    let mut reader = rig.reader("a").await.unwrap();
    let Next::Missing(mut fill) = reader.next(true).await else {
        panic!("it is all missing");
    };
    let proof = rig.cache.proof_beside(&fill).unwrap();
    let bytes = Bytes::from(rig.origin.bytes[..CHUNK_BYTES as usize].to_vec());
    fill.write(&[bytes]).unwrap();
    let (reaches, ()) = tokio::join!(proof.reaches(CHUNK_BYTES), async { drop(fill) });
    assert!(!reaches);
    drop((proof, reader));
    rig.assert_right("a", 0, SIZE).await;
    assert_eq!(rig.cache.unproven(), [rig.origin.key("a")]);
    assert!(rig.prove("a", &rig.origin.digest()).await);
    assert_eq!(rig.cache.unproven(), []);
}
