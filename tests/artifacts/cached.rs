//! Blobs through the cache of the service, whose API tells of images.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    images::{self, MIB, ask, content, text},
    process::Fresnel,
    wait_until,
    wire::{Payload, Request},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// A chunk of the cache and some.
const SIZE: usize = 5 * MIB + 1;

/// What is on disk, under `images` and `blobs`.
pub(super) fn listed(service: &Fresnel, kind: &str) -> Vec<Value> {
    let output = service.command("cache list --json");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    list[kind].as_array().unwrap().clone()
}

/// The one blob that is cached, once it is proven.
pub(super) fn proven(service: &Fresnel) -> String {
    let is_proven = |blobs: &[Value]| blobs.len() == 1 && blobs[0]["state"] == "proven";
    let there = wait_until(PATIENCE, || is_proven(&listed(service, "blobs")));
    assert!(there, "{}", service.log());
    text(&listed(service, "blobs")[0]["blob"])
}

#[test]
fn a_blob_is_cached_and_is_no_image() {
    let service = Fresnel::start_after(&[], |folder| {
        format!(
            "artifacts = true\ncache_free_disk_mib = 0\n[DEFAULT]\nimage_cache_dir = {}\n\
             worker_self_reference_url = http://here.example\n\
             [paste_deploy]\nflavor = cachemanagement\n",
            folder.join("cache").display()
        )
    });
    let send = |method: &str, target: &str, kind: &str, body: Vec<u8>| {
        let mut request = Request::new(method, target).header("content-type", kind);
        request.body = Payload::Sized(body);
        ask(service.address, &request)
    };
    let get = |target: &str| ask(service.address, &Request::new("GET", target));
    let named = json!({"name": "a"}).to_string().into_bytes();
    let made = send("POST", "/artifacts/images", "application/json", named);
    let artifact = format!("/artifacts/images/{}", text(&made.json()["id"]));
    let target = format!("{artifact}/image");
    let bytes = content(SIZE, 1);
    assert_eq!(send("PUT", &target, "a/b", bytes.clone()).status, 200);
    let cold = get(&target);
    assert!(cold.status == 200 && cold.body == bytes);
    let blob = proven(&service);

    fs::remove_file(service.folder().join("images").join(&blob)).unwrap();
    let warm = get(&target);
    assert!(
        warm.status == 200 && warm.body == bytes,
        "without its store"
    );
    let range = Request::new("GET", &target).header("range", "bytes=4194300-4194400");
    let part = ask(service.address, &range);
    assert!(part.status == 206 && part.body == bytes[4_194_300..=4_194_400]);

    let image = images::create(service.address);
    images::upload(service.address, &image, Payload::Sized(b"image".to_vec()));
    assert_eq!(get(&images::data_path(&image)).body, b"image");
    let recorded = || service.query("SELECT image_id FROM cached_images");
    assert!(wait_until(PATIENCE, || !recorded().is_empty()));
    assert_eq!(recorded(), [image.as_str()]);
    let state = get("/v2/cache").json();
    let cached: Vec<_> = state["cached_images"].as_array().unwrap().iter().collect();
    assert_eq!(cached.len(), 1);
    assert_eq!(cached[0]["image_id"], image.as_str());
    assert_eq!(
        get("/v2/cached_images").json()["cached_images"],
        state["cached_images"]
    );
    let forgotten = Request::new("DELETE", &format!("/v2/cache/{blob}"));
    assert_eq!(ask(service.address, &forgotten).status, 404);

    let deleted = Request::new("DELETE", &artifact);
    assert_eq!(ask(service.address, &deleted).status, 204);
    assert_eq!(listed(&service, "blobs"), [] as [Value; 0]);
    assert_eq!(listed(&service, "images").len(), 1);
    assert_eq!(get(&target).status, 404);
}
