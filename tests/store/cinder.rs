//! Cinder stores, on a real Cinder whose back end is Ceph.

use std::{sync::Arc, time::Duration};

use fresnel::{
    base::secret::Secret,
    buf::{Chunk, Pool},
    client::{
        cinder::{Cinder as Client, Mode},
        keystone::Credentials,
    },
    model::{Attempt, ByteRange, ImageId, StoreId},
    store::{
        Error, Intent, Piece, Reader, Result, Store, Verdict,
        cinder::{CinderStore, Config},
        conformance,
        rbd::Connections,
    },
};
use serde_json::json;

use crate::support::cinder::Cinder;

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Cinder: make cinder"]
async fn volumes_conform() {
    conformance::all(&open(config())).await;
}

/// What Cinder and a Glance beside us look at (reference E.6).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Cinder: make cinder"]
async fn a_volume_is_as_glance_leaves_it() {
    let (store, cinder) = (open(config()), Cinder::shared());
    let content: Vec<u8> = (0..9 * MIB + 5).map(|n| (n / 4096) as u8 | 1).collect();
    let image = ImageId::random();
    let intent = Intent {
        owner: Some(fresnel::model::ProjectId::new("p1")),
        ..intend(&store, &image).await
    };
    let url = write(&store, &intent, &content).await.unwrap();
    let volumes = cinder.volumes(image.as_str());
    assert_eq!(volumes.len(), 1, "{volumes:?}");
    let (volume, id) = (&volumes[0], volumes[0]["id"].as_str().unwrap());
    assert_eq!(url, format!("cinder://cinder1/{id}"));
    assert_eq!(volume["name"], format!("image-{image}"));
    assert_eq!(volume["size"], 1);
    assert_eq!(volume["status"], "available");
    let noted = &volume["metadata"];
    assert_eq!(noted["glance_image_id"], image.as_str());
    assert_eq!(noted["image_size"], content.len().to_string());
    assert_eq!(noted["image_owner"], "p1");
    let exported = cinder.export(id);
    assert!(exported[..content.len()] == content);
    assert!(exported[content.len()..].iter().all(|byte| *byte == 0));
    // As Glance writes it without `enabled_backends`, and Cinder itself.
    let short = format!("cinder://{id}");
    assert!(store.owns(&short) && store.object(&short) == store.object(&url));
    assert_eq!(store.size(&short).await.unwrap(), content.len() as u64);
    assert!(read(&store, &short, whole(&content)).await.unwrap() == content);
    store.delete(&short).await.unwrap();
    assert!(cinder.volumes(image.as_str()).is_empty());
}

/// Nobody said how large it will be: the volume is extended, and what is noted on it counts.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Cinder: make cinder"]
async fn a_volume_grows_with_its_image() {
    for extend_attached in [false, true] {
        let config = Config {
            extend_attached,
            ..config()
        };
        let store = open(config);
        let intent = intend(&store, &ImageId::random()).await;
        let mut writer = store.writer(&intent, None).await.unwrap();
        let zeroes = bytes::Bytes::from_static(&[0; MIB]);
        for piece in 0..1030 {
            let bytes = match piece {
                0 | 1029 => vec![7; MIB].into(),
                _ => zeroes.clone(),
            };
            writer.write(Chunk::new(bytes)).await.unwrap();
        }
        let published = writer.commit().await.unwrap();
        assert_eq!(published.size_bytes, 1030 << 20);
        let volumes = Cinder::shared().volumes(intent.image.as_str());
        assert_eq!(volumes[0]["size"], 2);
        let range = ByteRange {
            offset: 1029 << 20,
            len: MIB as u64,
        };
        assert!(read(&store, &published.url, range).await.unwrap() == vec![7; MIB]);
        let range = ByteRange {
            offset: 0,
            len: 2 * MIB as u64,
        };
        let beginning = read(&store, &published.url, range).await.unwrap();
        assert!(beginning == [vec![7; MIB], vec![0; MIB]].concat());
        store.delete(&published.url).await.unwrap();
    }
}

/// A volume of this type is attached once. All readers of a process share that; another process waits.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Cinder: make cinder"]
async fn a_volume_that_is_read_is_held() {
    let impatient = Config {
        attach_tries: 1,
        ..config()
    };
    let (ours, theirs) = (open(config()), open(impatient));
    let content = vec![3; 5 * MIB];
    let (_, url) = put(&ours, &content).await;
    let first = reader(&ours, &url, whole(&content)).await.unwrap();
    let second = reader(&ours, &url, whole(&content)).await.unwrap();
    assert!(ours.in_use(&url).await.unwrap());
    let refused = ours.delete(&url).await;
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    let refused = theirs.delete(&url).await;
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    let refused = read(&theirs, &url, whole(&content)).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    let (first, second) = tokio::join!(drain(first), drain(second));
    assert!(first.unwrap() == content && second.unwrap() == content);
    let patient = open(config());
    assert!(read(&patient, &url, whole(&content)).await.unwrap() == content);
    assert!(!ours.in_use(&url).await.unwrap());
    ours.delete(&url).await.unwrap();
}

/// A process that died with a volume attached is in nobody's way on its own host.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Cinder: make cinder"]
async fn what_a_dead_process_has_attached_is_free() {
    let store = open(config());
    let client = Client::new(Cinder::shared().reached()).unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let (_, url) = put(&store, b"held by nobody").await;
    let volume = url.rsplit('/').next().unwrap();
    let attach = async || {
        // The first process of the machine was not started at tick 1.
        let device = format!("fresnel:{}:1:1", host.trim());
        let connector = json!({"host": host.trim(), "mountpoint": device});
        let attachment = client.reserve(volume, Mode::Read).await.unwrap();
        client.connect(&attachment, &connector).await.unwrap();
        client.complete(&attachment).await.unwrap();
    };
    attach().await;
    let bytes = read(&store, &url, ByteRange::whole(14)).await.unwrap();
    assert!(bytes == b"held by nobody");
    assert!(store.delete(&url).await.is_ok(), "its last reader lets go");
    let (_, url) = put(&store, b"held by nobody").await;
    let volume = url.rsplit('/').next().unwrap();
    let attachment = client.reserve(volume, Mode::Read).await.unwrap();
    let connector = json!({"host": "elsewhere", "mountpoint": "fresnel:elsewhere:1:1"});
    client.connect(&attachment, &connector).await.unwrap();
    client.complete(&attachment).await.unwrap();
    let refused = store.delete(&url).await;
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    client.detach(&attachment).await.unwrap();
    store.delete(&url).await.unwrap();
}

/// Another process's writer is shut out, and what it had published is taken back.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Cinder: make cinder"]
async fn an_attempt_of_another_process_is_fenced() {
    let (theirs, ours) = (open(config()), open(config()));
    let image = ImageId::random();
    let intent = intend(&theirs, &image).await;
    let mut writer = theirs.writer(&intent, None).await.unwrap();
    for _ in 0..20 {
        let chunk = Chunk::new(vec![1; MIB].into());
        writer.write(chunk).await.unwrap();
    }
    ours.discard(&intent).await.unwrap();
    assert!(Cinder::shared().volumes(image.as_str()).is_empty());
    writer.commit().await.expect_err("it is shut out");
    assert!(Cinder::shared().volumes(image.as_str()).is_empty());
    // Its next upload has a connection of its own.
    let (_, url) = put(&theirs, b"again").await;
    theirs.delete(&url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Cinder: make cinder"]
async fn a_check_finds_nothing_wrong() {
    let findings = open(config()).check().await;
    assert!(!findings.is_empty());
    for finding in &findings {
        assert_eq!(finding.verdict, Verdict::Good, "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Cinder: make cinder"]
async fn a_check_says_what_is_wrong() {
    let wrong = |config: Config| async move {
        let findings = open(config).check().await;
        let last = findings.last().unwrap().clone();
        assert_eq!(last.verdict, Verdict::Wrong, "{last}");
        last.text
    };
    let missing = Config {
        volume_type: Some("no-such-type".to_owned()),
        ..config()
    };
    let said = wrong(missing).await;
    assert!(said.contains("no volume type \"no-such-type\""), "{said}");
    let mut stranger = config();
    let Credentials::Password { password, .. } = &mut stranger.cinder.keystone.credentials else {
        panic!("it is a password")
    };
    *password = Secret::new("wrong".to_owned());
    let said = wrong(stranger).await;
    assert!(said.contains("cinder_store_password"), "{said}");
    let mut nowhere = config();
    nowhere.cinder.service_type = "no-such-service".to_owned();
    let said = wrong(nowhere).await;
    assert!(
        said.contains("the catalog has no no-such-service"),
        "{said}"
    );
}

fn config() -> Config {
    Config {
        volume_type: Some("rbd".to_owned()),
        ..Config::of(Cinder::shared().reached())
    }
}

/// With connections of its own, as another process has them.
fn open(config: Config) -> CinderStore {
    let connections = Arc::new(Connections::new(96 * MIB));
    CinderStore::open(StoreId::new("cinder1"), config, connections).unwrap()
}

async fn intend(store: &CinderStore, image: &ImageId) -> Intent {
    let intent = store.intend(image, Attempt::random(), None).await;
    intent.unwrap()
}

async fn put(store: &CinderStore, content: &[u8]) -> (ImageId, String) {
    let image = ImageId::random();
    let intent = intend(store, &image).await;
    (image, write(store, &intent, content).await.unwrap())
}

async fn write(store: &CinderStore, intent: &Intent, content: &[u8]) -> Result<String> {
    let mut writer = store.writer(intent, Some(content.len() as u64)).await?;
    for piece in content.chunks(MIB) {
        writer.write(Chunk::new(piece.to_vec().into())).await?;
    }
    Ok(writer.commit().await?.url)
}

fn whole(content: &[u8]) -> ByteRange {
    ByteRange::whole(content.len() as u64)
}

async fn reader(store: &CinderStore, url: &str, range: ByteRange) -> Result<Box<dyn Reader>> {
    let pool = Pool::new(32 * MIB, std::slice::from_ref(store.id()));
    let claim = pool.claim(store.id(), Duration::MAX);
    store.reader(url, range, claim).await
}

async fn drain(mut reader: Box<dyn Reader>) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    while let Some(Piece::Bytes(chunk)) = reader.next().await? {
        content.extend_from_slice(chunk.bytes());
    }
    Ok(content)
}

async fn read(store: &CinderStore, url: &str, range: ByteRange) -> Result<Vec<u8>> {
    drain(reader(store, url, range).await?).await
}
