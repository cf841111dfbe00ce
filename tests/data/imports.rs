//! Imports whose node loses its lease, finds no buffers, or ends: what was staged is still there, and is
//! imported by whoever comes next.

use std::{sync::Arc, time::Duration};

use fresnel::{
    base::limits::MIB,
    buf::{Admission, Pool},
    control::{
        Control, Db, Leases, Settings,
        db::{self, Job, JobId, JobKind, NodeId, Viewer},
        import::{self, ImportRequest, Method},
        job,
        upload::{Destination, Running, UploadRequest},
    },
    data::{self, DeclaredSize, Plane, digest::Engine, encrypt::Vault},
    model::{Attempt, Image, ImageId, Status, StoreId},
    store::{Registry, Store, memory::MemoryStore},
};
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    record::{caller, queued},
    rig::{Sender, content},
};

/// Nobody renews it here.
const LEASE: Duration = Duration::from_secs(600);
/// Far longer than a job rests that was begun for nothing.
const PATIENCE: Duration = Duration::from_secs(60);
const LEN: usize = MIB + 1;

/// A node that works on jobs, with an image that is staged.
struct Node {
    control: Arc<Control>,
    plane: Arc<Plane>,
    store: Arc<MemoryStore>,
    staging: Arc<MemoryStore>,
    image: ImageId,
    jobs: JoinHandle<()>,
    _dir: TempDir,
}

impl Node {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = db::Config {
            url: format!("sqlite:///{}", dir.path().join("db.sqlite").display()),
            ..db::Config::default()
        };
        let db = Db::connect(&config).await.unwrap();
        let leases = Leases::join(db.clone(), LEASE).await.unwrap();
        let memory = |id| Arc::new(MemoryStore::new(StoreId::new(id)));
        let (store, staging) = (memory("memory"), memory(import::Settings::STAGING_STORE));
        let stores = Registry::new(vec![store.clone(), staging.clone()], store.id().clone());
        let plane = Arc::new(Plane {
            stores: stores.clone(),
            pool: Pool::new(8 * MIB, &[store.id().clone(), staging.id().clone()]),
            engine: Engine::new(2).unwrap(),
            vault: Vault::default(),
            settings: data::Settings {
                admission_wait: Duration::from_millis(100),
                ..data::Settings::default()
            },
        });
        let control = Arc::new(Control::new(db, stores, Settings::default(), leases));
        let image = queued();
        control.db.image_create(&image).await.unwrap();
        let node = Self {
            jobs: tokio::spawn(job::run(control.clone(), plane.clone())),
            control,
            plane,
            store,
            staging,
            image: image.id,
            _dir: dir,
        };
        node.stage().await;
        node
    }

    async fn stage(&self) {
        let request = UploadRequest {
            is_plain: false,
            image: self.image.clone(),
            size: DeclaredSize::Unknown,
            to: Destination::Staging,
            token: None,
        };
        let (control, plane) = (self.control.clone(), self.plane.clone());
        let source = Box::new(Sender::of(&content(LEN), &[100_000]));
        let staging = Running::start(control, plane, caller(), request, source);
        staging.outcome().await.unwrap();
    }

    async fn import(&self) {
        let request = ImportRequest {
            image: self.image.clone(),
            method: Method::GlanceDirect,
            web: None,
            remote: None,
            token: None,
            stores: None,
            all_stores: false,
            must_succeed: true,
            store: None,
            body: serde_json::Value::Null,
        };
        self.control.import(&caller(), &request).await.unwrap();
    }

    /// All buffers of a store's share.
    async fn hold(&self, store: &MemoryStore) -> Vec<Admission> {
        let mut held = Vec::new();
        while let Ok(more) = self.plane.pool.admit(store.id(), Duration::ZERO).await {
            held.push(more);
        }
        held
    }

    /// Begins an import that waits for what it reads until that is let go; returns its job too.
    async fn import_slowly(&self) -> (JobId, Vec<Admission>) {
        let held = self.hold(&self.staging).await;
        self.import().await;
        until(async || !self.store.is_empty()).await;
        let lock = &self.record().await.properties["os_glance_import_task"];
        (lock.as_ref().unwrap().parse().unwrap(), held)
    }

    /// Puts an object where the image's would go.
    async fn occupy(&self) {
        let intent = self.store.intend(&self.image, Attempt::random(), None);
        let intent = intent.await.unwrap();
        let writer = self.store.writer(&intent, None).await.unwrap();
        writer.commit().await.unwrap();
    }

    async fn waiting(&self) -> Vec<Job> {
        let waiting = self.control.db.jobs_waiting(&JobKind::ALL, 10);
        waiting.await.unwrap()
    }

    /// It is imported as a whole, and nothing is staged any more.
    async fn ends_well(&self) {
        until(async || self.record().await.status == Status::Active).await;
        let image = self.record().await;
        assert!(self.store.bytes(&image.locations[0].url).unwrap() == content(LEN));
        until(async || self.staging.is_empty()).await;
    }

    async fn record(&self) -> Image {
        let viewer = Viewer::everything();
        let found = self.control.db.image(&self.image, &viewer).await;
        found.unwrap().image
    }

    async fn lease_is(&self, lease: Duration) {
        let node = self.control.leases.node();
        self.control.db.node_beat(node, lease).await.unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.jobs.abort();
    }
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let reached = timeout(PATIENCE, async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    reached.await.unwrap();
}

#[tokio::test]
async fn a_node_that_ends_takes_no_more() {
    let node = Node::new().await;
    node.control.leases.drain(Duration::ZERO).await;
    node.import().await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(node.waiting().await[0].attempts, 0);
}

#[tokio::test]
async fn an_import_without_buffers_is_begun_again() {
    let node = Node::new().await;
    let held = node.hold(&node.store).await;
    node.import().await;
    sleep(node.plane.settings.admission_wait * 10).await;
    assert_eq!(node.record().await.status, Status::Importing);
    drop(held);
    node.ends_well().await;
}

/// Nobody else has taken it: it would wait for ever, as it is this node's, which lives.
#[tokio::test]
async fn an_import_whose_nodes_lease_was_late_is_begun_again() {
    let node = Node::new().await;
    let (_, held) = node.import_slowly().await;
    node.lease_is(Duration::ZERO).await;
    let is_given_back = async || {
        let waiting = node.waiting().await;
        waiting.iter().any(|job| job.attempts == 0)
    };
    until(is_given_back).await;
    node.lease_is(LEASE).await;
    drop(held);
    node.ends_well().await;
}

/// The node that has it now is reading it.
#[tokio::test]
async fn an_import_that_another_has_taken_over_leaves_what_is_staged() {
    let node = Node::new().await;
    let (job, held) = node.import_slowly().await;
    node.lease_is(Duration::ZERO).await;
    let heir = NodeId::random();
    node.control.db.node_join(heir, LEASE).await.unwrap();
    assert!(node.control.db.job_claim(job, heir).await.unwrap());
    node.occupy().await;
    drop(held);
    sleep(Duration::from_secs(1)).await;
    assert!(!node.staging.is_empty());
    assert!(node.control.db.job_holds(job, heir).await.unwrap());
}
