//! `fresnel key`, and the whole program: files by sendfile, and nothing of a key in its log.

use std::fs;

use serde_json::json;

use super::{LEN, bytes, plain, with_key};
use crate::support::{
    process::Fresnel,
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
