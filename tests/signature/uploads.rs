//! Images in the API: uploaded, imported, copied.

use fresnel::{
    api,
    control::{
        Settings, StoreSettings,
        import::{self, Method},
    },
    model::StoreId,
};
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, multistore, text},
    signing::{Author, Says, authority},
    web::{Faulty, Then},
    wire::{Request, Response},
};

/// More than one chunk.
const LEN: usize = 3_000_000;

fn bytes() -> Vec<u8> {
    (0..LEN).map(|at| (at ^ (at >> 8)) as u8).collect()
}

/// An image with those properties.
fn image(app: &TestApp, properties: &Value) -> String {
    let mut image = json!({"disk_format": "raw", "container_format": "bare"});
    for (name, value) in properties.as_object().unwrap() {
        image[name] = value.clone();
    }
    app.create(&image)
}

fn upload(app: &TestApp, image: &str, bytes: &[u8]) -> Response {
    let request = Request::new("PUT", &format!("{image}/file"))
        .header("Content-Type", "application/octet-stream");
    app.ask(request.body(bytes))
}

/// Nothing is published, and the image takes another upload.
#[track_caller]
fn assert_refused(app: &TestApp, properties: &Value, reason: &str) {
    let image = image(app, properties);
    let answer = upload(app, &image, &bytes());
    let id = image.rsplit('/').next().unwrap();
    let expected = format!("Signature verification failed for image {id}: {reason}");
    assert_eq!((answer.status, text(&answer)), (400, expected));
    let record = app.get(&image).json();
    assert_eq!(record["status"], "queued", "{record}");
    assert_eq!(record["size"], Value::Null);
    assert!(app.store.is_empty());
}

fn untried(reason: &str) -> String {
    format!("Signature verification for the image failed: {reason}.")
}

#[test]
fn what_is_signed_is_published() {
    let app = TestApp::new();
    for (key_type, method) in [
        ("RSA-PSS", "SHA-256"),
        ("ECC_SECP384R1", "SHA-512"),
        ("ECC_SECT409R1", "SHA-224"),
    ] {
        let author = Author::new(key_type);
        author.enter(app.keyring());
        let image = image(&app, &author.sign(method, &bytes()));
        let answer = upload(&app, &image, &bytes());
        assert_eq!(answer.status, 204, "{key_type}: {}", text(&answer));
        assert_eq!(app.get(&image).json()["status"], "active");
    }
}

#[test]
fn what_is_not_signed_is_not_published() {
    let app = TestApp::new();
    let author = Author::new("ECC_SECP384R1");
    author.enter(app.keyring());
    let good = author.sign("SHA-256", &bytes());
    let with = |name: &str, value: &str| {
        let mut properties = good.clone();
        properties[name] = json!(value);
        properties
    };
    let wrong = "Signature verification failed";
    assert_refused(&app, &author.sign("SHA-256", b"other bytes"), wrong);
    assert_refused(&app, &with("img_signature", "bm8gc2lnbmF0dXJl"), wrong);
    assert_refused(&app, &with("img_signature_hash_method", "SHA-512"), wrong);
    let hash_method = untried("Invalid signature hash method: MD5");
    assert_refused(
        &app,
        &with("img_signature_hash_method", "MD5"),
        &hash_method,
    );
    let other_key = untried("Invalid public key type for signature key type: DSA");
    assert_refused(&app, &with("img_signature_key_type", "DSA"), &other_key);
    let nowhere = "5f3c9d1e-0000-4000-8000-000000000000";
    let missing = untried(&format!("Certificate not found with ID: {nowhere}"));
    let unknown = with("img_signature_certificate_uuid", nowhere);
    assert_refused(&app, &unknown, &missing);
    let empty = untried("Error occurred while creating the verifier");
    assert_refused(&app, &with("img_signature", ""), &empty);
}

#[test]
fn three_of_the_four_properties_are_no_signature() {
    let app = TestApp::new();
    let author = Author::new("ECC_SECP384R1");
    let mut properties = author.sign("SHA-256", b"other bytes");
    properties
        .as_object_mut()
        .unwrap()
        .remove("img_signature_key_type");
    let image = image(&app, &properties);
    assert_eq!(upload(&app, &image, &bytes()).status, 204);
}

#[test]
fn a_signature_is_judged_before_the_content() {
    let app = TestApp::new();
    let author = Author::new("ECC_SECP384R1");
    author.enter(app.keyring());
    let mut properties = author.sign("SHA-256", b"other bytes");
    properties["disk_format"] = json!("qcow2");
    assert_refused(&app, &properties, "Signature verification failed");
}

#[test]
fn a_certificate_that_is_over_counts_where_the_operator_says_so() {
    let author = Author::who_says(Says {
        is_over: true,
        ..Says::default()
    });
    let properties = author.sign("SHA-384", &bytes());
    let app = TestApp::new();
    author.enter(app.keyring());
    let over = "The certificate is outside its valid date range.";
    assert_refused(&app, &properties, over);
    let mut settings = Settings::default();
    settings.certificates.check = false;
    let lenient = TestApp::with(settings, api::Settings::default());
    author.enter(lenient.keyring());
    let image = image(&lenient, &properties);
    assert_eq!(upload(&lenient, &image, &bytes()).status, 204);
}

#[test]
fn only_whom_the_operator_trusts_may_vouch() {
    let root = Author::who_says(authority());
    let mut settings = Settings::default();
    settings.certificates.trusted = vec![root.id.clone()];
    let app = TestApp::with(settings, api::Settings::default());
    let author = Author::who_says(Says {
        by: Some(&root),
        ..Says::default()
    });
    let stranger = Author::new("ECC_SECP384R1");
    for known in [&root, &author, &stranger] {
        known.enter(app.keyring());
    }
    let image = image(&app, &author.sign("SHA-256", &bytes()));
    assert_eq!(upload(&app, &image, &bytes()).status, 204);
    let refused = self::image(&app, &stranger.sign("SHA-256", &bytes()));
    let answer = upload(&app, &refused, &bytes());
    assert_eq!(answer.status, 400);
    let said = text(&answer);
    assert!(
        said.contains("Certificate chain building failed."),
        "{said}"
    );
}

/// Two stores.
fn importing() -> TestApp {
    let mut settings = Settings {
        import: import::Settings {
            methods: Method::ALL.to_vec(),
            ..import::Settings::default()
        },
        ..multistore(Settings::default())
    };
    settings.stores.push(StoreSettings {
        id: StoreId::new("other"),
        description: None,
        weight: 0,
        read_only: false,
        properties: serde_json::Map::new(),
        encryption_key: None,
    });
    TestApp::with(settings, api::Settings::default())
}

#[track_caller]
fn import(app: &TestApp, image: &str, body: &Value) -> Value {
    let answer = app.post(&format!("{image}/import"), body);
    assert_eq!(answer.status, 202, "{}", text(&answer));
    app.imported(image)
}

#[track_caller]
fn staged(app: &TestApp, properties: &Value) -> String {
    let image = image(app, properties);
    assert_eq!(app.stage(&image, &bytes()).status, 204);
    image
}

#[test]
fn an_import_and_a_copy_are_verified() {
    let app = importing();
    let author = Author::new("ECC_SECP384R1");
    author.enter(app.keyring());
    let image = staged(&app, &author.sign("SHA-384", &bytes()));
    let direct = json!({"method": {"name": "glance-direct"}, "stores": ["memory"]});
    let done = import(&app, &image, &direct);
    assert_eq!(
        (&done["status"], &done["stores"]),
        (&json!("active"), &json!("memory"))
    );
    let copy = json!({"method": {"name": "copy-image"}, "stores": ["other"]});
    let done = import(&app, &image, &copy);
    assert_eq!(done["stores"], "memory,other");
}

#[test]
fn an_import_of_what_is_not_signed_leaves_nothing() {
    let app = importing();
    let author = Author::new("ECC_SECP384R1");
    author.enter(app.keyring());
    let wrong = author.sign("SHA-384", b"other bytes");
    let stranger = Author::new("ECC_SECP384R1").sign("SHA-384", &bytes());
    for (properties, reason) in [
        (wrong, "Signature verification failed"),
        (stranger, "Certificate not found with ID"),
    ] {
        let image = staged(&app, &properties);
        let body = json!({"method": {"name": "glance-direct"}, "all_stores": true});
        let done = import(&app, &image, &body);
        assert_eq!(done["status"], "queued", "{done}");
        assert!(app.store.is_empty() && app.other.is_empty());
        let tasks = app.get(&format!("{image}/tasks")).json();
        let message = tasks["tasks"][0]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn the_image_of_a_task_is_verified() {
    let app = TestApp::new();
    let author = Author::new("ECC_SECP384R1");
    author.enter(app.keyring());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n");
    let server = Faulty::start(move |_| ([head.as_bytes(), &bytes()].concat(), Then::Close));
    for (signed, status) in [(bytes(), "success"), (b"other bytes".to_vec(), "failure")] {
        let mut properties = author.sign("SHA-384", &signed);
        properties["disk_format"] = json!("raw");
        properties["container_format"] = json!("bare");
        let input = json!({"import_from": server.url(), "import_from_format": "raw",
                           "image_properties": properties});
        let begun = app.post("/v2/tasks", &json!({"type": "import", "input": input}));
        let task = app.ended(begun.json()["self"].as_str().unwrap());
        assert_eq!(task["status"], status, "{task}");
    }
}
