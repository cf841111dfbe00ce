//! Encrypted images: made, checked and opened; qemu and cryptsetup are the peers.

mod at_rest;
mod barbican;
mod ceph;
mod commands;
mod consumers;
mod peers;
mod staged;
mod uploads;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::Once,
};

use fresnel::client::key_manager::Keyring;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    app::TestApp,
    lab,
    wire::{Request, Response},
};

/// That of a key, which costs few iterations.
const PASSPHRASE: &[u8] = b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// No whole sectors, and some chunks.
const LEN: usize = 3_000_001;

fn bytes(len: usize) -> Vec<u8> {
    let mixed = |at: usize| at.wrapping_mul(0x9e37_79b9) >> 13;
    (0..len).map(|at| mixed(at) as u8).collect()
}

/// Puts a passphrase into the keyring, and returns its id.
fn key(app: &TestApp, passphrase: &[u8]) -> String {
    let id = Uuid::new_v4().to_string();
    let keyring = Keyring::new(app.keyring().into());
    keyring.import(&id, passphrase).unwrap();
    id
}

/// An image that is to be encrypted so.
fn image(app: &TestApp, format: &str, key: &str) -> String {
    app.create(&json!({
        "disk_format": "raw",
        "container_format": "bare",
        "os_encrypt_format": format,
        "os_encrypt_key_id": key,
    }))
}

fn put(image: &str, bytes: &[u8]) -> Request {
    let request = Request::new("PUT", &format!("{image}/file"));
    let request = request.header("Content-Type", "application/octet-stream");
    request.body(bytes)
}

fn get(image: &str) -> Request {
    Request::new("GET", &format!("{image}/file"))
}

fn plain(request: Request) -> Request {
    request.header("X-Fresnel-Plain", "true")
}

/// Gives an image that has a key another.
fn with_key(image: &str, key: &str) -> Request {
    let change = json!([{"op": "replace", "path": "/os_encrypt_key_id", "value": key}]);
    let request = Request::new("PATCH", image);
    let media_type = "application/openstack-images-v2.1-json-patch";
    let request = request.header("Content-Type", media_type);
    request.body(change.to_string())
}

/// What is in it.
#[track_caller]
fn decrypted(app: &TestApp, image: &str) -> Vec<u8> {
    let answer = app.ask(plain(get(image)));
    assert_eq!(answer.status, 200, "{}", crate::support::app::text(&answer));
    answer.body
}

/// An image of these plain bytes, encrypted by us.
#[track_caller]
fn sealed(app: &TestApp, format: &str, plain_bytes: &[u8]) -> String {
    let image = image(app, format, &key(app, PASSPHRASE));
    let answer = app.ask(plain(put(&image, plain_bytes)));
    assert_eq!(answer.status, 204, "{}", crate::support::app::text(&answer));
    image
}

/// A container that we made.
fn container(format: &str, plain_bytes: &[u8]) -> Vec<u8> {
    let app = TestApp::new();
    let image = sealed(&app, format, plain_bytes);
    app.ask(get(&image)).body
}

#[track_caller]
fn assert_queued(app: &TestApp, image: &str) {
    let record = app.get(image).json();
    assert_eq!(record["status"], "queued", "{record}");
    assert_eq!(record["size"], Value::Null);
}

fn said(answer: &Response) -> String {
    crate::support::app::text(answer)
}

/// A command that must succeed.
#[track_caller]
fn run(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    let output = tried(program, folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    output
}

fn tried(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        lab::run(lab::script("packages").args(["qemu-utils", "cryptsetup-bin"]));
    });
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command.output().unwrap()
}

/// A folder with the passphrase in `pass`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pass"), PASSPHRASE).unwrap();
    folder
}
