//! Plugins between the source and the stores: real files of `qemu-img`, packed by Python.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, time::Duration};

use fresnel::{
    api,
    control::{
        Settings,
        import::{Inject, Method, Plugins},
    },
    data::{inspect::Format, stage},
};
use serde_json::{Value, json};

use super::{app_with, direct, import, md5, task};
use crate::support::{
    app::TestApp,
    lab, wait_until,
    web::{Faulty, Then},
};

const PATIENCE: Duration = Duration::from_secs(10);

const DISK_LEN: usize = 3 << 20;

/// With these plugins, and a directory of their own.
struct Plugged {
    app: TestApp,
    scratch: tempfile::TempDir,
}

fn plugged(decompress: bool, convert: Option<Format>, inject: Option<Inject>) -> Plugged {
    let scratch = tempfile::tempdir().unwrap();
    let app = app_with(import::Settings {
        plugins: Plugins {
            stage: stage::Plugins {
                decompress,
                convert,
            },
            inject,
        },
        scratch: scratch.path().to_owned(),
        ..import::Settings::default()
    });
    Plugged { app, scratch }
}

impl Plugged {
    /// Stages the file and imports it into both stores.
    #[track_caller]
    fn import(&self, file: &[u8], disk_format: &str) -> Value {
        let image = self.create(disk_format);
        assert_eq!(self.app.stage(&image, file).status, 204);
        self.settled(&image, &direct(json!({"all_stores": true})))
    }

    fn create(&self, disk_format: &str) -> String {
        let new = json!({"disk_format": disk_format, "container_format": "bare"});
        self.app.create(&new)
    }

    #[track_caller]
    fn settled(&self, image: &str, body: &Value) -> Value {
        let shown = import(&self.app, image, body);
        // A thread that may wait removes them.
        let is_empty = || self.scratch.path().read_dir().unwrap().count() == 0;
        assert!(wait_until(PATIENCE, is_empty), "files of the import stay");
        shown
    }

    fn data(&self, image: &Value) -> Vec<u8> {
        let file = image["file"].as_str().unwrap();
        self.app.get(file).body
    }
}

fn disk() -> Vec<u8> {
    (0..DISK_LEN).map(|at| (at >> 13) as u8).collect()
}

/// The disk as an image of that format.
fn image(format: &str) -> Vec<u8> {
    let (_folder, made) = file(&disk());
    let to = made.with_extension(format);
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "raw", "-O", format]);
    if format == "vmdk" {
        convert.args(["-o", "subformat=streamOptimized"]);
    }
    lab::run(convert.arg(&made).arg(&to));
    fs::read(to).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let (_folder, path) = file(bytes);
    lab::run(Command::new("gzip").arg(&path));
    fs::read(path.with_extension("gz")).unwrap()
}

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn what_comes_packed_is_stored_unpacked() {
    let plugged = plugged(true, None, None);
    let shown = plugged.import(&gzip(&disk()), "raw");
    assert_eq!(
        (&shown["status"], &shown["size"]),
        (&json!("active"), &json!(DISK_LEN))
    );
    assert_eq!(shown["checksum"], md5(&disk()));
    assert_eq!(shown["stores"], "memory,other");
    assert!(plugged.data(&shown) == disk());
    let plain = plugged.import(&disk(), "raw");
    assert_eq!(plain["checksum"], md5(&disk()));
}

#[test]
fn a_compressed_container_stays_as_it_is() {
    let plugged = plugged(true, None, None);
    let packed = gzip(&disk());
    let new = json!({"disk_format": "raw", "container_format": "compressed"});
    let image = plugged.app.create(&new);
    plugged.app.stage(&image, &packed);
    let shown = plugged.settled(&image, &direct(json!({})));
    assert_eq!(shown["checksum"], md5(&packed));
}

#[test]
fn what_is_packed_and_damaged_leaves_an_image_that_can_be_staged_again() {
    let plugged = plugged(true, None, None);
    let mut packed = gzip(&disk());
    let middle = packed.len() / 2;
    packed.truncate(middle);
    let shown = plugged.import(&packed, "raw");
    assert_eq!(shown["status"], "queued");
    let image = shown["self"].as_str().unwrap();
    let message = task(&plugged.app, image)["message"].clone();
    assert!(
        message.as_str().unwrap().contains("cannot be read"),
        "{message}"
    );
    assert_eq!(plugged.app.stage(image, &gzip(&disk())).status, 204);
    let shown = plugged.settled(image, &direct(json!({})));
    assert_eq!(shown["checksum"], md5(&disk()));
}

#[test]
fn what_is_unpacked_counts_against_the_quota() {
    let scratch = tempfile::tempdir().unwrap();
    let settings = import::Settings {
        methods: Method::ALL.to_vec(),
        plugins: Plugins {
            stage: stage::Plugins {
                decompress: true,
                convert: None,
            },
            inject: None,
        },
        ..import::Settings::default()
    };
    let settings = Settings {
        import: settings,
        user_storage_quota_bytes: Some(DISK_LEN as u64 - 1),
        ..Settings::default()
    };
    let app = TestApp::with(settings, api::Settings::default());
    let plugged = Plugged { app, scratch };
    let image = plugged.create("raw");
    assert_eq!(plugged.app.stage(&image, &gzip(&disk())).status, 204);
    let shown = plugged.settled(&image, &direct(json!({})));
    assert_eq!(shown["status"], "queued");
    let message = task(&plugged.app, &image)["message"].clone();
    let said = "Image exceeds the storage quota";
    assert!(message.as_str().unwrap().starts_with(said), "{message}");
    assert!(plugged.app.store.is_empty());
}

#[test]
fn images_become_raw_on_their_way() {
    let plugged = plugged(true, Some(Format::Raw), None);
    for format in ["qcow2", "vmdk", "raw"] {
        let shown = plugged.import(&image(format), format);
        assert_eq!(shown["status"], "active", "{format}");
        assert_eq!(shown["disk_format"], "raw");
        assert_eq!(shown["container_format"], "bare");
        assert_eq!(shown["size"], DISK_LEN, "{format}");
        assert_eq!(shown["virtual_size"], DISK_LEN, "{format}");
        assert_eq!(shown["checksum"], md5(&disk()), "{format}");
        assert!(plugged.data(&shown) == disk(), "{format}");
    }
}

#[test]
fn what_comes_packed_from_the_web_becomes_qcow2() {
    let plugged = plugged(true, Some(Format::Qcow2), None);
    let packed = gzip(&disk());
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    );
    let answer = [head.as_bytes(), &packed].concat();
    let server = Faulty::start(move |_| (answer.clone(), Then::Close));
    let image = plugged.create("raw");
    let method = json!({"name": "web-download", "uri": server.url()});
    let shown = plugged.settled(&image, &json!({"method": method, "all_stores": true}));
    assert_eq!(
        (&shown["status"], &shown["disk_format"]),
        (&json!("active"), &json!("qcow2"))
    );
    assert_eq!(shown["virtual_size"], DISK_LEN);
    let (_folder, path) = file(&plugged.data(&shown));
    let mut compare = Command::new("qemu-img");
    let (_other, raw) = file(&disk());
    lab::run(
        compare
            .args(["compare", "-f", "qcow2", "-F", "raw"])
            .arg(path)
            .arg(raw),
    );
}

#[test]
fn what_is_not_what_it_says_is_not_converted() {
    let plugged = plugged(false, Some(Format::Raw), None);
    let shown = plugged.import(&image("qcow2"), "vmdk");
    assert_eq!(
        (&shown["status"], &shown["disk_format"]),
        (&json!("queued"), &json!("vmdk"))
    );
    assert_eq!(shown["os_glance_failed_import"], "memory,other");
    let shown = plugged.import(&image("qcow2"), "raw");
    assert_eq!(shown["status"], "queued");
}

#[test]
fn images_get_the_operators_properties_but_those_of_who_is_spared() {
    let inject = |spared: &[&str]| Inject {
        properties: BTreeMap::from([("from".to_owned(), "import".to_owned())]),
        spared_roles: spared.iter().map(|role| (*role).to_owned()).collect(),
    };
    let shown = plugged(false, None, Some(inject(&[]))).import(&disk(), "raw");
    assert_eq!(
        (&shown["status"], &shown["from"]),
        (&json!("active"), &json!("import"))
    );
    let shown = plugged(false, None, Some(inject(&["admin"]))).import(&disk(), "raw");
    assert_eq!(
        (&shown["status"], &shown["from"]),
        (&json!("active"), &Value::Null)
    );
}
