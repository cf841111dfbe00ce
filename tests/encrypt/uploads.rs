//! Encrypted images in the API.

use serde_json::json;

use super::{
    LEN, PASSPHRASE, assert_queued, bytes, container, decrypted, get, image, key, plain, put, said,
    sealed, with_key,
};
use crate::support::{app::TestApp, signing::Author, wire::Payload};

fn ranged(app: &TestApp, image: &str, range: &str) -> (u16, String, Vec<u8>) {
    let answer = app.ask(plain(get(image)).header("Range", range));
    let range = answer.header("content-range").unwrap_or_default();
    (answer.status, range.to_owned(), answer.body.clone())
}

#[test]
fn plain_bytes_become_a_container_and_come_back() {
    let app = TestApp::new();
    let sent = bytes(LEN);
    for (format, head, sector) in [("LUKSv1", 2 << 20, 512), ("LUKSv2", 16 << 20, 4096)] {
        let image = sealed(&app, format, &sent);
        let record = app.get(&image).json();
        let size = head + LEN.next_multiple_of(sector);
        for (name, value) in [
            ("status", json!("active")),
            ("size", json!(size)),
            ("virtual_size", json!(size - head)),
            ("disk_format", json!("luks")),
            ("container_format", json!("bare")),
            ("os_decrypt_size", json!(LEN.to_string())),
            ("os_decrypt_container_format", json!("bare")),
            ("os_decrypt_disk_format", json!("raw")),
            ("os_decrypt_hash_algo", json!("blake3")),
            (
                "os_decrypt_hash_value",
                json!(blake3::hash(&sent).to_hex().to_string()),
            ),
        ] {
            assert_eq!(record[name], value, "{name}");
        }
        let stored = app.ask(get(&image));
        assert_eq!(stored.body.len(), size);
        assert_eq!(stored.body[..6], *b"LUKS\xba\xbe");
        let md5 = openssl::hash::hash(openssl::hash::MessageDigest::md5(), &stored.body).unwrap();
        let md5: String = md5.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(record["checksum"], json!(md5));
        assert_eq!(stored.header("content-md5"), Some(md5.as_str()));
        let answer = app.ask(plain(get(&image)));
        assert_eq!(answer.header("content-md5"), None);
        assert!(answer.body == sent, "{format}");
    }
}

/// Though it is not configured here.
#[test]
fn an_image_may_be_luks_from_the_beginning_if_it_says_how() {
    let app = TestApp::new();
    let image = json!({"disk_format": "luks", "container_format": "bare"});
    assert_eq!(app.post("/v2/images", &image).status, 400);
    let mut image = image;
    image["os_encrypt_format"] = json!("LUKSv1");
    image["os_encrypt_key_id"] = json!(key(&app, PASSPHRASE));
    let image = app.create(&image);
    assert_eq!(app.ask(plain(put(&image, &bytes(5000)))).status, 204);
    let record = app.get(&image).json();
    assert_eq!(record["disk_format"], "luks");
    assert_eq!(record["os_decrypt_disk_format"], "raw");
    let change = json!([{"op": "replace", "path": "/name", "value": "other"}]);
    assert_eq!(app.patch(&image, &change).status, 200);
    assert!(decrypted(&app, &image) == bytes(5000));
}

#[test]
fn any_range_of_the_plain_bytes_is_given() {
    let app = TestApp::new();
    let sent = bytes(LEN);
    for format in ["LUKSv1", "LUKSv2"] {
        let image = sealed(&app, format, &sent);
        for (first, last) in [
            (0, 0),
            (511, 512),
            (4095, 4096),
            (1_048_575, 1_048_577),
            (1_000_003, 2_999_999),
            (LEN - 1, LEN - 1),
        ] {
            let (status, range, body) = ranged(&app, &image, &format!("bytes={first}-{last}"));
            assert_eq!(status, 206);
            assert_eq!(range, format!("bytes {first}-{last}/{LEN}"));
            assert!(body == sent[first..=last], "{first}-{last}");
        }
        let (status, range, body) = ranged(&app, &image, "bytes=-7");
        assert_eq!((status, &body[..]), (206, &sent[LEN - 7..]));
        assert!(range.ends_with(&format!("/{LEN}")), "{range}");
        let beyond = format!("bytes={LEN}-");
        assert_eq!(ranged(&app, &image, &beyond).0, 416);
    }
}

#[test]
fn nothing_much_and_what_is_not_declared_become_containers_too() {
    let app = TestApp::new();
    for (format, len) in [
        ("LUKSv1", 0),
        ("LUKSv2", 1),
        ("LUKSv1", 512),
        ("LUKSv2", LEN),
    ] {
        let sent = bytes(len);
        let image = image(&app, format, &key(&app, PASSPHRASE));
        let mut request = plain(put(&image, b""));
        request.body = Payload::Chunked(sent.clone(), 700);
        assert_eq!(app.ask(request).status, 204);
        assert!(decrypted(&app, &image) == sent, "{format} {len}");
    }
}

/// It costs more iterations, or memory.
#[test]
fn a_passphrase_that_a_person_has_chosen_opens_too() {
    let app = TestApp::new();
    for format in ["LUKSv1", "LUKSv2"] {
        let image = image(&app, format, &key(&app, b"correct horse battery staple"));
        assert_eq!(app.ask(plain(put(&image, b"bytes"))).status, 204);
        assert_eq!(decrypted(&app, &image), b"bytes");
    }
}

#[test]
fn the_sizes_that_were_declared_bind() {
    let app = TestApp::new();
    let image = image(&app, "LUKSv1", &key(&app, PASSPHRASE));
    let request = plain(put(&image, &bytes(1000))).header("X-OpenStack-Image-Size", "999");
    let answer = app.ask(request);
    assert_eq!(answer.status, 400);
    assert!(said(&answer).contains("Size exceeds"), "{}", said(&answer));
    assert_queued(&app, &image);
}

#[test]
fn plain_bytes_need_a_format_and_a_key() {
    let app = TestApp::new();
    let key = key(&app, PASSPHRASE);
    let raw = json!({"disk_format": "raw", "container_format": "bare"});
    let with = |properties: &[(&str, &str)]| {
        let mut image = raw.clone();
        for (name, value) in properties {
            image[*name] = json!(value);
        }
        app.create(&image)
    };
    let missing = "5f3c9d1e-0000-4000-8000-000000000000";
    for (properties, reason) in [
        (&[][..], "X-Fresnel-Plain is for images with"),
        (
            &[("os_encrypt_key_id", key.as_str())],
            "X-Fresnel-Plain is for",
        ),
        (&[("os_encrypt_format", "LUKSv1")], "X-Fresnel-Plain is for"),
        (
            &[("os_encrypt_format", "GPG"), ("os_encrypt_key_id", &key)],
            "X-Fresnel-Plain is for",
        ),
        (
            &[
                ("os_encrypt_format", "LUKSv1"),
                ("os_encrypt_key_id", missing),
            ],
            "Unable to retrieve the encryption key with ID: 5f3c9d1e",
        ),
    ] {
        let image = with(properties);
        let answer = app.ask(plain(put(&image, b"bytes")));
        assert_eq!(answer.status, 400);
        assert!(said(&answer).contains(reason), "{}", said(&answer));
        assert_queued(&app, &image);
    }
    let image = with(&[]);
    let answer = app.ask(put(&image, b"x").header("X-Fresnel-Plain", "perhaps"));
    assert_eq!(answer.status, 400);
    assert!(app.store.is_empty());
}

#[test]
fn a_container_is_stored_as_it_is_if_its_key_opens_it() {
    let sent = bytes(100_000);
    for format in ["LUKSv1", "LUKSv2"] {
        let container = container(format, &sent);
        let app = TestApp::new();
        let right = key(&app, PASSPHRASE);
        let image = image(&app, format, &right);
        assert_eq!(app.ask(put(&image, &container)).status, 204);
        assert!(app.ask(get(&image)).body == container);
        let record = app.get(&image).json();
        let sector = if format == "LUKSv1" { 512 } else { 4096 };
        let payload = sent.len().next_multiple_of(sector);
        assert_eq!(record["os_decrypt_size"], payload.to_string());
        assert_eq!(decrypted(&app, &image)[..sent.len()], sent);
        // A key that cannot be had is no reason to refuse it.
        let missing = "5f3c9d1e-0000-4000-8000-000000000000";
        let image = self::image(&app, format, missing);
        assert_eq!(app.ask(put(&image, &container)).status, 204);
        assert_eq!(app.ask(plain(get(&image))).status, 400);
    }
}

#[test]
fn what_is_no_container_is_refused_and_may_be_sent_again() {
    let app = TestApp::new();
    let (right, wrong) = (key(&app, PASSPHRASE), key(&app, b"hunter2"));
    let luks1 = container("LUKSv1", &bytes(5000));
    let luks2 = container("LUKSv2", &bytes(5000));
    let mut damaged = luks2.clone();
    damaged[5000] ^= 1;
    let start = &luks1[..100_000];
    for (format, key, body, reason) in [
        (
            "LUKSv1",
            &right,
            &bytes(700_000)[..],
            "the data is no LUKS container",
        ),
        ("LUKSv2", &right, b"", "the data is no LUKS container"),
        (
            "LUKSv1",
            &right,
            &luks2,
            "the LUKS container is LUKSv2, not LUKSv1",
        ),
        (
            "LUKSv2",
            &right,
            &luks1,
            "the LUKS container is LUKSv1, not LUKSv2",
        ),
        (
            "LUKSv1",
            &wrong,
            &luks1,
            "the key does not open the LUKS container",
        ),
        (
            "LUKSv2",
            &wrong,
            &luks2,
            "the key does not open the LUKS container",
        ),
        ("LUKSv2", &right, &damaged, "its checksum is wrong"),
        ("LUKSv1", &right, start, "it ends in its key slots"),
    ] {
        let image = image(&app, format, key);
        let answer = app.ask(put(&image, body));
        assert_eq!(answer.status, 415, "{reason}");
        assert!(said(&answer).contains(reason), "{}", said(&answer));
        assert_queued(&app, &image);
        let answer = app.ask(plain(put(&image, &bytes(5000))));
        assert_eq!(answer.status, 204, "{}", said(&answer));
    }
}

/// As Glance's inspector has it; and who says GPG means something else.
#[test]
fn version_2_wants_its_property() {
    let app = TestApp::new();
    let luks2 = container("LUKSv2", &bytes(5000));
    let image = app.create(&json!({"disk_format": "raw", "container_format": "bare"}));
    assert_eq!(app.ask(put(&image, &luks2)).status, 415);
    let other = self::image(&app, "GPG", "some-key");
    assert_eq!(app.ask(put(&other, b"whatever")).status, 204);
}

#[test]
fn an_image_that_is_not_encrypted_is_plain_already() {
    let app = TestApp::new();
    let image = app.upload(b"some bytes");
    assert_eq!(decrypted(&app, &image), b"some bytes");
}

#[test]
fn the_image_of_an_encrypted_volume_is_decrypted_with_cinders_key() {
    let sent = bytes(100_000);
    let luks1 = container("LUKSv1", &sent);
    let app = TestApp::new();
    let image = app.create(&json!({
        "disk_format": "raw",
        "container_format": "bare",
        "cinder_encryption_key_id": key(&app, PASSPHRASE),
        "cinder_encryption_key_deletion_policy": "on_image_deletion",
    }));
    assert_eq!(app.ask(put(&image, &luks1)).status, 204);
    assert_eq!(app.get(&image).json()["disk_format"], "raw");
    assert_eq!(decrypted(&app, &image)[..sent.len()], sent);
    // Keys of a directory are everybody's: nobody has said that this one goes with that image.
    assert_eq!(app.delete(&image).status, 204);
    assert_eq!(
        fresnel::client::key_manager::Keyring::new(app.keyring().into())
            .keys()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn another_key_id_is_another_way_to_the_same_passphrase() {
    let app = TestApp::new();
    let sent = bytes(5000);
    let image = sealed(&app, "LUKSv2", &sent);
    assert!(decrypted(&app, &image) == sent);
    let change = |id: &str| assert_eq!(app.ask(with_key(&image, id)).status, 200);
    change(&key(&app, b"hunter2"));
    let answer = app.ask(plain(get(&image)));
    assert_eq!(answer.status, 409);
    assert!(
        said(&answer).contains("the key does not open"),
        "{}",
        said(&answer)
    );
    change(&key(&app, PASSPHRASE));
    assert!(decrypted(&app, &image) == sent);
}

#[test]
fn a_size_that_cannot_be_true_is_none() {
    let app = TestApp::new();
    let sent = bytes(5000);
    let image = sealed(&app, "LUKSv1", &sent);
    for (size, expected) in [("1", 5120), ("999999", 5120), ("-1", 5120), ("5001", 5001)] {
        let change = json!([{"op": "replace", "path": "/os_decrypt_size", "value": size}]);
        assert_eq!(app.patch(&image, &change).status, 200);
        assert_eq!(decrypted(&app, &image).len(), expected, "{size}");
    }
}

#[test]
fn a_signature_is_of_the_bytes_that_are_sent() {
    let app = TestApp::new();
    let (author, sent) = (Author::new("ECC_SECP384R1"), bytes(100_000));
    author.enter(app.keyring());
    for method in ["SHA-256", "SHA-512"] {
        for (signed, status) in [(&sent[..], 204), (b"other", 400)] {
            let mut image = author.sign(method, signed);
            image["disk_format"] = json!("raw");
            image["container_format"] = json!("bare");
            image["os_encrypt_format"] = json!("LUKSv1");
            image["os_encrypt_key_id"] = json!(key(&app, PASSPHRASE));
            let image = app.create(&image);
            let answer = app.ask(plain(put(&image, &sent)));
            assert_eq!(answer.status, status, "{}", said(&answer));
        }
    }
}

/// What is in it is looked at as any other data is.
#[test]
fn what_becomes_a_container_is_what_its_image_says() {
    let app = TestApp::new();
    let image = app.create(&json!({
        "disk_format": "qcow2",
        "container_format": "bare",
        "os_encrypt_format": "LUKSv1",
        "os_encrypt_key_id": key(&app, PASSPHRASE),
    }));
    let answer = app.ask(plain(put(&image, &bytes(5000))));
    assert_eq!(answer.status, 415);
    assert_queued(&app, &image);
    // Its own encryption is another, and this has none.
    let mut qcow2 = [0; 65_536];
    qcow2[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    let answer = app.ask(put(&image, &qcow2));
    assert_eq!(answer.status, 415);
    qcow2[35] = 2;
    assert_eq!(app.ask(put(&image, &qcow2)).status, 204);
    assert_eq!(app.get(&image).json()["disk_format"], "qcow2");
    assert_eq!(app.ask(plain(get(&image))).status, 400);
}

/// The pool has 8 MiB: two times four buffers and what they were admitted with.
#[test]
fn many_transfers_at_once_need_no_more_memory() {
    let app = TestApp::new();
    let sent = bytes(9_000_000);
    std::thread::scope(|scope| {
        for format in ["LUKSv1", "LUKSv2", "LUKSv1", "LUKSv2"] {
            let (app, sent) = (&app, &sent);
            scope.spawn(move || {
                let image = sealed(app, format, sent);
                assert!(decrypted(app, &image) == *sent);
            });
        }
    });
}
