//! A store that encrypts whatever is put there: users see plain bytes, the disk a container.

use std::fs;

use fresnel::client::key_manager::Keyring;
use openssl::hash::{MessageDigest, hash};
use serde_json::json;

use super::{LEN, PASSPHRASE, bytes, folder, peers::by_qemu, put};
use crate::support::{
    process::Fresnel,
    proxy::{Act, Proxy},
    wire::{Request, Response, exchange},
};

const KEY: &str = "6b5d1c5e-6a0c-4d55-9b8e-6f7f6f1f2a01";

#[test]
fn what_rests_is_a_container_and_nobody_sees_that() {
    let mut service = Fresnel::start_after(&[], |folder| {
        let keyring = Keyring::new(folder.join("keyring"));
        keyring.import(KEY, PASSPHRASE).unwrap();
        format!("[glance_store]\nfresnel_encryption_key = {KEY}\n")
    });
    let address = service.address;
    let ask = |request: Request| -> Response { exchange(address, &request).unwrap() };
    let body = json!({"disk_format": "raw", "container_format": "bare"});
    let created = ask(Request::new("POST", "/v2/images").body(body.to_string()));
    let path = created.json()["self"].as_str().unwrap().to_owned();
    let sent = bytes(LEN);
    assert_eq!(ask(put(&path, &sent)).status, 204, "{}", service.log());
    let record = ask(Request::new("GET", &path)).json();
    let md5 = hash(MessageDigest::md5(), &sent).unwrap();
    let md5: String = md5.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(record["size"], json!(LEN));
    assert_eq!(record["checksum"], json!(md5));
    assert_eq!(record["disk_format"], "raw");
    let get = || Request::new("GET", &format!("{path}/file"));
    assert!(ask(get()).body == sent);
    let part = get().header("Range", "bytes=1000001-2000000");
    assert!(ask(part).body == sent[1_000_001..=2_000_000]);
    // The address would lead to what is encrypted.
    let locations = ask(Request::new("GET", &format!("{path}/locations")));
    assert_eq!(locations.json(), json!([]));
    no_node_keeps_it(&service, &path, &sent);
    // What is on the disk is opened by its key, and the service no more without.
    let id = path.rsplit('/').next().unwrap();
    let object = service.folder().join("images").join(id);
    let start = &fs::read(&object).unwrap()[..6];
    assert_eq!(start, b"LUKS\xba\xbe");
    let pass = folder();
    let read = by_qemu(pass.path(), &object.display().to_string());
    assert!(read[..LEN] == sent);
    assert!(read.len() <= LEN.next_multiple_of(512) + 512);
    let deleted = service.command(&format!("key delete {KEY}"));
    assert!(deleted.status.success());
    service.kill();
    let refused = service.command("serve");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("fresnel_encryption_key"), "{told}");
}

/// Not even one that hears nothing of us but what a Glance would say, as with a token for images alone.
fn no_node_keeps_it(service: &Fresnel, path: &str, bytes: &[u8]) {
    let proxy = Proxy::start(service.address);
    let node = Fresnel::node(proxy.address, "[fresnel]\ncache_free_disk_mib = 0\n");
    for status in [200, 401] {
        proxy.rule(move |_, target| match target.starts_with("/v2/fresnel") {
            true if status != 200 => Act::Answer(status),
            _ => Act::Pass,
        });
        let request = Request::new("GET", &format!("{path}/file"));
        assert!(exchange(node.address, &request).unwrap().body == bytes);
        let listed = node.command("cache list");
        let id = path.rsplit('/').next().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(!listed.contains(id), "{listed}");
    }
}
