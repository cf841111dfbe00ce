//! The binary on a pool, what a client asks of it, and what an administrator sees in the pool.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use openssl::hash::MessageDigest;
use serde_json::Value;

use crate::support::{
    free_address,
    images::digest,
    lab::{self, Ceph},
    process::Fresnel,
    wait_until,
    wire::{Payload, Request, Response, Upload},
};

pub(super) use crate::support::images::{
    MIB, ask, content, create, data_path, delete, show, text, upload,
};

/// What is left of an attempt is gone by then: a dead client's watch holds its image for 30 s.
pub(super) const CLEAN_LIMIT: Duration = Duration::from_secs(90);

/// The shortest lease; senders may be silent for as long as a test likes.
const OPTIONS: &str = "lease_seconds = 3\nmin_rate_bytes_per_second = 0\n";

/// A node of ours on a cluster.
pub(super) struct Rig<'a> {
    pub(super) node: Fresnel,
    pub(super) ceph: &'a Ceph,
    metrics: SocketAddr,
}

impl<'a> Rig<'a> {
    /// With further options of the store, one a line.
    pub(super) fn start(ceph: &'a Ceph, options: &str) -> Self {
        let metrics = free_address();
        let node = Fresnel::start(&format!(
            "metrics_bind = {metrics}\n{OPTIONS}{}{options}",
            ceph.store()
        ));
        Self {
            node,
            ceph,
            metrics,
        }
    }

    pub(super) fn create(&self) -> String {
        create(self.node.address)
    }

    pub(super) fn upload(&self, image: &str, body: Payload) -> Response {
        upload(self.node.address, image, body)
    }

    /// Begins a chunked upload.
    pub(super) fn begin(&self, image: &str) -> Upload {
        Upload::begin(self.node.address, &data_path(image)).unwrap()
    }

    /// A new image of these bytes.
    pub(super) fn image(&self, content: &[u8]) -> String {
        let image = self.create();
        let answer = self.upload(&image, Payload::Sized(content.to_vec()));
        assert_eq!(answer.status, 204, "{}", self.node.log());
        image
    }

    pub(super) fn download(&self, image: &str) -> Vec<u8> {
        let request = Request::new("GET", &data_path(image));
        self.ask(&request).body
    }

    pub(super) fn show(&self, image: &str) -> Value {
        show(self.node.address, image)
    }

    pub(super) fn status(&self, image: &str) -> String {
        text(&self.show(image)["status"])
    }

    pub(super) fn wait_for(&self, image: &str, status: &str) {
        let reached = wait_until(CLEAN_LIMIT, || self.status(image) == status);
        let found = self.status(image);
        assert!(
            reached,
            "{image} is {found}, not {status}:\n{}",
            self.node.log()
        );
    }

    pub(super) fn delete(&self, image: &str) -> Response {
        delete(self.node.address, image)
    }

    /// The name of the image that an upload which has begun writes to.
    pub(super) fn draft(&self, image: &str) -> String {
        let prefix = format!("{image}.");
        let find = || {
            let images = self.ceph.rbd(&["ls", "images"]);
            let draft = images.lines().find(|name| name.starts_with(&prefix));
            draft.map(str::to_owned)
        };
        assert!(
            wait_until(CLEAN_LIMIT, || find().is_some()),
            "{}",
            self.node.log()
        );
        find().unwrap()
    }

    pub(super) fn ask(&self, request: &Request) -> Response {
        ask(self.node.address, request)
    }

    /// The value of a counter or gauge, of all its labels together; 0 while nobody has counted.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let answer = ask(self.metrics, &Request::new("GET", "/metrics"));
        let text = String::from_utf8(answer.body).unwrap();
        let of = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let value = rest.strip_prefix(' ').or_else(|| rest.split("} ").nth(1))?;
            value.parse::<f64>().ok()
        };
        text.lines().filter_map(of).sum()
    }

    /// The pool has nothing of this image: neither it, nor an attempt, nor rubbish.
    pub(super) fn gone(&self, image: &str) {
        let gone = wait_until(CLEAN_LIMIT, || remains(self.ceph, image).is_empty());
        let left = remains(self.ceph, image);
        assert!(
            gone,
            "{image} leaves {left:?} in the pool:\n{}",
            self.node.log()
        );
    }

    /// The image is as if its upload had not begun, and takes another.
    pub(super) fn takes_another_upload(&self, image: &str) {
        self.wait_for(image, "queued");
        self.gone(image);
        let content = content(9 * MIB + 1, 1);
        let answer = self.upload(image, Payload::Chunked(content.clone(), MIB));
        assert_eq!(answer.status, 204, "{}", self.node.log());
        self.holds(image, &content);
        assert_eq!(self.delete(image).status, 204);
        self.gone(image);
    }

    /// The image is whole, as its record, the rbd command and a download say.
    pub(super) fn holds(&self, image: &str, content: &[u8]) {
        let record = self.show(image);
        assert_eq!(record["status"], "active");
        assert_eq!(record["size"], content.len());
        assert_eq!(record["checksum"], digest(MessageDigest::md5(), content));
        assert_eq!(
            record["os_hash_value"],
            digest(MessageDigest::sha512(), content)
        );
        assert!(
            export(self.ceph, image) == content,
            "the pool has other bytes"
        );
        assert!(self.download(image) == content, "a client gets other bytes");
    }
}

/// The image's snapshot, as `rbd export` writes it.
pub(super) fn export(ceph: &Ceph, image: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exported");
    let snapshot = format!("images/{image}@snap");
    ceph.rbd(&[
        "export",
        "--no-progress",
        &snapshot,
        &file.to_string_lossy(),
    ]);
    fs::read(file).unwrap()
}

/// Compares the image's snapshot with a file, with QEMU's own driver.
pub(super) fn qemu_compares(ceph: &Ceph, image: &str, file: &Path) {
    let snapshot = format!(
        "rbd:images/{image}@snap:id=glance:conf={}",
        ceph.conf.display()
    );
    let mut compare = Command::new("qemu-img");
    compare.args(["compare", "-f", "raw", "-F", "raw"]);
    lab::run(compare.arg(file).arg(snapshot));
}

/// What the pool and its trash have of an image, its attempts included.
pub(super) fn remains(ceph: &Ceph, image: &str) -> Vec<String> {
    let named = ceph.rbd(&["ls", "images"]) + &ceph.rbd(&["trash", "ls", "--all", "images"]);
    let named = named.lines().filter(|line| line.contains(image));
    named.map(str::to_owned).collect()
}

/// What `rbd info` says of an image or a snapshot in pool `images`.
pub(super) fn info(ceph: &Ceph, name: &str) -> Value {
    let text = ceph.rbd(&["info", "--format", "json", &format!("images/{name}")]);
    serde_json::from_str(&text).unwrap()
}

/// How many objects of data an image has in this pool.
pub(super) fn objects(ceph: &Ceph, image: &str, pool: &str) -> usize {
    let prefix = text(&info(ceph, image)["block_name_prefix"]);
    let listed = rados(ceph, pool, &["ls"]);
    listed
        .lines()
        .filter(|name| name.starts_with(&prefix))
        .count()
}

/// What `rados` prints as client.admin, of objects in a pool.
pub(super) fn rados(ceph: &Ceph, pool: &str, arguments: &[&str]) -> String {
    let mut rados = ceph.command("rados", "admin");
    lab::run(rados.args(["-p", pool]).args(arguments))
}

/// Shuts out whoever has an image in pool `images` open to change it.
pub(super) fn shut_out_writers(ceph: &Ceph, name: &str) {
    let status = ceph.rbd(&["status", "--format", "json", &format!("images/{name}")]);
    let status: Value = serde_json::from_str(&status).unwrap();
    for watcher in status["watchers"].as_array().unwrap() {
        let address = text(&watcher["address"]);
        let mut shut_out = ceph.command("ceph", "admin");
        lab::run(shut_out.args(["osd", "blocklist", "add", &address]));
    }
}
