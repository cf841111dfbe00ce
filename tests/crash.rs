//! The real binary, ended in the middle of uploads: nothing half-published, nothing left, and the
//! image takes another upload.

mod import;
mod job;
mod kill;
mod sleep;
mod stop;
mod upload;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use fresnel::client::key_manager::Keyring;
use serde_json::{Value, json};

use crate::support::{
    lab,
    process::Fresnel,
    wait_until,
    wire::{Request, Response, exchange},
};

/// What the service promises after a crash, with the shortest lease.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

/// The shortest lease; senders may be silent for as long as a test likes.
const OPTIONS: &str = "lease_seconds = 3\nmin_rate_bytes_per_second = 0\n";

/// That of a key that both nodes have.
const KEY: &str = "6b5d1c5e-6a0c-4d55-9b8e-6f7f6f1f2a01";

/// Two nodes with one database and one directory of images.
struct Pair {
    left: Fresnel,
    right: Fresnel,
    images: PathBuf,
    staging: PathBuf,
    database: String,
    _folder: tempfile::TempDir,
}

impl Pair {
    /// On the database server that `up`, a script of the lab, starts.
    fn start(up: &str) -> Self {
        let database = format!("fresnel_crash_{}", uuid::Uuid::new_v4().simple());
        let url = lab::run(lab::script(up).args(["--database", &database]));
        let folder = tempfile::tempdir().unwrap();
        let (images, staging) = (folder.path().join("images"), folder.path().join("staging"));
        let keyring = folder.path().join("keyring");
        Keyring::new(keyring.clone())
            .import(KEY, b"hunter2")
            .unwrap();
        let lines = format!(
            "{OPTIONS}keyring_dir = {}\n[database]\nconnection = {}\n[glance_store]\nfilesystem_store_datadir = {}\n\
             [DEFAULT]\nnode_staging_uri = file://{}\n[import_filtering_opts]\n\
             allowed_hosts = 127.0.0.1\nallowed_ports =\n",
            keyring.display(),
            url.trim(),
            images.display(),
            staging.display()
        );
        let config = folder.path().join("sync.conf");
        std::fs::write(&config, format!("[fresnel]\n{lines}")).unwrap();
        let mut sync = Command::new(env!("CARGO_BIN_EXE_fresnel"));
        lab::run(sync.args(["db", "sync", "--config-file"]).arg(config));
        Self {
            left: Fresnel::start(&lines),
            right: Fresnel::start(&lines),
            images,
            staging,
            database: url.trim().to_owned(),
            _folder: folder,
        }
    }
}

/// Queues an image and returns its id.
fn queue(node: &Fresnel) -> String {
    queue_as(
        node,
        &json!({"disk_format": "raw", "container_format": "bare"}),
    )
}

/// The same of one that is to be encrypted.
fn queue_sealed(node: &Fresnel) -> String {
    let mut image = json!({"disk_format": "raw", "container_format": "bare"});
    image["os_encrypt_format"] = json!("LUKSv1");
    image["os_encrypt_key_id"] = json!(KEY);
    queue_as(node, &image)
}

fn queue_as(node: &Fresnel, image: &Value) -> String {
    let request = Request::new("POST", "/v2/images").header("Content-Type", "application/json");
    let request = request.body(image.to_string());
    let answer = exchange(node.address, &request).unwrap();
    assert_eq!(answer.status, 201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn status(node: &Fresnel, image: &str) -> String {
    let request = Request::new("GET", &format!("/v2/images/{image}"));
    let answer = exchange(node.address, &request).unwrap();
    assert_eq!(answer.status, 200);
    answer.json()["status"].as_str().unwrap().to_owned()
}

fn put(node: &Fresnel, image: &str, content: &[u8]) -> Response {
    let request = Request::new("PUT", &format!("/v2/images/{image}/file"));
    let request = request.header("Content-Type", "application/octet-stream");
    exchange(node.address, &request.body(content)).unwrap()
}

/// The plain bytes.
fn download(node: &Fresnel, image: &str) -> Vec<u8> {
    let request = Request::new("GET", &format!("/v2/images/{image}/file"));
    let request = request.header("X-Fresnel-Plain", "true");
    exchange(node.address, &request).unwrap().body
}

/// Within the promised time the image is out of `saving`.
fn settled(node: &Fresnel, image: &str) -> String {
    let left = wait_until(RECOVERY_LIMIT, || status(node, image) != "saving");
    assert!(left, "{image} is still saving:\n{}", node.log());
    status(node, image)
}

/// The image takes an upload, and it is the only file under `images`.
fn retry(node: &Fresnel, image: &str, images: &Path) {
    assert_eq!(files(images), Vec::<PathBuf>::new());
    let content = content(99_999, 7);
    assert_eq!(put(node, image, &content).status, 204);
    assert!(download(node, image) == content);
    assert_eq!(files(images), [images.join(image)]);
}

/// Every file under a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Bytes that are no format.
fn content(len: usize, seed: u64) -> Vec<u8> {
    let byte = |i: u64| ((i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
    (0..len as u64).map(byte).collect()
}
