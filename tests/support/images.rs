//! Images through the API of whoever serves it, with no more words than a test needs.

use std::net::SocketAddr;

use openssl::hash::{MessageDigest, hash};
use serde_json::Value;

use super::wire::{self, Payload, Request, Response};

pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn create(address: SocketAddr) -> String {
    let request = Request::new("POST", "/v2/images").header("content-type", "application/json");
    let request = request.body(r#"{"disk_format": "raw", "container_format": "bare"}"#);
    let answer = ask(address, &request);
    assert_eq!(answer.status, 201);
    text(&answer.json()["id"])
}

pub(crate) fn upload(address: SocketAddr, image: &str, body: Payload) -> Response {
    let request = Request::new("PUT", &data_path(image));
    let mut request = request.header("content-type", "application/octet-stream");
    request.body = body;
    ask(address, &request)
}

pub(crate) fn show(address: SocketAddr, image: &str) -> Value {
    let answer = ask(
        address,
        &Request::new("GET", &format!("/v2/images/{image}")),
    );
    assert_eq!(answer.status, 200, "{image}");
    answer.json()
}

pub(crate) fn delete(address: SocketAddr, image: &str) -> Response {
    ask(
        address,
        &Request::new("DELETE", &format!("/v2/images/{image}")),
    )
}

pub(crate) fn ask(address: SocketAddr, request: &Request) -> Response {
    wire::exchange(address, request)
        .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
}

pub(crate) fn data_path(image: &str) -> String {
    format!("/v2/images/{image}/file")
}

/// Bytes that are no format, the same for a seed.
pub(crate) fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut stream = blake3::Hasher::new();
    stream.update(&seed.to_le_bytes());
    stream.finalize_xof().fill(&mut bytes);
    bytes
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub(crate) fn digest(algorithm: MessageDigest, content: &[u8]) -> String {
    let digest = hash(algorithm, content).unwrap();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
