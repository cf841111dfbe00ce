//! The binary on a pool, what a client asks of it, and what an administrator sees in the pool.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use serde_json::Value;

use crate::support::{
    free_address,
    lab::{self, Ceph},
    process::Fresnel,
    served::Served,
    wait_until,
    wire::Request,
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
}

impl Served for Rig<'_> {
    const CLEAN_LIMIT: Duration = CLEAN_LIMIT;

    fn node(&self) -> &Fresnel {
        &self.node
    }

    fn remains(&self, image: &str) -> Vec<String> {
        remains(self.ceph, image)
    }

    fn has(&self, image: &str, content: &[u8]) {
        assert!(
            export(self.ceph, image) == content,
            "the pool has other bytes"
        );
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
