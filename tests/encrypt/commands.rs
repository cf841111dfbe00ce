//! `fresnel key`, and the whole program: files by sendfile, and nothing of a key in its log.

use std::{fs, time::Duration};

use serde_json::json;

use super::{LEN, bytes, plain, with_key};
use crate::support::{
    process::Fresnel,
    wait_until,
    wire::{Request, exchange},
};

const ID: &str = "6b5d1c5e-6a0c-4d55-9b8e-6f7f6f1f2a01";
const OTHER: &str = "6b5d1c5e-6a0c-4d55-9b8e-6f7f6f1f2a02";

#[test]
fn a_key_is_imported_listed_used_copied_and_deleted() {
    let service = Fresnel::start("");
    let file = service.folder().join("passphrase");
    fs::write(&file, "hunter2 and more\n").unwrap();
    let command = |words: &str| {
        let output = service.command(words);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let import = format!("key import --id {ID} --passphrase-file {}", file.display());
    assert_eq!(command(&import), (Some(0), String::new()));
    let (code, text) = command(&import);
    assert_eq!(code, Some(1));
    assert!(text.contains("there is a key of the id"), "{text}");
    assert_eq!(command("key list"), (Some(0), format!("{ID}\n")));
    let listed = format!("{{\"id\":\"{ID}\"}}\n");
    assert_eq!(command("key list --json"), (Some(0), listed));
    let copy = format!("key copy {ID} {OTHER}");
    assert_eq!(command(&copy), (Some(0), String::new()));
    let ask = |request: Request| exchange(service.address, &request).unwrap();
    let body = json!({
        "disk_format": "raw",
        "container_format": "bare",
        "os_encrypt_format": "LUKSv1",
        "os_encrypt_key_id": ID,
    });
    let created = ask(Request::new("POST", "/v2/images").body(body.to_string()));
    let path = format!("{}/file", created.json()["self"].as_str().unwrap());
    let put = Request::new("PUT", &path).header("Content-Type", "application/octet-stream");
    assert_eq!(ask(plain(put).body(bytes(LEN))).status, 204);
    assert!(ask(plain(Request::new("GET", &path))).body == bytes(LEN));
    let part = plain(Request::new("GET", &path)).header("Range", "bytes=1000001-2000000");
    assert!(ask(part).body == bytes(LEN)[1_000_001..=2_000_000]);
    let delete = |id: &str| command(&format!("key delete {id}"));
    assert_eq!(delete(ID), (Some(0), String::new()));
    assert_eq!(command("key list"), (Some(0), format!("{OTHER}\n")));
    assert_eq!(delete(ID).0, Some(1));
    // Who asks for it again must be able to have its key.
    assert_eq!(ask(plain(Request::new("GET", &path))).status, 400);
    let image = path.trim_end_matches("/file");
    assert_eq!(ask(with_key(image, OTHER)).status, 200);
    assert!(ask(plain(Request::new("GET", &path))).body == bytes(LEN));
    assert!(!service.log().contains("hunter2"));
}

/// Twice as long as until a job is looked for.
const LOOKED: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_key_goes_with_its_image_and_not_before_the_data() {
    let service = Fresnel::start("[DEFAULT]\ndelayed_delete = true");
    let file = service.folder().join("passphrase");
    fs::write(&file, "hunter2").unwrap();
    let keys = || String::from_utf8(service.command("key list").stdout).unwrap();
    let ask = |request: Request| exchange(service.address, &request).unwrap();
    let image = |key: &str, policy: &str| {
        let id = uuid::Uuid::new_v4().to_string();
        let words = format!("key import --id {key} --passphrase-file {}", file.display());
        let imported = service.command(&format!("{words} --image {id}"));
        assert!(imported.status.success(), "{imported:?}");
        let body = json!({
            "id": id,
            "disk_format": "raw",
            "container_format": "bare",
            "os_encrypt_format": "LUKSv1",
            "os_encrypt_key_id": key,
            "os_encrypt_key_deletion_policy": policy,
        });
        let created = ask(Request::new("POST", "/v2/images").body(body.to_string()));
        assert_eq!(created.status, 201);
        let image = format!("/v2/images/{id}");
        let put = Request::new("PUT", &format!("{image}/file"));
        let put = put.header("Content-Type", "application/octet-stream");
        assert_eq!(ask(plain(put.body("bytes"))).status, 204);
        image
    };
    let (going, staying) = (image(ID, "on_image_deletion"), image(OTHER, "False"));
    let delete = || {
        for image in [&going, &staying] {
            assert_eq!(ask(Request::new("DELETE", image)).status, 204);
        }
        let both = format!("{ID}\n{OTHER}\n");
        assert!(!wait_until(LOOKED, || keys() != both));
    };
    delete();
    for image in [&going, &staying] {
        let id = image.rsplit('/').next().unwrap();
        let restored = service.command(&format!("image restore {id}"));
        assert!(restored.status.success(), "{restored:?}");
        let get = Request::new("GET", &format!("{image}/file"));
        assert_eq!(ask(plain(get)).body, b"bytes");
    }
    // The key of a restored image is not in danger from its first deletion.
    let told = || service.log().contains("A restored image keeps its keys");
    assert!(wait_until(PATIENCE, told), "{}", service.log());
    delete();
    assert_eq!(service.lines("scrub").len(), 2);
    let gone = || keys() == format!("{OTHER}\n");
    assert!(wait_until(PATIENCE, gone), "{}", service.log());
}
