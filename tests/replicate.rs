//! `fresnel replicate`: images from a real Glance to us, through files, and back.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    process::{Command, Output},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    lab::Glance,
    process::Fresnel,
    wait_until,
    wire::{self, Request, Response},
};

const LEN: usize = 3_000_000;

/// A service, and what is asked of it.
struct End(SocketAddr);

impl End {
    fn url(&self) -> String {
        format!("http://{}", self.0)
    }

    fn send(&self, request: &Request) -> Response {
        wire::exchange(self.0, request).unwrap()
    }

    /// An image, with data if any is given.
    fn create(&self, image: &Value, data: Option<&[u8]>) -> String {
        let made = self.send(&Request::new("POST", "/v2/images").body(image.to_string()));
        assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
        let id = made.json()["id"].as_str().unwrap().to_owned();
        if let Some(data) = data {
            let upload = Request::new("PUT", &format!("/v2/images/{id}/file"));
            let upload = upload.header("content-type", "application/octet-stream");
            assert_eq!(self.send(&upload.body(data)).status, 204);
        }
        id
    }

    fn show(&self, id: &str) -> Value {
        self.send(&Request::new("GET", &format!("/v2/images/{id}")))
            .json()
    }

    fn delete(&self, id: &str) {
        let deleted = self.send(&Request::new("DELETE", &format!("/v2/images/{id}")));
        assert_eq!(deleted.status, 204);
    }
}

/// `fresnel replicate` with those words.
fn replicate(words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fresnel"))
        .arg("replicate")
        .args(words.split(' '))
        .arg("--json")
        .output()
        .unwrap()
}

/// What became of each image; the exit code says whether all is well.
#[track_caller]
fn outcomes(words: &str, is_well: bool) -> BTreeMap<String, String> {
    let output = replicate(words);
    assert_eq!(output.status.success(), is_well, "{words}: {output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| {
        let told: Value = serde_json::from_str(line).unwrap();
        let word = |name: &str| told[name].as_str().unwrap().to_owned();
        (word("image"), word("outcome"))
    });
    lines.collect()
}

#[test]
fn images_go_from_glance_to_us_through_files_and_back() {
    let (glance, ours) = (Glance::start(&[]), Fresnel::start(""));
    let (theirs, own) = (End(glance.address), End(ours.address));
    let data: Vec<u8> = (0..LEN).map(|at| (at ^ (at >> 9)) as u8).collect();
    let full = json!({
        "name": "full", "disk_format": "raw", "container_format": "bare", "min_disk": 1, "min_ram": 2,
        "visibility": "public", "tags": ["a", "b"], "os_distro": "debian", "colour": "red",
    });
    let empty = json!({
        "name": "empty", "disk_format": "raw", "container_format": "bare", "os_hidden": true,
    });
    let full = theirs.create(&full, Some(&data));
    let empty = theirs.create(&empty, Some(b""));
    let queued = theirs.create(&json!({"name": "queued"}), None);
    let all = |words: [&str; 3]| -> BTreeMap<String, String> {
        let ids = [&full, &empty, &queued].map(Clone::clone);
        ids.into_iter().zip(words.map(str::to_owned)).collect()
    };
    let pair = format!("{} {}", theirs.url(), own.url());

    let size = replicate(&format!("size {}", theirs.url()));
    let size: Value = serde_json::from_slice(&size.stdout).unwrap();
    assert_eq!(size, json!({"images": 2, "bytes": LEN}));
    let compare = format!("compare {pair}");
    assert_eq!(
        outcomes(&compare, false),
        all(["missing", "missing", "left"])
    );

    // To us: the same in everything that a client sees but what each service says of itself.
    let livecopy = format!("livecopy {pair}");
    assert_eq!(outcomes(&livecopy, true), all(["copied", "copied", "left"]));
    assert_eq!(outcomes(&compare, true), all(["same", "same", "left"]));
    let got = own.send(&Request::new("GET", &format!("/v2/images/{full}/file")));
    assert_eq!(got.body, data);
    let (one, other) = (theirs.show(&full), own.show(&full));
    for name in [
        "name",
        "visibility",
        "os_distro",
        "colour",
        "os_hash_value",
        "size",
    ] {
        assert_eq!(one[name], other[name], "{name}");
    }

    // A change follows.
    let patch = json!([{"op": "replace", "path": "/colour", "value": "blue"}]).to_string();
    let patch = Request::new("PATCH", &format!("/v2/images/{full}")).body(patch);
    let kind = "application/openstack-images-v2.1-json-patch";
    assert_eq!(theirs.send(&patch.header("content-type", kind)).status, 200);
    assert_eq!(outcomes(&compare, false), all(["differs", "same", "left"]));
    assert_eq!(outcomes(&livecopy, true), all(["updated", "same", "left"]));
    assert_eq!(own.show(&full)["colour"], "blue");

    // Through files, back to a Glance that has lost it.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let dump = format!("dump {} {path}", own.url());
    assert!(outcomes(&dump, true).values().all(|word| word == "copied"));
    assert!(outcomes(&dump, true).values().all(|word| word == "same"));
    theirs.delete(&full);
    let load = format!("load {} {path}", theirs.url());
    let loaded = outcomes(&load, false);
    // Glance gives no id twice: the image that it has lost goes to one that never had it.
    assert_eq!(loaded[&full], "failed");
    let other = Fresnel::start("");
    let other = End(other.address);
    let load = format!("load {} {path}", other.url());
    assert!(outcomes(&load, true).values().all(|word| word == "copied"));
    let got = other.send(&Request::new("GET", &format!("/v2/images/{full}/file")));
    assert_eq!(got.body, data);
}

#[test]
fn damaged_data_becomes_no_image() {
    let (from, to) = (Fresnel::start(""), Fresnel::start(""));
    let (from, to) = (End(from.address), End(to.address));
    let image = json!({"name": "x", "disk_format": "raw", "container_format": "bare"});
    let image = from.create(&image, Some(b"twelve bytes"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    outcomes(&format!("dump {} {path}", from.url()), true);
    let file = folder.path().join(format!("{image}.img"));
    assert_eq!(fs::read(&file).unwrap(), b"twelve bytes");
    fs::write(&file, b"twelve butes").unwrap();
    let load = format!("load {} {path}", to.url());
    assert_eq!(outcomes(&load, false)[&image], "failed");
    let queued = || to.show(&image)["status"] == "queued";
    assert!(wait_until(Duration::from_secs(30), queued));
    // Once it is whole again, the same command ends what it began.
    fs::write(&file, b"twelve bytes").unwrap();
    assert_eq!(outcomes(&load, true)[&image], "copied");
    assert_eq!(to.show(&image)["status"], "active");
}
