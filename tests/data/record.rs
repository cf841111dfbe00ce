//! Uploads with their records: whatever ends an upload, the image is `active` with its bytes, or
//! as it was, with nothing in the store.

use std::{sync::Arc, time::Duration};

use fresnel::{
    base::limits::MIB,
    buf::Pool,
    control::{
        Caller, Control, Db, Error, Leases, Settings,
        db::{self, NewWrite},
        download::DownloadRequest,
        sweep,
        upload::{Destination, Running, UploadRequest},
    },
    data::{self, DeclaredSize, Plane, digest::Engine, encrypt::Vault},
    model::{Attempt, Image, ImageId, RangeRequest, Status, StoreId},
    store::{
        Registry, Store,
        flaky::{Fault, Flaky},
        memory::MemoryStore,
    },
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::rig::{Act, Sender, content, read};

pub(super) const LEASE: Duration = Duration::from_secs(60);

/// One node with a database of its own.
pub(super) struct Node {
    pub(super) control: Arc<Control>,
    pub(super) plane: Arc<Plane>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) image: ImageId,
    _dir: TempDir,
}

impl Node {
    /// With a queued image.
    pub(super) async fn new(lease: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}", dir.path().join("db.sqlite").display());
        let config = db::Config {
            url,
            ..db::Config::default()
        };
        let db = Db::connect(&config).await.unwrap();
        let leases = Leases::join(db.clone(), lease).await.unwrap();
        let store = Arc::new(MemoryStore::new(StoreId::new("memory")));
        let stores = Registry::new(vec![store.clone()], store.id().clone());
        let plane = Plane {
            stores: stores.clone(),
            pool: Pool::new(8 * MIB, &[store.id().clone()]),
            engine: Engine::new(2).unwrap(),
            vault: Vault::default(),
            settings: data::Settings {
                admission_wait: Duration::from_secs(1),
                ..data::Settings::default()
            },
        };
        let control = Control::new(db, stores, Settings::default(), leases);
        let image = queued();
        control.db.image_create(&image).await.unwrap();
        Self {
            control: Arc::new(control),
            plane: Arc::new(plane),
            store,
            image: image.id,
            _dir: dir,
        }
    }

    fn upload(&self, sender: Sender) -> Running {
        let request = UploadRequest {
            is_plain: false,
            image: self.image.clone(),
            size: DeclaredSize::Unknown,
            to: Destination::Store(None),
            token: None,
        };
        let (control, plane) = (self.control.clone(), self.plane.clone());
        Running::start(control, plane, caller(), request, Box::new(sender))
    }

    pub(super) async fn record(&self) -> Image {
        let found = self.control.db.image(&self.image, &caller().viewer()).await;
        found.unwrap().image
    }

    async fn bytes(&self) -> Vec<u8> {
        let request = DownloadRequest {
            is_plain: false,
            token: None,
            image: self.image.clone(),
            range: Ok(RangeRequest::Whole),
            prefer: Vec::new(),
        };
        let download = self.control.download_plan(&caller(), request).await;
        read(&self.plane, &download.unwrap().unwrap().plan)
            .await
            .unwrap()
    }

    /// The image takes a new upload, as if nothing had been.
    pub(super) async fn assert_as_new(&self) {
        assert!(self.store.is_empty());
        let image = self.record().await;
        assert_eq!(image.status, Status::Queued);
        assert_eq!(
            (image.size_bytes, image.checksum, image.os_hash_value),
            (None, None, None)
        );
        assert!(image.locations.is_empty());
        self.upload(Sender::of(b"retry", &[]))
            .outcome()
            .await
            .unwrap();
        assert_eq!(self.bytes().await, b"retry");
    }
}

pub(super) fn caller() -> Caller {
    Caller::unauthenticated("req-test".to_owned())
}

pub(super) fn queued() -> Image {
    Image {
        container_format: Some("bare".to_owned()),
        disk_format: Some("raw".to_owned()),
        ..Image::queued(ImageId::random(), chrono::Utc::now().naive_utc())
    }
}

/// A sender that says when its first bytes were taken, and then nothing more.
fn stuck() -> (Sender, oneshot::Receiver<()>) {
    let (begun, begins) = oneshot::channel();
    let acts = [
        Act::Send(content(2 * MIB).into()),
        Act::Tell(begun),
        Act::Hang,
    ];
    (Sender::new(acts), begins)
}

/// Until the image is there, for at most the test's patience.
pub(super) async fn until(node: &Node, status: Status) {
    let patience = Duration::from_secs(30);
    let reached = tokio::time::timeout(patience, async {
        while node.record().await.status != status {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    reached.await.unwrap();
}

#[tokio::test]
async fn an_upload_ends_active() {
    let node = Node::new(LEASE).await;
    let content = content(3 * MIB + 1);
    node.upload(Sender::of(&content, &[100_000]))
        .outcome()
        .await
        .unwrap();
    let image = node.record().await;
    assert_eq!(image.status, Status::Active);
    assert_eq!(image.size_bytes, Some(content.len() as u64));
    assert_eq!(image.virtual_size_bytes, image.size_bytes);
    assert_eq!(image.os_hash_algo.as_deref(), Some("sha512"));
    assert_eq!(image.checksum.unwrap().len(), 32);
    assert!(node.bytes().await == content);
}

#[tokio::test]
async fn a_broken_upload_leaves_the_image_as_new() {
    let node = Node::new(LEASE).await;
    let acts = [Act::Send(content(2 * MIB).into()), Act::Break];
    let error = node.upload(Sender::new(acts)).outcome().await.unwrap_err();
    assert!(
        matches!(error, Error::Data(data::Error::Client(_))),
        "{error}"
    );
    node.assert_as_new().await;
}

#[tokio::test]
async fn a_client_that_goes_leaves_the_image_as_new() {
    let node = Node::new(LEASE).await;
    let (sender, begins) = stuck();
    let running = node.upload(sender);
    begins.await.unwrap();
    drop(running);
    until(&node, Status::Queued).await;
    node.assert_as_new().await;
}

#[tokio::test]
async fn a_second_upload_is_refused() {
    let node = Node::new(LEASE).await;
    let (sender, begins) = stuck();
    let _first = node.upload(sender);
    begins.await.unwrap();
    let error = node
        .upload(Sender::of(b"x", &[]))
        .outcome()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Image status transition from saving to saving is not allowed"
    );
}

#[tokio::test]
async fn an_image_deleted_meanwhile_is_gone() {
    let node = Node::new(LEASE).await;
    let (sender, begins) = stuck();
    let running = node.upload(sender);
    begins.await.unwrap();
    let saving = node.record().await;
    node.control.db.image_delete(&saving).await.unwrap();
    node.control.leases.image_deleted(&node.image);
    let error = running.outcome().await.unwrap_err();
    assert!(matches!(error, Error::GoneDuringUpload(_)), "{error}");
    assert!(node.store.is_empty());
}

/// Nobody told this node: the last move fails, and the object is removed.
#[tokio::test]
async fn an_image_deleted_elsewhere_is_gone_at_the_last_move() {
    let node = Node::new(LEASE).await;
    let (begun, begins) = oneshot::channel();
    let (go, goes) = oneshot::channel();
    let acts = [
        Act::Send(content(10).into()),
        Act::Tell(begun),
        Act::Await(goes),
    ];
    let running = node.upload(Sender::new(acts));
    begins.await.unwrap();
    let saving = node.record().await;
    node.control.db.image_delete(&saving).await.unwrap();
    go.send(()).unwrap();
    let error = running.outcome().await.unwrap_err();
    assert!(matches!(error, Error::GoneDuringUpload(_)), "{error}");
    assert!(node.store.is_empty());
}

/// And the heartbeat hears of it, while the sender is silent.
#[tokio::test]
async fn the_heartbeat_stops_what_was_deleted_elsewhere() {
    let node = Node::new(Duration::from_secs(3)).await;
    let leases = node.control.leases.clone();
    let heart = tokio::spawn(async move { leases.keep().await });
    let (sender, begins) = stuck();
    let running = node.upload(sender);
    begins.await.unwrap();
    let saving = node.record().await;
    node.control.db.image_delete(&saving).await.unwrap();
    let error = running.outcome().await.unwrap_err();
    assert!(matches!(error, Error::GoneDuringUpload(_)), "{error}");
    assert!(node.store.is_empty());
    heart.abort();
}

/// A node that is swept while it sleeps publishes nothing when it wakes.
#[tokio::test]
async fn a_swept_upload_publishes_nothing() {
    let node = Node::new(LEASE).await;
    let (begun, begins) = oneshot::channel();
    let (go, goes) = oneshot::channel();
    let acts = [
        Act::Send(content(10).into()),
        Act::Tell(begun),
        Act::Await(goes),
    ];
    let running = node.upload(Sender::new(acts));
    begins.await.unwrap();
    // The lease runs out: another node finds the row.
    node.control
        .db
        .node_leave(node.control.leases.node())
        .await
        .unwrap();
    let other = other_node(&node).await;
    sweep::once(&other).await;
    assert_eq!(node.record().await.status, Status::Queued);
    assert!(node.store.is_empty());
    go.send(()).unwrap();
    running.outcome().await.unwrap_err();
    assert_eq!(node.record().await.status, Status::Queued);
    assert!(node.store.is_empty());
}

/// A sweep that fails half-way has fenced the attempt: the same node tries again.
#[tokio::test]
async fn a_sweep_that_fails_is_repeated() {
    let node = Node::new(LEASE).await;
    let (sender, begins) = stuck();
    let _running = node.upload(sender);
    begins.await.unwrap();
    let dead = node.control.leases.node();
    node.control.db.node_leave(dead).await.unwrap();
    let mut other = other_node(&node).await;
    let flaky = Flaky::new(node.store.clone(), Fault::Before(0));
    other.stores = Registry::new(vec![Arc::new(flaky)], node.store.id().clone());
    sweep::once(&other).await;
    assert_eq!(node.record().await.status, Status::Saving);
    sweep::once(&other).await;
    assert_eq!(node.record().await.status, Status::Queued);
    assert!(node.store.is_empty());
}

/// A heartbeat that finds the lease gone stops the transfers and goes on as another node.
#[tokio::test]
async fn a_lost_lease_stops_its_uploads() {
    let node = Node::new(Duration::from_secs(3)).await;
    let before = node.control.leases.node();
    let (sender, begins) = stuck();
    let running = node.upload(sender);
    begins.await.unwrap();
    node.control.db.node_leave(before).await.unwrap();
    let leases = node.control.leases.clone();
    let heart = tokio::spawn(async move { leases.keep().await });
    let error = running.outcome().await.unwrap_err();
    assert!(error.to_string().contains("lease"), "{error}");
    assert_ne!(node.control.leases.node(), before);
    sweep::once(&node.control).await;
    node.assert_as_new().await;
    heart.abort();
}

/// The connection broke in the commit, and the database has recorded the beginning after all.
#[tokio::test]
async fn an_upload_that_was_recorded_late_is_ended() {
    let node = Node::new(LEASE).await;
    let queued = node.record().await;
    let mut saving = queued.clone();
    saving.status = Status::Saving;
    let writes = [NewWrite {
        attempt: Attempt::random(),
        node: node.control.leases.node(),
        store: node.store.id().clone(),
        object: "never begun".to_owned(),
    }];
    let db = &node.control.db;
    let begun = db.write_begin(&queued, &saving, &writes, None);
    begun.await.unwrap();
    for _ in 0..2 {
        sweep::once(&node.control).await;
    }
    node.assert_as_new().await;
}

#[tokio::test]
async fn a_drained_node_leaves_images_as_new() {
    let node = Node::new(LEASE).await;
    let (sender, begins) = stuck();
    let running = node.upload(sender);
    begins.await.unwrap();
    node.control.leases.drain(Duration::ZERO).await;
    running.outcome().await.unwrap_err();
    assert_eq!(node.record().await.status, Status::Queued);
    assert!(node.store.is_empty());
}

/// Another process on the same database and store.
async fn other_node(node: &Node) -> Control {
    let db = node.control.db.clone();
    let leases = Leases::join(db.clone(), LEASE).await.unwrap();
    Control::new(db, node.control.stores.clone(), Settings::default(), leases)
}
