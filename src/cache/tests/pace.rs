//! Who fetches how fast, who waits for whom, and what stays.

use tokio::time::{Instant, timeout};

use super::*;
use crate::base::limits::MIB;

/// The fill that a reader is given.
async fn missing(reader: &mut Reader, seeks: bool) -> Fill {
    match reader.next(seeks).await {
        Next::Missing(fill) => fill,
        other => panic!("nothing is missing: {other:?}"),
    }
}

async fn prefetch(rig: &Rig, image: &str) -> Reader {
    let (key, size_bytes) = (rig.origin.key(image), rig.origin.bytes.len() as u64);
    rig.cache.prefetch(&key, size_bytes).await.unwrap()
}

async fn waited(fill: &Fill, bytes: usize) -> Duration {
    let begin = Instant::now();
    fill.pace().wait(bytes).await;
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_stands_back() {
    let rig = Rig::new(SIZE);
    let (mut download, mut idle) = (rig.reader("a").await.unwrap(), prefetch(&rig, "b").await);
    let idle = missing(&mut idle, true).await;
    assert_eq!(
        waited(&idle, 1).await,
        Duration::ZERO,
        "there is nobody else"
    );
    let urgent = missing(&mut download, true).await;
    assert_eq!(waited(&urgent, 1).await, Duration::ZERO);
    assert!(waited(&idle, 1).await >= Duration::from_secs(10));
    // Somebody waits for it after all.
    let joined = rig.reader("b").await.unwrap();
    assert_eq!(waited(&idle, 1).await, Duration::ZERO);
    drop(joined);
    drop(urgent);
    assert_eq!(waited(&idle, 1).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn all_fills_together_keep_the_limit() {
    let config = Config {
        fill_bytes_per_second: Some(MIB as u64),
        ..config()
    };
    let rig = Rig::with(config, Origin::new(SIZE, true));
    let (mut one, mut two) = (
        rig.reader("a").await.unwrap(),
        rig.reader("b").await.unwrap(),
    );
    let (one, two) = (missing(&mut one, true).await, missing(&mut two, true).await);
    let (one, two) = (one.pace(), two.pace());
    let begin = Instant::now();
    for _ in 0..3 {
        tokio::join!(one.wait(MIB), two.wait(MIB));
    }
    assert!((begin.elapsed().as_secs_f64() - 6.0).abs() < 0.1);
}

#[tokio::test]
async fn a_prefetched_image_is_there_and_counts_as_not_used() {
    let rig = Rig::new(SIZE);
    let reader = prefetch(&rig, "a").await;
    read_to_end(reader, &rig.origin).await;
    rig.settle().await;
    let shown = &rig.cache.entries()[0];
    assert_eq!((shown.filled_bytes, shown.hits), (SIZE, 0));
    rig.assert_right("a", 0, SIZE).await;
    assert_eq!(rig.fetched(), SIZE);
}

#[tokio::test]
async fn without_ranges_one_of_those_who_want_what_is_far_goes_past() {
    let config = Config {
        lag_bytes: Some(CHUNK_BYTES),
        ..config()
    };
    let rig = Rig::with(config, Origin::new(SIZE, false));
    let mut first = rig.reader("a").await.unwrap();
    let fill = missing(&mut first, false).await;
    let part = |offset: u64| {
        let range = ByteRange { offset, len: 10 };
        let (cache, key) = (rig.cache.clone(), rig.origin.key("a"));
        async move { cache.read(&key, SIZE, range).await.unwrap() }
    };
    let soon = Duration::from_millis(50);
    let mut near = part(CHUNK_BYTES).await;
    assert!(timeout(soon, near.next(false)).await.is_err());
    let (mut far, mut another) = (part(SIZE - 10).await, part(SIZE - 10).await);
    let Next::Refused(rest) = far.next(false).await else {
        panic!("it is far");
    };
    assert_eq!((rest.offset, rest.len), (SIZE - 10, 10));
    assert!(timeout(soon, another.next(false)).await.is_err());
    rig.origin.fetch(fill);
    assert!(matches!(another.next(false).await, Next::Window { .. }));
    assert!(matches!(near.next(false).await, Next::Window { .. }));
}

#[tokio::test]
async fn what_is_held_stays_until_it_is_let_go() {
    let config = Config {
        limit_bytes: 5 * CHUNK_BYTES,
        ..config()
    };
    let rig = Rig::with(config, Origin::new(SIZE, true));
    let key = rig.origin.key("kept");
    assert!(rig.cache.hold(&key).is_none());
    rig.assert_right("kept", 0, SIZE).await;
    let hold = rig.cache.hold(&key).unwrap();
    for image in ["a", "b", "c"] {
        rig.assert_right(image, 0, SIZE).await;
        assert!(rig.cache.has(&ImageId::new("kept")), "{image}");
    }
    drop(hold);
    for image in ["a", "b", "c"] {
        rig.assert_right(image, 0, SIZE).await;
    }
    assert!(!rig.cache.has(&ImageId::new("kept")));
}
