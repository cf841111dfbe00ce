//! Whether an entry is the image that it says.

use super::*;

#[tokio::test]
async fn a_whole_image_is_proven_and_another_is_gone() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, CHUNK_BYTES).await;
    assert!(
        rig.cache.proof(&rig.origin.key("a")).await.is_none(),
        "it is not whole"
    );
    assert_eq!(rig.cache.unproven(), []);
    rig.assert_right("a", 0, SIZE).await;
    assert_eq!(rig.cache.unproven(), [rig.origin.key("a")]);
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
