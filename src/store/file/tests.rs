use std::{
    fs::{self, Permissions},
    os::unix::fs::MetadataExt,
};

use super::*;
use crate::{
    base::limits::MIB,
    buf::Pool,
    store::{Piece, Published, conformance},
};

/// NFS before 4.2 through a kernel that knows no `renameat2` there.
#[tokio::test]
async fn a_filesystem_that_can_nothing_conforms() {
    for choice in [FileIoChoice::Ring, FileIoChoice::Threads] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(Config::in_dir(dir.path()), choice);
        let shared = Arc::get_mut(&mut store.shared).unwrap();
        shared.dirs[0].can = ability::Abilities {
            direct: false,
            noreplace: false,
            xattr: false,
        };
        conformance::all(&store).await;
    }
}

#[tokio::test]
async fn an_object_is_where_glance_puts_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(
        Config::in_dir(dir.path().join("new/.//images/")),
        FileIoChoice::Auto,
    );
    let image = ImageId::random();
    let path = dir.path().join("new/images").join(image.as_str());
    let published = put(&store, &image).await;
    assert_eq!(published.url, format!("file://{}", path.display()));
    assert_eq!(fs::read(path).unwrap(), b"content");
    let other_scheme = published.url.replace("file://", "filesystem://");
    assert_eq!(store.size(&other_scheme).await.unwrap(), 7);
    assert_eq!(store.object(&other_scheme), store.object(&published.url));
}

#[tokio::test]
async fn the_highest_priority_with_room_is_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        datadirs: [("low", -1), ("high", 7), ("middle", 0)]
            .map(|(name, priority)| Datadir {
                path: dir.path().join(name),
                priority,
            })
            .into(),
        ..Config::default()
    };
    let store = open(config, FileIoChoice::Auto);
    let image = ImageId::random();
    let intend = |size| store.intend(&image, Attempt::random(), size);
    let object = intend(Some(1)).await.unwrap().object;
    assert!(object.starts_with(dir.path().join("high").to_str().unwrap()));
    let error = intend(Some(u64::MAX)).await.unwrap_err();
    assert!(matches!(error, Error::Full(_)), "{error:?}");
}

#[tokio::test]
async fn a_disk_too_small_is_known_before_the_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(Config::in_dir(dir.path()), FileIoChoice::Auto);
    let intent = intend(&store, &ImageId::random()).await;
    let error = store.writer(&intent, Some(1 << 50)).await.err();
    assert!(matches!(error, Some(Error::Full(_))), "{error:?}");
    assert!(!Path::new(&intent.object).exists());
}

#[tokio::test]
async fn room_that_was_not_needed_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(Config::in_dir(dir.path()), FileIoChoice::Auto);
    let image = ImageId::random();
    let intent = intend(&store, &image).await;
    let writer = store.writer(&intent, Some(64 * MIB as u64)).await.unwrap();
    writer.commit().await.unwrap();
    let file = fs::metadata(dir.path().join(image.as_str())).unwrap();
    assert_eq!((file.len(), file.blocks()), (0, 0));
}

#[tokio::test]
async fn zeroes_take_no_room_with_thin_provisioning() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        thin_provisioning: true,
        ..Config::in_dir(dir.path())
    };
    let store = open(config, FileIoChoice::Auto);
    let image = ImageId::random();
    let intent = intend(&store, &image).await;
    let mut writer = store.writer(&intent, Some(8 * MIB as u64)).await.unwrap();
    for _ in 0..8 {
        let zeroes = bytes::Bytes::from(vec![0; MIB]);
        writer.write(crate::buf::Chunk::new(zeroes)).await.unwrap();
    }
    writer.commit().await.unwrap();
    let file = fs::metadata(dir.path().join(image.as_str())).unwrap();
    assert_eq!((file.len(), file.blocks()), (8 * MIB as u64, 0));
}

#[tokio::test]
async fn permissions_are_the_operators() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let config = Config {
        file_perm: Some(0o640),
        ..Config::in_dir(dir.path())
    };
    let store = open(config, FileIoChoice::Auto);
    let image = ImageId::random();
    put(&store, &image).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&dir.path().join(image.as_str())), 0o640);
    assert_eq!(mode(dir.path()), 0o710);
}

#[tokio::test]
async fn no_name_leads_out_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "content").unwrap();
    let store = open(
        Config::in_dir(dir.path().join("images")),
        FileIoChoice::Auto,
    );
    for id in [
        "",
        ".",
        "..",
        "../secret",
        "a/b",
        "/etc/passwd",
        ".fresnel",
        "a\0b",
    ] {
        let intent = store
            .intend(&ImageId::new(id), Attempt::random(), None)
            .await;
        assert!(matches!(intent, Err(Error::BadAddress(_))), "{id:?}");
    }
    let images = dir.path().join("images");
    for path in ["../secret", ".fresnel", ".fresnel/x", "x/y", "x/", ""] {
        assert!(
            !store.owns(&format!("file://{}/{path}", images.display())),
            "{path}"
        );
    }
    let mut intent = intend(&store, &ImageId::random()).await;
    intent.object = dir.path().join("secret").to_str().unwrap().to_owned();
    let error = store.discard(&intent).await.unwrap_err();
    assert!(matches!(error, Error::BadAddress(_)), "{error:?}");
    assert!(dir.path().join("secret").exists());
}

/// A file that Glance, an operator or nobody knows who put there.
#[tokio::test]
async fn discard_leaves_a_foreign_file_under_the_images_name() {
    for xattr in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(Config::in_dir(dir.path()), FileIoChoice::Auto);
        Arc::get_mut(&mut store.shared).unwrap().dirs[0].can.xattr = xattr;
        let image = ImageId::random();
        let intent = intend(&store, &image).await;
        let path = dir.path().join(image.as_str());
        fs::write(&path, "foreign").unwrap();
        store.discard(&intent).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"foreign");
    }
}

#[tokio::test]
async fn a_piece_is_in_the_page_cache_when_it_is_handed_out() {
    let dir = on_disk();
    let store = open(Config::in_dir(dir.path()), FileIoChoice::Auto);
    let path = dir.path().join("object");
    fs::write(&path, vec![3; 9 * MIB]).unwrap();
    let file = fs::File::open(&path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let cached = |offset, len| fresnel_ring::is_cached(&file, offset, len);
    assert!(!cached(0, 9 * MIB as u64), "it was made cold");

    let range = ByteRange {
        offset: 100,
        len: 9 * MIB as u64 - 200,
    };
    let url = format!("file://{}", path.display());
    let mut reader = store.reader(&url, range, claim()).await.unwrap();
    let mut pieces = 0;
    while let Some(Piece::File { offset, len, .. }) = reader.next().await.unwrap() {
        assert!(cached(offset, len), "{offset}");
        pieces += 1;
    }
    assert_eq!(pieces, 3);
}

#[tokio::test]
async fn a_file_that_shrinks_is_damage_and_no_end() {
    let dir = on_disk();
    let store = open(Config::in_dir(dir.path()), FileIoChoice::Auto);
    let path = dir.path().join("object");
    fs::write(&path, vec![3; 9 * MIB]).unwrap();
    let url = format!("file://{}", path.display());
    let range = ByteRange::whole(9 * MIB as u64);
    let mut reader = store.reader(&url, range, claim()).await.unwrap();
    reader.next().await.unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(5 * MIB as u64).unwrap();
    let error = loop {
        match reader.next().await {
            Ok(piece) => assert!(piece.is_some(), "a reader never ends early"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
}

fn open(config: Config, choice: FileIoChoice) -> FileStore {
    let io = FileIo::start(choice).unwrap();
    FileStore::open(StoreId::new("file"), config, io).unwrap()
}

/// Not on tmpfs, whose pages are never cold.
fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap()
}

async fn intend(store: &FileStore, image: &ImageId) -> Intent {
    let intent = store.intend(image, Attempt::random(), None);
    intent.await.unwrap()
}

async fn put(store: &FileStore, image: &ImageId) -> Published {
    let intent = intend(store, image).await;
    let mut writer = store.writer(&intent, None).await.unwrap();
    let chunk = crate::buf::Chunk::new("content".into());
    writer.write(chunk).await.unwrap();
    writer.commit().await.unwrap()
}

fn claim() -> Claim {
    let store = StoreId::new("file");
    let pool = Pool::new(MIB, std::slice::from_ref(&store));
    pool.claim(&store, std::time::Duration::ZERO)
}
