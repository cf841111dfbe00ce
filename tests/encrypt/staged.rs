//! Encrypted images through an import: containers, and plain bytes that become one as they are staged.

use fresnel::{
    api,
    control::{
        Settings,
        import::{self, Method},
    },
};
use serde_json::{Value, json};

use super::{LEN, PASSPHRASE, assert_queued, bytes, container, decrypted, image, key, plain, said};
use crate::support::{
    app::{TestApp, multistore},
    signing::Author,
    wire::{Request, Response},
};

fn service() -> TestApp {
    let settings = Settings {
        import: import::Settings {
            methods: Method::ALL.to_vec(),
            ..import::Settings::default()
        },
        ..multistore(Settings::default())
    };
    TestApp::with(settings, api::Settings::default())
}

fn stage(app: &TestApp, image: &str, bytes: &[u8]) -> Response {
    let request = Request::new("PUT", &format!("{image}/stage"));
    let request = request.header("Content-Type", "application/octet-stream");
    app.ask(plain(request).body(bytes))
}

#[track_caller]
fn import(app: &TestApp, image: &str) -> Value {
    let body = json!({"method": {"name": "glance-direct"}});
    assert_eq!(app.post(&format!("{image}/import"), &body).status, 202);
    app.imported(image)
}

#[track_caller]
fn set(app: &TestApp, image: &str, name: &str, value: &str) {
    let change = json!([{"op": "replace", "path": format!("/{name}"), "value": value}]);
    assert_eq!(app.patch(image, &change).status, 200);
}

/// A disk whose bytes nobody takes for another.
fn qcow2() -> Vec<u8> {
    let mut disk = bytes(LEN);
    disk[..104].fill(0);
    disk[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    disk
}

#[test]
fn plain_bytes_rest_nowhere_and_are_imported_as_a_container() {
    let app = service();
    for (format, disk_format, sent, head) in [
        ("LUKSv1", "raw", bytes(LEN), 2 << 20),
        ("LUKSv2", "qcow2", qcow2(), 16 << 20),
    ] {
        let image = app.create(&json!({
            "disk_format": disk_format,
            "container_format": "bare",
            "os_encrypt_format": format,
            "os_encrypt_key_id": key(&app, PASSPHRASE),
        }));
        let answer = stage(&app, &image, &sent);
        assert_eq!(answer.status, 204, "{}", said(&answer));
        let staged = app.staged(&image);
        assert_eq!(staged[..6], *b"LUKS\xba\xbe");
        assert!(staged[head..][..512] != sent[..512]);
        let record = app.get(&image).json();
        assert_eq!(record["status"], "uploading");
        assert_eq!(record["size"], staged.len());
        assert_eq!(record["disk_format"], disk_format);
        assert_eq!(record.get("os_decrypt_size"), None);
        let record = import(&app, &image);
        for (name, value) in [
            ("status", json!("active")),
            ("size", json!(staged.len())),
            ("virtual_size", json!(staged.len() - head)),
            ("disk_format", json!("luks")),
            ("os_decrypt_size", json!(LEN.to_string())),
            ("os_decrypt_disk_format", json!(disk_format)),
            (
                "os_decrypt_hash_value",
                json!(blake3::hash(&sent).to_hex().to_string()),
            ),
        ] {
            assert_eq!(record[name], value, "{name}");
        }
        assert!(decrypted(&app, &image) == sent);
        assert!(app.staging.is_empty());
    }
}

#[test]
fn a_failed_import_leaves_the_image_as_it_was() {
    let app = service();
    let sent = bytes(5000);
    let image = image(&app, "LUKSv1", &key(&app, PASSPHRASE));
    let before = app.get(&image).json();
    assert_eq!(stage(&app, &image, &sent).status, 204);
    set(&app, &image, "os_encrypt_format", "LUKSv2");
    let record = import(&app, &image);
    assert_queued(&app, &image);
    assert!(app.staging.is_empty());
    for name in ["disk_format", "container_format", "os_decrypt_size"] {
        assert_eq!(record.get(name), before.get(name));
    }
    assert_eq!(stage(&app, &image, &sent).status, 204);
    assert_eq!(import(&app, &image)["status"], "active");
    assert!(decrypted(&app, &image) == sent);
}

#[test]
fn plain_bytes_are_judged_and_verified_as_they_are_staged() {
    let app = service();
    let (author, sent) = (Author::new("ECC_SECP384R1"), bytes(5000));
    author.enter(app.keyring());
    let signed = |of: &[u8]| {
        let mut image = author.sign("SHA-256", of);
        image["disk_format"] = json!("raw");
        image["container_format"] = json!("bare");
        image["os_encrypt_format"] = json!("LUKSv1");
        image["os_encrypt_key_id"] = json!(key(&app, PASSPHRASE));
        app.create(&image)
    };
    let image = signed(b"other");
    assert_eq!(stage(&app, &image, &sent).status, 400);
    assert_queued(&app, &image);
    // Nobody can verify what is encrypted against another one.
    let image = signed(&sent);
    for (other, status) in [(true, "queued"), (false, "active")] {
        assert_eq!(stage(&app, &image, &sent).status, 204);
        let own = app.get(&image).json()["img_signature"].clone();
        let own = own.as_str().unwrap();
        if other {
            set(&app, &image, "img_signature", &own.to_lowercase());
        }
        assert_eq!(import(&app, &image)["status"], status);
        set(&app, &image, "img_signature", own);
    }
    let image = self::image(&app, "LUKSv1", &key(&app, PASSPHRASE));
    set(&app, &image, "disk_format", "qcow2");
    assert_eq!(stage(&app, &image, &sent).status, 415);
    assert_queued(&app, &image);
    let image = app.create(&json!({"disk_format": "raw", "container_format": "bare"}));
    let answer = stage(&app, &image, &sent);
    assert_eq!(answer.status, 400);
    assert!(said(&answer).contains("X-Fresnel-Plain is for images with"));
    assert!(app.staging.is_empty());
}

#[test]
fn what_is_staged_without_the_word_must_be_a_container() {
    let luks1 = container("LUKSv1", &bytes(5000));
    let app = service();
    let image = image(&app, "LUKSv1", &key(&app, PASSPHRASE));
    for (staged, status) in [(bytes(5000), "queued"), (luks1, "active")] {
        assert_eq!(app.stage(&image, &staged).status, 204);
        let done = import(&app, &image);
        assert_eq!(done["status"], status, "{done}");
    }
    assert_eq!(app.get(&image).json()["os_decrypt_size"], "5120");
    assert!(decrypted(&app, &image)[..5000] == bytes(5000));
}
