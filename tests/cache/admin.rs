//! A node's own cache: its API on the socket, the command that speaks to it, and what it has before anybody
//! asks.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{PATIENCE, SIZE, content, download, image, wait_until_proven};
use crate::support::{
    images,
    keystone::Keystone,
    process::Fresnel,
    wait_until,
    wire::{Request, Response, exchange, exchange_locally},
};

const UNKNOWN: &str = "aaaaaaaa-0000-4000-8000-000000000000";

/// A node with a socket.
struct Node {
    process: Fresnel,
    socket: PathBuf,
    _folder: TempDir,
}

impl Node {
    fn start(upstream: SocketAddr, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin");
        let lines = format!(
            "[fresnel]\ncache_free_disk_mib = 0\nadmin_socket = {}\n{lines}",
            socket.display()
        );
        Self {
            process: Fresnel::node(upstream, &lines),
            socket,
            _folder: folder,
        }
    }

    fn ask(&self, method: &str, target: &str) -> Response {
        ask(&self.socket, &Request::new(method, target))
    }

    fn list(&self) -> String {
        self.told("cache list")
    }

    fn told(&self, words: &str) -> String {
        let output = self.process.command(words);
        assert!(output.status.success(), "{words}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn ask(socket: &Path, request: &Request) -> Response {
    let request = request.clone().header("accept", "application/json");
    exchange_locally(socket, &request).unwrap()
}

#[test]
fn the_socket_has_the_api_of_the_cache() {
    let upstream = Fresnel::start("");
    let node = Node::start(upstream.address, "");
    let mode = std::fs::metadata(&node.socket).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let id = image(upstream.address, &content(SIZE, 60));
    let path = format!("/v2/cache/{id}");
    assert_eq!(node.ask("PUT", &path).status, 202);
    let cached = || node.ask("GET", "/v2/cache").json()["cached_images"].clone();
    assert!(wait_until(PATIENCE, || cached()[0]["image_id"] == id));
    assert!(wait_until(PATIENCE, || {
        node.ask("GET", "/v2/cache").json()["queued_images"] == serde_json::json!([])
    }));
    download(node.process.address, &id);
    assert_eq!(cached()[0]["hits"], 1);
    assert_eq!(node.ask("POST", "/v2/cache/clean").status, 200);
    let none = serde_json::json!({"total_files_pruned": 0, "total_bytes_pruned": 0});
    assert_eq!(node.ask("POST", "/v2/cache/prune").json(), none);
    let clear = Request::new("DELETE", "/v2/cache");
    let clear = |target| clear.clone().header("x-image-cache-clear-target", target);
    assert_eq!(ask(&node.socket, &clear("all")).status, 400);
    assert_eq!(ask(&node.socket, &clear("queue")).status, 204);
    assert_eq!(cached()[0]["image_id"], id);
    assert_eq!(node.ask("DELETE", &path).status, 204);
    assert_eq!(cached(), serde_json::json!([]));
    for (method, target, status) in [
        ("DELETE", path.as_str(), 404),
        ("PUT", &format!("/v2/cache/{UNKNOWN}"), 404),
        ("PUT", "/v2/cache/..", 404),
        ("PUT", "/v2/cache", 404),
        ("GET", "/v2/images", 404),
    ] {
        assert_eq!(node.ask(method, target).status, status, "{method} {target}");
    }
    // The way to the upstream has no such thing: there it passes.
    let passed = exchange(node.process.address, &Request::new("PUT", &path)).unwrap();
    assert_eq!(passed.status, 404);
}

#[test]
fn the_command_speaks_to_a_node_that_runs() {
    let upstream = Fresnel::start("");
    let mut node = Node::start(upstream.address, "");
    let bytes = content(SIZE, 61);
    let id = image(upstream.address, &bytes);
    node.told(&format!("cache prefetch {id}"));
    wait_until_proven(&node.process, &id);
    assert!(node.list().contains(", 0 hits"), "{}", node.list());
    assert!(download(node.process.address, &id).body == bytes);
    assert!(node.list().contains(", 1 hits"), "{}", node.list());
    let unknown = node.process.command(&format!("cache prefetch {UNKNOWN}"));
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && told.contains("404"), "{told}");
    assert_eq!(node.told("cache prune"), "0 removed, 0 B\n");
    let removed = format!("1 removed, {SIZE} B\n");
    assert_eq!(node.told("cache clear"), removed);
    assert_eq!(node.list(), "");
    // Without a process the directory is free, and nobody fetches.
    node.process.kill();
    assert_eq!(node.told("cache clear"), "0 removed, 0 B\n");
    let alone = node.process.command(&format!("cache prefetch {id}"));
    assert!(!alone.status.success());
    node.process.restart();
    node.told(&format!("cache prefetch {id}"));
}

fn credentials(keystone: &Keystone, user: &str, project: &str) -> String {
    format!(
        "[keystone_authtoken]\nauth_url = {}\nauth_type = password\nusername = {user}\n\
         password = lab\nuser_domain_name = Default\nproject_name = {project}\n\
         project_domain_name = Default\n",
        keystone.url()
    )
}

#[test]
fn the_images_of_the_list_are_there_before_anybody_asks() {
    let keystone = Keystone::shared();
    let service = credentials(&keystone, "glance", "service");
    let upstream = Fresnel::start(&format!("{service}[paste_deploy]\nflavor = keystone\n"));
    let token = keystone.token("demo-member");
    let ask = |address, request: Request| {
        exchange(address, &request.header("x-auth-token", &token)).unwrap()
    };
    let kind = br#"{"disk_format": "raw", "container_format": "bare"}"#;
    let create = Request::new("POST", "/v2/images").body(kind);
    let created = ask(
        upstream.address,
        create.header("content-type", "application/json"),
    );
    let id = images::text(&created.json()["id"]);
    let bytes = content(SIZE, 62);
    let put = Request::new("PUT", &images::data_path(&id)).body(bytes.clone());
    let put = put.header("content-type", "application/octet-stream");
    assert_eq!(ask(upstream.address, put).status, 204);
    let list = format!("cache_prefetch_images = {UNKNOWN}, {id}\n");

    let known = credentials(&keystone, "admin", "admin");
    let node = Node::start(upstream.address, &format!("{list}{known}"));
    wait_until_proven(&node.process, &id);
    assert!(node.process.log().contains(UNKNOWN));
    let warm = ask(
        node.process.address,
        Request::new("GET", &images::data_path(&id)),
    );
    assert!(warm.status == 200 && warm.body == bytes);
    assert!(node.list().contains(", 1 hits"), "{}", node.list());

    let nobody = Node::start(upstream.address, &list);
    let refused = nobody.ask("PUT", &format!("/v2/cache/{id}"));
    assert_eq!(refused.status, 401);
    let told = || nobody.process.log().contains("the upstream answers 401");
    assert!(wait_until(PATIENCE, told), "{}", nobody.process.log());
}
