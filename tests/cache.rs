//! Images on a node's own disk: in the service, and in front of another one.

mod admin;
mod api;
mod consumers;
mod node;
mod serve;

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use crate::support::{
    images::{self, content, data_path, upload},
    process::Fresnel,
    wait_until,
    wire::{Payload, Request, Response, exchange},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Two chunks of the cache and some.
const SIZE: usize = 9 * images::MIB + 12_345;

/// A service whose downloads go through a cache.
fn caching() -> Fresnel {
    Fresnel::start_after(&[], caching_lines)
}

fn caching_lines(folder: &Path) -> String {
    format!(
        "[DEFAULT]\nimage_cache_dir = {}\nworker_self_reference_url = http://here.example\n\
         [fresnel]\ncache_free_disk_mib = 0\n[paste_deploy]\nflavor = cachemanagement\n",
        folder.join("cache").display()
    )
}

/// A new image with these bytes.
fn image(address: SocketAddr, bytes: &[u8]) -> String {
    let image = images::create(address);
    let answer = upload(address, &image, Payload::Sized(bytes.to_vec()));
    assert_eq!(answer.status, 204);
    image
}

fn get(address: SocketAddr, target: &str) -> Response {
    exchange(address, &Request::new("GET", target)).unwrap()
}

fn download(address: SocketAddr, image: &str) -> Response {
    get(address, &data_path(image))
}

fn range(address: SocketAddr, image: &str, first: usize, last: usize) -> Response {
    let request = Request::new("GET", &data_path(image));
    let request = request.header("range", &format!("bytes={first}-{last}"));
    exchange(address, &request).unwrap()
}

/// Takes the object away that an image has in the only store.
fn lose(service: &Fresnel, image: &str) {
    fs::remove_file(service.folder().join("images").join(image)).unwrap();
}

/// Until the whole image is on disk, proven: what is there in part is listed too.
fn wait_until_proven(process: &Fresnel, image: &str) {
    let listed = || {
        let output = process.command("cache list");
        String::from_utf8_lossy(&output.stdout).contains(&format!("{image} proven"))
    };
    assert!(wait_until(PATIENCE, listed), "{}", process.log());
}

#[expect(
    clippy::disallowed_methods,
    reason = "the crash is to come at any moment"
)]
fn wait(time: Duration) {
    std::thread::sleep(time);
}
