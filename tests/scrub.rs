//! `fresnel scrub`, `fresnel image recover` and `restore`: the commands beside a running service, on
//! one database and one directory of images.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use fresnel::{
    control::db::{Config, Db, Viewer},
    model::{ImageId, Status},
};
use serde_json::Value;

use crate::support::{
    process::Fresnel,
    wait_until,
    wire::{Request, exchange},
};

const BYTES: &[u8] = b"bytes of an image";
const DAY: Duration = Duration::from_secs(86400);
/// Three leases of the shortest length.
const LEASE_LIMIT: Duration = Duration::from_secs(30);

fn images(node: &Fresnel) -> PathBuf {
    node.folder().join("images")
}

fn ask(node: &Fresnel, method: &str, path: &str) -> (u16, Vec<u8>) {
    let answer = exchange(node.address, &Request::new(method, path)).unwrap();
    (answer.status, answer.body)
}

fn create(node: &Fresnel) -> String {
    let body = r#"{"disk_format": "raw", "container_format": "bare"}"#;
    let answer = exchange(node.address, &Request::new("POST", "/v2/images").body(body)).unwrap();
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn put(node: &Fresnel, image: &str) -> u16 {
    let request = Request::new("PUT", &format!("/v2/images/{image}/file"))
        .header("Content-Type", "application/octet-stream");
    exchange(node.address, &request.body(BYTES)).unwrap().status
}

fn upload(node: &Fresnel) -> String {
    let image = create(node);
    assert_eq!(put(node, &image), 204);
    image
}

fn delete(node: &Fresnel, image: &str) {
    assert_eq!(ask(node, "DELETE", &format!("/v2/images/{image}")).0, 204);
}

/// The line about what ends in `name`.
#[track_caller]
pub(crate) fn about<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    let found = lines
        .iter()
        .find(|line| line["address"].as_str().unwrap().ends_with(name));
    found.unwrap_or_else(|| panic!("nothing about {name}: {lines:?}"))
}

fn old(path: &Path, age: Duration) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

/// A file that no image has, three days old.
fn stray(node: &Fresnel, name: &str) -> PathBuf {
    let path = images(node).join(name);
    fs::write(&path, BYTES).unwrap();
    old(&path, 3 * DAY);
    path
}

/// A deleted image whose file is there again, three days old.
fn left_over(node: &Fresnel) -> (String, PathBuf) {
    let image = upload(node);
    delete(node, &image);
    let path = stray(node, &image);
    (image, path)
}

/// Makes the image what a process leaves that has died: under way, three days ago.
fn abandon(node: &Fresnel, image: &str, status: Status) {
    let config = Config {
        url: format!(
            "sqlite:///{}",
            node.folder().join("fresnel.sqlite").display()
        ),
        ..Config::default()
    };
    let everything = Viewer {
        project: None,
        is_admin: true,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let db = Db::connect(&config).await.unwrap();
        let before = db
            .image(&ImageId::new(image), &everything)
            .await
            .unwrap()
            .image;
        let mut after = before.clone();
        after.status = status;
        after.updated_at = before.updated_at - chrono::Duration::days(3);
        let stores = Some("file".to_owned());
        after
            .properties
            .insert("os_glance_importing_to_stores".to_owned(), stores);
        db.image_save(&before, &after).await.unwrap();
    });
}

#[test]
fn what_no_image_has_is_told_and_left() {
    let node = Fresnel::start("");
    let image = upload(&node);
    let unknown = uuid::Uuid::new_v4().to_string();
    let files = [
        stray(&node, &unknown),
        stray(&node, "README"),
        left_over(&node).1,
    ];
    let found = node.lines("scrub");
    assert_eq!(found.len(), 3, "{found:?}");
    let line = about(&found, &unknown);
    assert_eq!(
        (&line["outcome"], &line["image_status"]),
        (&"unowned".into(), &Value::Null)
    );
    assert_eq!(line["size_bytes"], BYTES.len());
    assert!(line["age_seconds"].as_u64().unwrap() >= 3 * DAY.as_secs());
    let line = about(&found, files[2].file_name().unwrap().to_str().unwrap());
    assert_eq!(line["image_status"], "deleted");
    assert!(files.iter().all(|file| file.exists()));
    assert_eq!(
        ask(&node, "GET", &format!("/v2/images/{image}/file")).1,
        BYTES
    );
    let none = node.command("scrub elsewhere");
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn only_what_an_old_deleted_image_names_is_adopted() {
    let node = Fresnel::start("");
    let (_, file) = left_over(&node);
    let unknown = stray(&node, &uuid::Uuid::new_v4().to_string());
    let queued = stray(&node, &create(&node));
    let living = upload(&node);
    // The image has not been deleted for so long.
    node.lines("scrub --adopt --older-than 1h");
    assert!(file.exists());
    let told = node.lines("scrub --adopt --older-than 0s --dry-run");
    let name = file.file_name().unwrap().to_str().unwrap();
    assert_eq!(about(&told, name)["outcome"], "removable");
    assert!(file.exists());
    let told = node.lines("scrub --adopt --older-than 0s");
    let line = about(&told, name);
    assert_eq!(
        (&line["outcome"], &line["why"]),
        (&"removed".into(), &"adopted".into())
    );
    assert!(!file.exists() && unknown.exists() && queued.exists());
    assert_eq!(
        ask(&node, "GET", &format!("/v2/images/{living}/file")).1,
        BYTES
    );
    let without_age = node.command("scrub --adopt");
    assert_eq!(without_age.status.code(), Some(2));
}

#[test]
fn a_delayed_deletion_waits_for_its_time_and_can_be_taken_back() {
    let node = Fresnel::start("[DEFAULT]\ndelayed_delete = true\nscrub_time = 3600");
    let image = upload(&node);
    let (path, file) = (format!("/v2/images/{image}"), images(&node).join(&image));
    delete(&node, &image);
    assert_eq!(ask(&node, "GET", &path).0, 404);
    assert_eq!(node.lines("scrub"), Vec::<Value>::new());
    assert!(file.exists());
    assert!(
        node.command(&format!("image restore {image}"))
            .status
            .success()
    );
    assert_eq!(ask(&node, "GET", &format!("{path}/file")).1, BYTES);
    let again = node.command(&format!("image restore {image}"));
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn a_delayed_deletion_ends_with_the_scrubber() {
    let node = Fresnel::start("[DEFAULT]\ndelayed_delete = true");
    let (image, empty) = (upload(&node), create(&node));
    let file = images(&node).join(&image);
    delete(&node, &image);
    delete(&node, &empty);
    let told = node.lines("scrub --dry-run");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(about(&told, &image)["outcome"], "removable");
    assert!(file.exists());
    let told = node.lines("scrub");
    let line = about(&told, &image);
    assert_eq!(
        (&line["outcome"], &line["why"]),
        (&"removed".into(), &"pending_delete".into())
    );
    assert!(!file.exists());
    assert_eq!(node.lines("scrub"), Vec::<Value>::new());
    let late = node.command(&format!("image restore {image}"));
    assert_eq!(late.status.code(), Some(1));
}

#[test]
fn a_dead_upload_ends_with_the_scrubber_and_a_living_one_goes_on() {
    let mut node = Fresnel::start("lease_seconds = 3\nmin_rate_bytes_per_second = 0");
    let image = create(&node);
    let head = format!(
        "PUT /v2/images/{image}/file HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\
         Content-Type: application/octet-stream\r\n\r\nsome"
    );
    let mut socket = std::net::TcpStream::connect(node.address).unwrap();
    std::io::Write::write_all(&mut socket, head.as_bytes()).unwrap();
    let drafts = images(&node).join(".fresnel");
    let count = || fs::read_dir(&drafts).map_or(0, Iterator::count);
    assert!(wait_until(LEASE_LIMIT, || count() == 1));
    let mut told = node.lines("scrub");
    told.extend(node.lines("image recover --older-than 0s"));
    assert_eq!(told, Vec::<Value>::new());
    node.kill();
    let mut told = Vec::new();
    assert!(wait_until(LEASE_LIMIT, || {
        told = node.lines("scrub");
        !told.is_empty()
    }));
    assert_eq!(
        (&told[0]["outcome"], &told[0]["why"]),
        (&"removed".into(), &"journal".into())
    );
    assert_eq!(count(), 0);
    node.restart();
    assert_eq!(put(&node, &image), 204);
}

#[test]
fn what_a_dead_upload_of_a_glance_left_is_mended() {
    let node = Fresnel::start("");
    for status in [Status::Saving, Status::Uploading, Status::Importing] {
        let image = create(&node);
        abandon(&node, &image, status);
        let file = stray(&node, &image);
        let staged = node.folder().join("staging").join(&image);
        fs::write(&staged, BYTES).unwrap();
        old(&staged, Duration::ZERO);
        let recover = |words: &str| {
            let told = node.lines(&format!("image recover {words}"));
            let mine = told
                .into_iter()
                .find(|line| line["image"] == image.as_str());
            mine.map_or(Value::Null, |line| line["outcome"].clone())
        };
        assert_eq!(recover("--older-than 4d"), Value::Null);
        // Somebody still writes there.
        assert_eq!(recover("--older-than 1d"), "left");
        old(&staged, 3 * DAY);
        assert_eq!(recover("--older-than 1d --dry-run"), "mendable");
        assert!(file.exists() && staged.exists());
        assert_eq!(recover("--older-than 1d"), "queued");
        assert!(!file.exists() && !staged.exists());
        let shown = ask(&node, "GET", &format!("/v2/images/{image}")).1;
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!(shown["status"], "queued");
        assert_eq!(shown["os_glance_failed_import"], "file");
        assert_eq!(shown["os_glance_importing_to_stores"], "");
        assert_eq!(put(&node, &image), 204);
    }
}

#[test]
fn what_is_staged_in_a_store_and_forgotten_is_mended() {
    let node = Fresnel::start_after(&[], |folder| {
        format!(
            "staging_store = shared\n[DEFAULT]\nenabled_backends = images:file, shared:file\n\
             [glance_store]\ndefault_backend = images\n\
             [images]\nfilesystem_store_datadir = {0}/images\n\
             [shared]\nfilesystem_store_datadir = {0}/shared\n",
            folder.display()
        )
    });
    let image = create(&node);
    let stage = || {
        let request = Request::new("PUT", &format!("/v2/images/{image}/stage"))
            .header("Content-Type", "application/octet-stream");
        exchange(node.address, &request.body(BYTES)).unwrap().status
    };
    assert_eq!(stage(), 204);
    let staged = node.folder().join("shared").join(&image);
    assert!(staged.exists());
    let told = node.lines("image recover --older-than 0s");
    assert_eq!(told[0]["outcome"], "queued", "{told:?}");
    assert!(!staged.exists());
    assert_eq!(stage(), 204);
}
