//! What is removed to make room, and what is not.

use super::*;

#[tokio::test]
async fn who_is_still_sent_a_window_is_not_evicted() {
    let rig = Rig::with(tight(), Origin::new(SIZE, true));
    rig.assert_right("a", 0, SIZE).await;
    let mut reader = rig.reader("a").await.unwrap();
    let window = reader.next(true).await;
    assert!(matches!(window, Next::Window { .. }));
    drop(reader);
    rig.assert_right("b", 0, SIZE).await;
    assert!(rig.cache.has(&ImageId::new("a")), "its blocks would stay");
    drop(window);
    rig.assert_right("c", 0, SIZE).await;
    assert!(!rig.cache.has(&ImageId::new("a")));
}

#[tokio::test]
async fn who_is_only_looked_at_may_be_evicted() {
    let rig = Rig::with(tight(), Origin::new(SIZE, true));
    rig.assert_right("a", 0, SIZE).await;
    let look = rig.cache.shared.all();
    rig.assert_right("b", 0, SIZE).await;
    assert!(rig.cache.has(&ImageId::new("b")));
    assert_eq!(look.count(), 0, "it has gone meanwhile");
}

#[tokio::test]
async fn there_are_no_more_entries_than_files_may_be_open() {
    let rig = Rig::new(SIZE);
    let Rig { dir, cache, origin } = rig;
    let config = cache.shared.config.clone();
    drop(cache);
    let open = |entries_max| {
        let folder = Folder::new(config.dir.clone());
        Cache::open_folder(config.clone(), folder, entries_max).unwrap()
    };
    let cache = open(2);
    let rig = Rig { dir, cache, origin };
    for image in ["a", "b", "c"] {
        rig.assert_right(image, 0, 1).await;
        rig.cache.save();
    }
    assert_eq!(rig.cache.entries().len(), 2);
    assert_eq!(fs::read_dir(rig.dir.path()).unwrap().count(), 5);
    let Rig { dir, cache, .. } = rig;
    drop(cache);
    let left = open(1).entries();
    assert_eq!((left.len(), left[0].key.image().as_str()), (1, "c"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}
