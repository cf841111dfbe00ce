//! Downloads through the cache of the service itself.

use std::time::Duration;

use serde_json::Value;

use super::{
    SIZE, caching, caching_lines, content, download, get, image, lose, range, wait,
    wait_until_proven,
};
use crate::support::{
    images::{self, show},
    process::Fresnel,
    wire::{Request, exchange},
};

#[test]
fn what_was_downloaded_once_does_not_need_its_store() {
    let service = caching();
    let bytes = content(SIZE, 1);
    let id = image(service.address, &bytes);
    let cold = download(service.address, &id);
    assert!(cold.status == 200 && cold.body == bytes);
    wait_until_proven(&service, &id);
    lose(&service, &id);
    let warm = download(service.address, &id);
    assert!(warm.status == 200 && warm.body == bytes);
    for name in ["content-type", "content-length", "content-md5"] {
        assert_eq!(warm.header(name), cold.header(name), "{name}");
    }
    let part = range(service.address, &id, 4_194_000, 8_400_000);
    assert!(part.status == 206 && part.body == bytes[4_194_000..=8_400_000]);
}

#[test]
fn a_range_is_cached_too() {
    let service = caching();
    let bytes = content(SIZE, 2);
    let id = image(service.address, &bytes);
    for (first, last) in [(5_000_000, 5_000_009), (SIZE - 1, SIZE - 1), (0, 0)] {
        let part = range(service.address, &id, first, last);
        assert!(part.status == 206 && part.body == bytes[first..=last]);
    }
    wait_until_proven(&service, &id);
    assert_eq!(range(service.address, &id, SIZE, SIZE).status, 416);
}

#[test]
fn without_the_flavor_downloads_do_not_go_through_the_cache() {
    let service = Fresnel::start_after(&[], |folder| {
        caching_lines(folder).replace("cachemanagement", "")
    });
    let bytes = content(100, 3);
    let id = image(service.address, &bytes);
    assert!(download(service.address, &id).body == bytes);
    lose(&service, &id);
    assert_eq!(download(service.address, &id).status, 204);
}

#[test]
fn a_deleted_image_leaves_nothing() {
    let service = caching();
    let id = image(service.address, &content(SIZE, 4));
    download(service.address, &id);
    wait_until_proven(&service, &id);
    assert_eq!(images::delete(service.address, &id).status, 204);
    let listed = service.command("cache list");
    assert!(listed.status.success() && listed.stdout.is_empty());
}

#[test]
fn a_deactivated_image_is_not_in_the_cache_for_anybody() {
    let service = caching();
    let id = image(service.address, &content(SIZE, 5));
    download(service.address, &id);
    wait_until_proven(&service, &id);
    let target = format!("/v2/images/{id}/actions/deactivate");
    assert_eq!(
        exchange(service.address, &Request::new("POST", &target))
            .unwrap()
            .status,
        204
    );
    lose(&service, &id);
    // An administrator may have it from its store, and there it is not.
    assert_eq!(download(service.address, &id).status, 204);
    assert_eq!(show(service.address, &id)["status"], "deactivated");
}

#[test]
fn what_is_cached_outlives_a_crash() {
    let mut service = caching();
    let bytes = content(SIZE, 6);
    let id = image(service.address, &bytes);
    download(service.address, &id);
    wait_until_proven(&service, &id);
    service.kill();
    service.restart();
    lose(&service, &id);
    assert!(download(service.address, &id).body == bytes);
}

/// Killed while clients read and the cache fills: what is left serves no wrong byte.
#[test]
fn a_crash_in_the_middle_of_a_fill_leaves_nothing_wrong() {
    let mut service = caching();
    let bytes = content(40 * images::MIB, 7);
    let id = image(service.address, &bytes);
    for milliseconds in [5, 30, 60] {
        let (address, image) = (service.address, id.clone());
        let reading = std::thread::spawn(move || {
            let request = Request::new("GET", &images::data_path(&image));
            exchange(address, &request).is_ok()
        });
        wait(Duration::from_millis(milliseconds));
        service.kill();
        drop(reading.join());
        let verified = service.command("cache verify");
        assert!(verified.status.success(), "{verified:?}");
        service.restart();
        let part = range(service.address, &id, 9_000_000, 9_100_000);
        assert!(part.body == bytes[9_000_000..=9_100_000]);
    }
    assert!(download(service.address, &id).body == bytes);
}

#[test]
fn the_command_line_looks_after_what_is_there() {
    let mut service = caching();
    let id = image(service.address, &content(SIZE, 8));
    download(service.address, &id);
    wait_until_proven(&service, &id);
    let listed = service.command("cache list --json");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["images"][0]["image"], id.as_str());
    assert_eq!(listed["images"][0]["state"], "proven");
    assert_eq!(listed["waiting"], Value::Null, "no node was asked");
    let busy = service.command("cache clear");
    assert!(
        !busy.status.success(),
        "a service that runs has the directory"
    );
    service.kill();
    let verified = service.command("cache verify");
    assert_eq!(
        String::from_utf8_lossy(&verified.stdout),
        "3 chunks are good, 0 are damaged\n"
    );
    let cleared = service.command("cache clear --json");
    assert_eq!(
        String::from_utf8_lossy(&cleared.stdout),
        format!("{{\"removed_images\":1,\"removed_bytes\":{SIZE}}}\n")
    );
    assert!(service.command("cache list").stdout.is_empty());
}

#[test]
fn a_cache_shows_in_the_versions() {
    let service = caching();
    let versions = get(service.address, "/versions").json();
    let ids: Vec<&str> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids[..6],
        ["v2.18", "v2.17", "v2.16", "v2.15", "v2.14", "v2.9"]
    );
    assert_eq!(versions["versions"][0]["status"], "CURRENT");
}
