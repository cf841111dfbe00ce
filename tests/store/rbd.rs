//! RBD stores on a real cluster.

use std::{process::Stdio, sync::Arc};

use fresnel::{
    buf::{Chunk, Pool},
    model::{Attempt, ByteRange, ImageId, StoreId},
    store::{
        Error, Intent, Piece, Store, Verdict, conformance,
        rbd::{Config, Connections, RbdStore},
    },
};
use serde_json::Value;

use crate::support::lab::{self, Ceph};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn images_in_a_pool_conform() {
    conformance::all(&open(config())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_with_their_data_elsewhere_and_thick_conform() {
    let config = Config {
        data_pool: Some("images-data".into()),
        thin_provisioning: false,
        order: 22,
        ..config()
    };
    conformance::all(&open(config)).await;
}

/// What Nova and Cinder look at (reference E.2, E.9).
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_as_glance_leaves_it() {
    let store = open(config());
    let content = vec![7; 9 * MIB + 5];
    let (image, url) = put(&store, &content, None).await;
    let fsid = lab::run(ceph().command("ceph", "admin").arg("fsid"));
    assert_eq!(url, format!("rbd://{}/images/{image}/snap", fsid.trim()));
    let info = info(image.as_str());
    assert_eq!(info["size"], 9 * MIB + 5);
    assert_eq!(info["object_size"], 8 * MIB);
    assert_eq!(info["format"], 2);
    let snapshots = rbd(&["snap", "ls", "--format", "json", &format!("images/{image}")]);
    let snapshots: Value = serde_json::from_str(&snapshots).unwrap();
    assert_eq!(snapshots.as_array().unwrap().len(), 1);
    assert_eq!(snapshots[0]["name"], "snap");
    assert_eq!(snapshots[0]["protected"], "true");
    assert!(rbd_export(&format!("images/{image}@snap")) == content);
    store.delete(&url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_short_address_is_read_too() {
    let store = open(config());
    let (image, url) = put(&store, b"short", None).await;
    let short = format!("rbd://{image}");
    assert!(store.owns(&short));
    assert_eq!(store.size(&short).await.unwrap(), 5);
    store.delete(&url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_object_is_written_for_zeroes() {
    let store = open(config());
    let mut content = vec![0; 40 * MIB];
    content[17 * MIB] = 1;
    let (image, url) = put(&store, &content, None).await;
    let usage = rbd(&["diff", "--format", "json", &format!("images/{image}@snap")]);
    let extents: Value = serde_json::from_str(&usage).unwrap();
    let written: u64 = extents
        .as_array()
        .unwrap()
        .iter()
        .map(|extent| extent["length"].as_u64().unwrap())
        .sum();
    assert!(written <= 8 * MIB as u64, "{extents}");
    assert!(get(&store, &url, content.len()).await == content);
    store.delete(&url).await.unwrap();
}

/// An image that has clones of format 1 stays as it is, however often it is tried.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_with_clones_is_in_use() {
    let store = open(config());
    let (image, url) = put(&store, b"cloned", None).await;
    assert!(!store.in_use(&url).await.unwrap());
    let child = format!("volumes/{}", ImageId::random());
    let parent = format!("images/{image}@snap");
    let clone = ["clone", "--rbd-default-clone-format", "1", &parent, &child];
    lab::run(ceph().command("rbd", "cinder").args(clone));
    for _ in 0..2 {
        assert!(store.in_use(&url).await.unwrap());
        let error = store.delete(&url).await.unwrap_err();
        assert!(matches!(error, Error::Busy(_)), "{error:?}");
    }
    let snapshots = rbd(&["snap", "ls", "--format", "json", &format!("images/{image}")]);
    assert!(snapshots.contains(r#""protected":"true""#), "{snapshots}");
    lab::run(
        ceph()
            .command("rbd", "cinder")
            .args(["rm", "--no-progress", &child]),
    );
    store.delete(&url).await.unwrap();
}

/// Clones of format 2 do not hinder; the image waits for them in the trash.
#[tokio::test(flavor = "multi_thread")]
async fn clones_of_format_2_outlive_their_image() {
    let store = open(config());
    let (image, url) = put(&store, b"cloned twice", None).await;
    let child = format!("volumes/{}", ImageId::random());
    let parent = format!("images/{image}@snap");
    let clone = ["clone", "--rbd-default-clone-format", "2", &parent, &child];
    lab::run(ceph().command("rbd", "cinder").args(clone));
    store.delete(&url).await.unwrap();
    assert!(matches!(store.size(&url).await, Err(Error::NotFound(_))));
    let trash = rbd(&["trash", "ls", "images"]);
    assert!(trash.contains(image.as_str()), "{trash}");
    let child_content = lab_export("cinder", &child);
    assert!(child_content.starts_with(b"cloned twice"));
    lab::run(
        ceph()
            .command("rbd", "cinder")
            .args(["rm", "--no-progress", &child]),
    );
    // The next look into the trash finds that nobody needs it any more.
    let again = open(config());
    eventually("the trash is emptied", || {
        !rbd(&["trash", "ls", "images"]).contains(image.as_str())
    })
    .await;
    drop(again);
}

/// Another process's writer is shut out, and what it had published is taken back.
#[tokio::test(flavor = "multi_thread")]
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
    assert!(!rbd(&["ls", "images"]).contains(image.as_str()));
    writer.commit().await.expect_err("it is shut out");
    assert!(!rbd(&["ls", "images"]).contains(image.as_str()));
    // Its next upload has a connection of its own.
    let (_, url) = put(&theirs, b"again", None).await;
    theirs.delete(&url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_nothing_wrong() {
    let findings = open(config()).check().await;
    assert!(!findings.is_empty());
    for finding in &findings {
        assert_eq!(finding.verdict, Verdict::Good, "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_is_wrong() {
    let wrong = |config: Config| async move {
        let findings = open(config).check().await;
        let last = findings.last().unwrap().clone();
        assert_eq!(last.verdict, Verdict::Wrong, "{last}");
        last.text
    };
    let said = wrong(Config {
        pool: "no-such-pool".into(),
        ..config()
    });
    assert!(said.await.contains("no pool no-such-pool"));
    let said = wrong(Config {
        user: Some("nobody".into()),
        ..config()
    });
    assert!(said.await.contains("no keyring for client.nobody"));
    let said = wrong(Config {
        ceph_conf: Some("/nowhere/ceph.conf".into()),
        ..config()
    });
    assert!(said.await.contains("there is no /nowhere/ceph.conf"));
    let said = wrong(Config {
        pool: "volumes".into(),
        ..config()
    });
    assert!(said.await.contains("osd 'profile rbd pool=volumes'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_tells_its_id() {
    let details = open(config()).details().await;
    let fsid = lab::run(ceph().command("ceph", "admin").arg("fsid"));
    assert_eq!(details["fsid"], fsid.trim());
}

fn ceph() -> &'static Ceph {
    lab::ceph()
}

fn config() -> Config {
    Config {
        ceph_conf: Some(ceph().conf.display().to_string()),
        user: Some("glance".into()),
        ..Config::in_pool("images")
    }
}

/// With connections of its own, as another process has them.
fn open(config: Config) -> RbdStore {
    let connections = Arc::new(Connections::new(96 * MIB));
    RbdStore::open(StoreId::new("rbd"), config, connections).unwrap()
}

async fn intend(store: &RbdStore, image: &ImageId) -> Intent {
    let intent = store.intend(image, Attempt::random(), None).await;
    intent.unwrap()
}

async fn put(store: &RbdStore, content: &[u8], size: Option<u64>) -> (ImageId, String) {
    let image = ImageId::random();
    let intent = intend(store, &image).await;
    let mut writer = store.writer(&intent, size).await.unwrap();
    for piece in content.chunks(MIB) {
        let chunk = Chunk::new(piece.to_vec().into());
        writer.write(chunk).await.unwrap();
    }
    (image, writer.commit().await.unwrap().url)
}

async fn get(store: &RbdStore, url: &str, len: usize) -> Vec<u8> {
    let pool = Pool::new(32 * MIB, std::slice::from_ref(store.id()));
    let claim = pool.claim(store.id(), std::time::Duration::MAX);
    let whole = ByteRange::whole(len as u64);
    let mut reader = store.reader(url, whole, claim).await.unwrap();
    let mut content = Vec::new();
    while let Some(Piece::Bytes(chunk)) = reader.next().await.unwrap() {
        content.extend_from_slice(chunk.bytes());
    }
    content
}

fn rbd(arguments: &[&str]) -> String {
    lab::run(ceph().command("rbd", "glance").args(arguments))
}

fn info(image: &str) -> Value {
    let info = rbd(&["info", "--format", "json", &format!("images/{image}")]);
    serde_json::from_str(&info).unwrap()
}

fn rbd_export(image: &str) -> Vec<u8> {
    lab_export("glance", image)
}

fn lab_export(user: &str, image: &str) -> Vec<u8> {
    let mut export = ceph().command("rbd", user);
    export.args(["export", "--no-progress", image, "-"]);
    let output = export.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Waits for what happens in the background.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
