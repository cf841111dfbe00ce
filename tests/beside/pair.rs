//! Glance and the binary on one database and one directory of images, and what a client asks of them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    lab::{self, Glance},
    process::Fresnel,
    wait_until,
    wire::{self, Request, Response, Upload},
};

/// A dead node is noticed after its lease; the promise is 30 s.
const SWEEP_LIMIT: Duration = Duration::from_secs(60);

/// Which of the two is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Ours,
    Glance,
}

/// The two, on a database and a store that they share.
pub(super) struct Pair {
    ours: Fresnel,
    pub(super) glance: Glance,
}

impl Pair {
    /// On a database made by `glance-manage db sync`, to which `fresnel db sync` adds our own tables.
    pub(super) fn start() -> Self {
        let glance = Glance::start(&["--database", &database(), "--set", LOCATIONS]);
        sync(&glance.config());
        let ours = beside(&glance);
        Self { ours, glance }
    }

    /// On a database made by `fresnel db sync`, which `glance-manage db sync` then finds complete.
    pub(super) fn start_on_our_database() -> Self {
        let database = database();
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("fresnel.conf");
        std::fs::write(&config, format!("[database]\nconnection = {database}\n")).unwrap();
        sync(&config);
        let glance = Glance::start(&["--database", &database, "--set", LOCATIONS]);
        let ours = beside(&glance);
        Self { ours, glance }
    }

    /// A new queued image, by its id.
    pub(super) fn create(&self, side: Side) -> String {
        let image = json!({"name": "beside", "disk_format": "raw", "container_format": "bare"});
        let answer = self.ask(side, &json_request("POST", "/v2/images", &image));
        assert_eq!(answer.status, 201);
        let id = answer.json()["id"].as_str().map(str::to_owned);
        id.expect("an image has an id")
    }

    pub(super) fn upload(&self, side: Side, image: &str, bytes: &[u8]) -> Response {
        let request = Request::new("PUT", &format!("/v2/images/{image}/file"));
        let request = request.header("content-type", "application/octet-stream");
        self.ask(side, &request.body(bytes))
    }

    /// Begins an upload that the test goes on with.
    pub(super) fn begin(&self, side: Side, image: &str) -> Upload {
        Upload::begin(self.address(side), &format!("/v2/images/{image}/file")).unwrap()
    }

    /// An upload of ours ends in the middle, because we are killed; we are started again.
    pub(super) fn leave_half(&mut self, image: &str) {
        let mut upload = self.begin(Side::Ours, image);
        upload.send(b"half of it").unwrap();
        self.wait_for(Side::Ours, image, "saving");
        self.ours.kill();
        self.ours.restart();
    }

    pub(super) fn download(&self, side: Side, image: &str) -> Response {
        self.ask(
            side,
            &Request::new("GET", &format!("/v2/images/{image}/file")),
        )
    }

    pub(super) fn get(&self, side: Side, image: &str) -> Response {
        self.ask(side, &Request::new("GET", &format!("/v2/images/{image}")))
    }

    /// The image as this side shows it, tags in order.
    pub(super) fn show(&self, side: Side, image: &str) -> Value {
        let mut shown = self.get(side, image).json();
        if let Some(Value::Array(tags)) = shown.get_mut("tags") {
            tags.sort_by_key(ToString::to_string);
        }
        shown
    }

    pub(super) fn status(&self, side: Side, image: &str) -> String {
        self.show(side, image)["status"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    }

    pub(super) fn wait_for(&self, side: Side, image: &str, status: &str) {
        let reached = wait_until(SWEEP_LIMIT, || self.status(side, image) == status);
        let found = self.status(side, image);
        assert!(reached, "{side:?} says {found}, not {status}");
    }

    /// The ids of every image that this side lists, in its order.
    pub(super) fn ids(&self, side: Side) -> Vec<String> {
        let list = self.ask(side, &Request::new("GET", "/v2/images"));
        texts(&list.json()["images"], "id")
    }

    pub(super) fn patch(&self, side: Side, image: &str, patch: &Value) -> Response {
        let mut request = json_request("PATCH", &format!("/v2/images/{image}"), patch);
        request.headers[0].1 = "application/openstack-images-v2.1-json-patch".into();
        self.ask(side, &request)
    }

    pub(super) fn share(&self, side: Side, image: &str, project: &str) -> Response {
        let path = format!("/v2/images/{image}/members");
        self.ask(
            side,
            &json_request("POST", &path, &json!({"member": project})),
        )
    }

    pub(super) fn unshare(&self, side: Side, image: &str, project: &str) -> Response {
        let path = format!("/v2/images/{image}/members/{project}");
        self.ask(side, &Request::new("DELETE", &path))
    }

    pub(super) fn members(&self, side: Side, image: &str) -> Vec<String> {
        let path = format!("/v2/images/{image}/members");
        let list = self.ask(side, &Request::new("GET", &path));
        texts(&list.json()["members"], "member_id")
    }

    pub(super) fn action(&self, side: Side, image: &str, action: &str) -> Response {
        let path = format!("/v2/images/{image}/actions/{action}");
        self.ask(side, &Request::new("POST", &path))
    }

    pub(super) fn delete(&self, side: Side, image: &str) -> Response {
        self.ask(
            side,
            &Request::new("DELETE", &format!("/v2/images/{image}")),
        )
    }

    /// Where the store keeps an image's data.
    pub(super) fn file(&self, image: &str) -> PathBuf {
        images_of(&self.glance).join(image)
    }

    /// Every file in the store's directory, those of attempts included.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let root = images_of(&self.glance);
        let mut folders = vec![root];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.display().to_string());
                }
            }
        }
        files
    }

    fn ask(&self, side: Side, request: &Request) -> Response {
        wire::exchange(self.address(side), request).unwrap_or_else(|error| {
            panic!("{side:?}, {} {}: {error}", request.method, request.target)
        })
    }

    fn address(&self, side: Side) -> SocketAddr {
        match side {
            Side::Ours => self.ours.address,
            Side::Glance => self.glance.address,
        }
    }
}

/// Both show where the data is, so that the tests can compare it.
const LOCATIONS: &str = "DEFAULT.show_multiple_locations=true";

/// The same bytes for the same size.
pub(super) fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at ^ (at >> 8)) as u8 | 1).collect()
}

/// The URL of an empty database of this test's own.
fn database() -> String {
    lab::mariadb(&format!("fresnel_beside_{}", uuid::Uuid::new_v4().simple()))
}

/// `fresnel db sync`.
fn sync(config: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fresnel"));
    lab::run(command.args(["db", "sync", "--config-file"]).arg(config));
}

/// The binary on Glance's own configuration; a short lease, so that the sweep comes soon.
fn beside(glance: &Glance) -> Fresnel {
    Fresnel::start_after(&[&glance.config()], |_| {
        "lease_seconds = 3\n[DEFAULT]\nlog_file =\n".to_owned()
    })
}

fn images_of(glance: &Glance) -> PathBuf {
    Path::new(&glance.state).join("images")
}

fn json_request(method: &str, path: &str, body: &Value) -> Request {
    Request::new(method, path)
        .header("content-type", "application/json")
        .body(body.to_string())
}

fn texts(list: &Value, member: &str) -> Vec<String> {
    let items = list.as_array().expect("a list");
    let items = items.iter().filter_map(|item| item[member].as_str());
    items.map(str::to_owned).collect()
}
