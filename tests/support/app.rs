//! The API in this process: the real routes over SQLite and a store in memory, behind a real
//! listener.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use fresnel::{
    api::{self, Api},
    base::limits::MIB,
    buf::{Chunk, Pool},
    client::{
        key_manager::Keyring,
        web::{self, Web},
    },
    control::{Control, Db, Leases, Settings, StoreSettings, db, import, job},
    data::{self, Plane, digest::Engine, encrypt::Vault},
    http::{self, Config, Listener, Shutdown, drain, serve},
    model::{Attempt, ImageId, StoreId},
    store::{Registry, Store, memory::MemoryStore},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{
    reference::Reference,
    wait_until,
    wire::{Request, Response, Upload, exchange},
};

/// What a background job may take.
const PATIENCE: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(60);

/// A running API with an empty database and an empty store.
pub(crate) struct TestApp {
    address: SocketAddr,
    pub(crate) store: Arc<MemoryStore>,
    /// Takes images only when it is named.
    pub(crate) other: Arc<MemoryStore>,
    pub(crate) staging: Arc<MemoryStore>,
    keyring: PathBuf,
    control: Arc<Control>,
    reference: OnceLock<Reference>,
    _shutdown: Shutdown,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl TestApp {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default(), api::Settings::default())
    }

    /// The store is called `memory`.
    pub(crate) fn with(settings: Settings, api: api::Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let memory = |id| Arc::new(MemoryStore::new(StoreId::new(id)));
        let (store, other) = (memory("memory"), memory("other"));
        let staging = memory(import::Settings::STAGING_STORE);
        let stores = [&store, &other, &staging].map(|store| store.clone() as Arc<dyn Store>);
        let config = db::Config {
            url: format!("sqlite:///{}", folder.path().join("db.sqlite").display()),
            ..db::Config::default()
        };
        let keyring = folder.path().join("keyring");
        let keys = keyring.clone();
        let (address, control, shutdown) = runtime.block_on(async {
            let api = Arc::new(assemble(config, settings, api, stores.into(), keys).await);
            let config = Config {
                bind_port: 0,
                ..Config::default()
            };
            let listener = Listener::bind(&config).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (shutdown, drain) = drain();
            let control = api.control.clone();
            tokio::spawn(serve(listener, api as Arc<dyn http::Handler>, drain));
            (address, control, shutdown)
        });
        Self {
            address,
            store,
            other,
            staging,
            keyring,
            control,
            reference: OnceLock::new(),
            _shutdown: shutdown,
            runtime,
            _folder: folder,
        }
    }

    /// The directory of certificates; there is none yet.
    pub(crate) fn keyring(&self) -> &Path {
        &self.keyring
    }

    /// What is decided for callers whom no request here comes from.
    pub(crate) fn decide<T>(&self, decision: impl AsyncFnOnce(&Control) -> T) -> T {
        self.runtime.block_on(decision(&self.control))
    }

    /// One request; JSON errors unless it asks for others. The answer must be one of the reference's.
    #[track_caller]
    pub(crate) fn ask(&self, mut request: Request) -> Response {
        let mut names = request.headers.iter().map(|(name, _)| name);
        if !names.any(|name| name.eq_ignore_ascii_case("accept")) {
            request = request.header("Accept", "application/json");
        }
        let response = exchange(self.address, &request).unwrap();
        let reference = self.reference.get_or_init(|| {
            let asked = Request::new("GET", "/v2/openapi.json");
            Reference::new(exchange(self.address, &asked).unwrap().json())
        });
        reference.check(&request, &response);
        response
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.ask(Request::new("GET", target))
    }

    /// A chunked upload that has begun.
    pub(crate) fn begin(&self, target: &str) -> Upload {
        Upload::begin(self.address, target).unwrap()
    }

    #[track_caller]
    pub(crate) fn delete(&self, target: &str) -> Response {
        self.ask(Request::new("DELETE", target))
    }

    #[track_caller]
    pub(crate) fn post(&self, target: &str, body: &Value) -> Response {
        self.ask(Request::new("POST", target).body(body.to_string()))
    }

    #[track_caller]
    pub(crate) fn put(&self, target: &str) -> Response {
        self.ask(Request::new("PUT", target))
    }

    /// Version 2.1.
    #[track_caller]
    pub(crate) fn patch(&self, target: &str, operations: &Value) -> Response {
        let media_type = "application/openstack-images-v2.1-json-patch";
        let request = Request::new("PATCH", target).header("Content-Type", media_type);
        self.ask(request.body(operations.to_string()))
    }

    /// Creates an image and returns its path.
    #[track_caller]
    pub(crate) fn create(&self, image: &Value) -> String {
        let created = self.post("/v2/images", image);
        assert_eq!(created.status, 201, "{}", text(&created));
        created.json()["self"].as_str().unwrap().to_owned()
    }

    /// Puts an object into the store that no image has, and returns its address.
    #[track_caller]
    pub(crate) fn object(&self, bytes: &[u8]) -> String {
        let chunk = Chunk::new(bytes.to_vec().into());
        let image = ImageId::random();
        self.runtime.block_on(async {
            let intent = self.store.intend(&image, Attempt::random(), None);
            let intent = intent.await.unwrap();
            let mut writer = self.store.writer(&intent, None).await.unwrap();
            writer.write(chunk).await.unwrap();
            writer.commit().await.unwrap().url
        })
    }

    /// Puts an object where a store would put that image's, so that it cannot.
    #[track_caller]
    pub(crate) fn occupy(&self, store: &MemoryStore, image: &str) {
        let image = ImageId::new(image.rsplit('/').next().unwrap());
        self.runtime.block_on(async {
            let intent = store.intend(&image, Attempt::random(), None).await.unwrap();
            let writer = store.writer(&intent, None).await.unwrap();
            writer.commit().await.unwrap();
        });
    }

    /// Stages data for an image.
    pub(crate) fn stage(&self, image: &str, bytes: &[u8]) -> Response {
        let request = Request::new("PUT", &format!("{image}/stage"))
            .header("Content-Type", "application/octet-stream");
        self.ask(request.body(bytes))
    }

    /// What rests of an image that is staged.
    #[track_caller]
    pub(crate) fn staged(&self, image: &str) -> Vec<u8> {
        let id = image.rsplit('/').next().unwrap();
        let store = import::Settings::STAGING_STORE;
        let url = format!("memory://{store}/{id}");
        self.staging.bytes(&url).unwrap().to_vec()
    }

    /// The image, once no task has it any more.
    #[track_caller]
    pub(crate) fn imported(&self, image: &str) -> Value {
        let free = || {
            self.get(image)
                .json()
                .get("os_glance_import_task")
                .is_none()
        };
        assert!(wait_until(PATIENCE, free), "{}", self.get(image).json());
        self.get(image).json()
    }

    /// The task at that path, once it has ended.
    #[track_caller]
    pub(crate) fn ended(&self, task: &str) -> Value {
        let is_over = || {
            let status = self.get(task).json()["status"].clone();
            status == "success" || status == "failure"
        };
        assert!(wait_until(PATIENCE, is_over), "{}", self.get(task).json());
        self.get(task).json()
    }

    /// Whether there is an object at the address.
    pub(crate) fn has_object(&self, url: &str) -> bool {
        self.runtime.block_on(self.store.size(url)).is_ok()
    }

    /// Creates an image with these bytes, raw and bare.
    #[track_caller]
    pub(crate) fn upload(&self, bytes: &[u8]) -> String {
        let image =
            self.create(&serde_json::json!({"disk_format": "raw", "container_format": "bare"}));
        let request = Request::new("PUT", &format!("{image}/file"))
            .header("Content-Type", "application/octet-stream");
        assert_eq!(self.ask(request.body(bytes)).status, 204);
        image
    }
}

/// What a client reads in an error.
pub(crate) fn text(response: &Response) -> String {
    let body = String::from_utf8_lossy(&response.body);
    match serde_json::from_str::<Value>(&body) {
        Ok(body) => {
            let message = body["message"].as_str().unwrap_or_default();
            message.replace("<br /><br />", "").trim().to_owned()
        }
        Err(_) => body.into_owned(),
    }
}

/// One store of multi-store mode.
pub(crate) fn multistore(settings: Settings) -> Settings {
    Settings {
        multistore: true,
        stores: vec![StoreSettings {
            id: StoreId::new("memory"),
            description: Some("for tests".into()),
            weight: 7,
            read_only: false,
            properties: serde_json::Map::new(),
            encryption_key: None,
        }],
        ..settings
    }
}

async fn assemble(
    config: db::Config,
    settings: Settings,
    api: api::Settings,
    stores: Vec<Arc<dyn Store>>,
    keyring: PathBuf,
) -> Api {
    let db = Db::connect(&config).await.unwrap();
    let leases = Leases::join(db.clone(), LEASE).await.unwrap();
    let ids: Vec<StoreId> = stores.iter().map(|store| store.id().clone()).collect();
    let stores = Registry::new(stores, ids[0].clone());
    let plane = Plane {
        stores: stores.clone(),
        pool: Pool::new(8 * MIB, &ids),
        engine: Engine::new(1).unwrap(),
        vault: Vault::default(),
        settings: data::Settings::default(),
    };
    let control = Arc::new(Control {
        keys: Some(Arc::new(Keyring::new(keyring))),
        web: Some(web()),
        ..Control::new(db, stores, settings, leases)
    });
    let plane = Arc::new(plane);
    tokio::spawn(job::run(control.clone(), plane.clone()));
    Api::new(control, plane, api).unwrap()
}

/// Servers of this host may be asked, and must not be silent for long.
fn web() -> Web {
    let policy = web::Policy {
        hosts: web::List {
            allowed: vec![web::Host::parse("127.0.0.1").unwrap()],
            disallowed: Vec::new(),
        },
        ports: web::List::default(),
        ..web::Policy::default()
    };
    let config = web::Config {
        timeouts: web::Timeouts {
            answer: Duration::from_secs(1),
            ..web::Timeouts::default()
        },
        ..web::Config::default()
    };
    Web::new(Arc::new(policy), config).unwrap()
}
