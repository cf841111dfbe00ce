//! The cache's API.

use serde_json::json;

use super::{
    PATIENCE, SIZE, caching, caching_lines, content, download, get, image, lose, wait_until_proven,
};
use crate::support::{
    process::Fresnel,
    wait_until,
    wire::{Request, Response, exchange},
};

fn ask(service: &Fresnel, method: &str, target: &str) -> Response {
    let request = Request::new(method, target).header("accept", "application/json");
    exchange(service.address, &request).unwrap()
}

fn cached(service: &Fresnel) -> Vec<String> {
    let state = ask(service, "GET", "/v2/cache").json();
    let images = state["cached_images"].as_array().unwrap().iter();
    images
        .map(|image| image["image_id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_image_that_is_asked_for_is_cached_soon() {
    let service = caching();
    let bytes = content(SIZE, 20);
    let id = image(service.address, &bytes);
    let path = format!("/v2/cache/{id}");
    assert_eq!(ask(&service, "PUT", &path).status, 202);
    assert!(wait_until(PATIENCE, || cached(&service) == [id.as_str()]));
    lose(&service, &id);
    assert!(download(service.address, &id).body == bytes);
    let state = ask(&service, "GET", "/v2/cache").json();
    let shown = &state["cached_images"][0];
    assert_eq!(shown["size"], SIZE);
    assert_eq!(shown["hits"], 1);
    assert!(shown["last_accessed"].as_f64() >= shown["last_modified"].as_f64());
    assert_eq!(state["queued_images"].as_array().unwrap().len(), 0);
    assert_eq!(ask(&service, "DELETE", &path).status, 204);
    assert!(cached(&service).is_empty());
    assert_eq!(download(service.address, &id).status, 204);
}

#[test]
fn a_node_knows_its_own_images_and_those_of_others_by_their_records() {
    let service = caching();
    let another = Fresnel::start_after(&[], |folder| {
        let database = service.folder().join("fresnel.sqlite");
        let lines = caching_lines(folder).replace("here.example", "there.example");
        format!(
            "[database]\nconnection = sqlite:///{}\n{lines}",
            database.display()
        )
    });
    let id = image(service.address, &content(SIZE, 21));
    let path = format!("/v2/cache/nodes/{id}");
    let (here, nowhere) = (json!(["http://here.example"]), json!([]));
    assert_eq!(ask(&service, "GET", &path).json(), nowhere);
    download(service.address, &id);
    wait_until_proven(&service, &id);
    assert_eq!(ask(&service, "GET", &path).json(), here);
    let of_others = || ask(&another, "GET", &path).json();
    assert!(wait_until(PATIENCE, || of_others() == here));
    assert_eq!(ask(&service, "DELETE", "/v2/cache").status, 204);
    assert_eq!(ask(&service, "GET", &path).json(), nowhere);
    assert!(wait_until(PATIENCE, || of_others() == nowhere));
}

#[test]
fn the_cache_is_cleared_as_far_as_is_said() {
    let service = caching();
    let id = image(service.address, &content(SIZE, 22));
    download(service.address, &id);
    wait_until_proven(&service, &id);
    let clear = |target: &str| {
        let request = Request::new("DELETE", "/v2/cache").header("accept", "application/json");
        let request = request.header("x-image-cache-clear-target", target);
        exchange(service.address, &request).unwrap().status
    };
    assert_eq!(clear("all"), 400);
    assert_eq!(clear("queue"), 204);
    assert_eq!(cached(&service), [id.as_str()]);
    assert_eq!(ask(&service, "POST", "/v2/cache/clean").status, 200);
    let pruned = ask(&service, "POST", "/v2/cache/prune").json();
    let none = json!({"total_files_pruned": 0, "total_bytes_pruned": 0});
    assert_eq!(pruned, none);
    assert_eq!(clear("Cache"), 204);
    assert!(cached(&service).is_empty());
}

#[test]
fn what_cannot_be_cached_is_refused() {
    let service = caching();
    let unknown = "/v2/cache/aaaaaaaa-0000-4000-8000-000000000000";
    for method in ["PUT", "DELETE"] {
        assert_eq!(ask(&service, method, unknown).status, 404, "{method}");
    }
    let queued = crate::support::images::create(service.address);
    let refused = ask(&service, "PUT", &format!("/v2/cache/{queued}"));
    assert_eq!(refused.status, 400);
    assert_eq!(
        ask(&service, "DELETE", &format!("/v2/cache/{queued}")).status,
        204
    );
}

#[test]
fn without_a_cache_there_is_no_api() {
    let service = Fresnel::start("");
    let id = image(service.address, b"bytes");
    for (method, target) in [
        ("GET", "/v2/cache"),
        ("DELETE", "/v2/cache"),
        ("PUT", &format!("/v2/cache/{id}")),
        ("DELETE", &format!("/v2/cache/{id}")),
        ("GET", &format!("/v2/cache/nodes/{id}")),
        ("POST", "/v2/cache/clean"),
        ("POST", "/v2/cache/prune"),
    ] {
        let refused = ask(&service, method, target);
        assert_eq!(refused.status, 404, "{method} {target}");
        let text = String::from_utf8_lossy(&refused.body);
        assert!(
            text.contains("Caching via API is not supported at this site."),
            "{text}"
        );
    }
    assert_eq!(get(service.address, "/v2.14/images").status, 300);
}
