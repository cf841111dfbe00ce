//! Images as volumes of a real Cinder, through the real binary: what a crash leaves behind, what Glance beside us makes
//! of them, and the volumes that Cinder itself makes images of.

mod beside;
mod located;

use std::time::Duration;

use fresnel::client::key_manager::Keyring;

use crate::support::{
    cinder::Cinder,
    images::{MIB, content, show, text},
    process::Fresnel,
    served::Served,
    wait_until,
    wire::Payload,
};

/// Of the key of a store that encrypts.
const KEY: &str = "6b5d1c5e-6a0c-4d55-9b8e-6f7f6f1f2a01";

/// What is left of an attempt is gone by then: Cinder removes a volume in seconds.
const CLEAN_LIMIT: Duration = Duration::from_secs(90);

/// The shortest lease; senders may be silent for as long as a test likes.
const OPTIONS: &str = "lease_seconds = 3\nmin_rate_bytes_per_second = 0\n";

/// A node of ours on Cinder.
struct Rig {
    node: Fresnel,
    cinder: Cinder,
}

impl Rig {
    fn start() -> Self {
        let cinder = Cinder::shared();
        Self {
            node: Fresnel::start(&format!("{OPTIONS}{}", cinder.store())),
            cinder,
        }
    }
}

impl Served for Rig {
    const CLEAN_LIMIT: Duration = CLEAN_LIMIT;

    fn node(&self) -> &Fresnel {
        &self.node
    }

    fn remains(&self, image: &str) -> Vec<String> {
        let volumes = self.cinder.volumes(image);
        volumes.iter().map(|volume| text(&volume["name"])).collect()
    }

    fn has(&self, image: &str, content: &[u8]) {
        let volumes = self.cinder.volumes(image);
        assert_eq!(volumes.len(), 1, "{volumes:?}");
        let exported = self.cinder.export(&text(&volumes[0]["id"]));
        assert!(exported[..content.len()] == *content, "it has other bytes");
    }
}

#[test]
#[ignore = "needs Cinder: make cinder"]
fn an_image_is_uploaded_read_in_ranges_and_deleted() {
    let rig = Rig::start();
    rig.ranges_are_read(&content(18 * MIB + 3, 1));
    let image = rig.create();
    rig.takes_another_upload(&image);
}

/// A store that encrypts may be one of volumes: what Cinder has is a container, and noted as its owner's.
#[test]
#[ignore = "needs Cinder: make cinder"]
fn what_rests_in_a_volume_may_be_encrypted() {
    let cinder = Cinder::shared();
    let node = Fresnel::start_after(&[], |folder| {
        let keyring = Keyring::new(folder.join("keyring"));
        keyring.import(KEY, b"hunter2").unwrap();
        format!("{}fresnel_encryption_key = {KEY}\n", cinder.store())
    });
    let rig = Rig { node, cinder };
    let bytes = content(18 * MIB + 3, 3);
    let image = rig.image(&bytes);
    assert!(rig.download(&image) == bytes);
    let volumes = rig.cinder.volumes(&image);
    let noted = &volumes[0]["metadata"]["image_owner"];
    assert_eq!(*noted, show(rig.node.address, &image)["owner"]);
    let exported = rig.cinder.export(&text(&volumes[0]["id"]));
    assert_eq!(exported[..6], *b"LUKS\xba\xbe");
    let is_there = |start: &[u8]| exported.windows(64).any(|bytes| bytes == start);
    assert!(!is_there(&bytes[..64]) && !is_there(&bytes[8 * MIB..][..64]));
    assert_eq!(rig.delete(&image).status, 204);
}

/// The volume of an upload whose process was killed goes, whatever had it attached, and the image takes another.
#[test]
#[ignore = "needs Cinder: make cinder"]
fn a_dead_uploads_volume_is_reclaimed() {
    let mut rig = Rig::start();
    let image = rig.create();
    let mut upload = rig.begin(&image);
    upload.send(&content(24 * MIB, 1)).unwrap();
    let is_attached =
        |volumes: Vec<serde_json::Value>| volumes.iter().any(|volume| volume["status"] == "in-use");
    let attached = wait_until(CLEAN_LIMIT, || is_attached(rig.cinder.volumes(&image)));
    assert!(attached, "{}", rig.node.log());
    rig.node.kill();
    drop(upload);
    rig.node.restart();
    rig.takes_another_upload(&image);
}

/// A download whose process was killed leaves its volume attached: the next process on this host reads it all the same.
#[test]
#[ignore = "needs Cinder: make cinder"]
fn a_dead_downloads_volume_is_read_again() {
    let mut rig = Rig::start();
    let bytes = content(96 * MIB, 2);
    let image = rig.image(&bytes);
    let is_attached = |rig: &Rig| rig.cinder.volumes(&image)[0]["status"] == "in-use";
    let address = rig.node.address;
    let path = crate::support::images::data_path(&image);
    // It reads nothing of the answer, which is more than all buffers between us hold.
    let stalled = {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        stream
    };
    assert!(wait_until(CLEAN_LIMIT, || is_attached(&rig)));
    rig.node.kill();
    drop(stalled);
    rig.node.restart();
    assert!(is_attached(&rig), "nobody has detached it yet");
    assert_eq!(show(rig.node.address, &image)["status"], "active");
    assert!(rig.download(&image) == bytes);
    assert_eq!(rig.delete(&image).status, 204);
    rig.gone(&image);
}

/// Two clients at once, though Cinder gives the volume to one.
#[test]
#[ignore = "needs Cinder: make cinder"]
fn two_downloads_at_once_are_both_whole() {
    let rig = Rig::start();
    let bytes = content(32 * MIB, 3);
    let image = rig.image(&bytes);
    std::thread::scope(|scope| {
        let downloads = [(); 2].map(|()| scope.spawn(|| rig.download(&image)));
        for download in downloads {
            assert!(download.join().unwrap() == bytes);
        }
    });
    assert_eq!(rig.delete(&image).status, 204);
    rig.gone(&image);
}

/// Sent without a length.
#[test]
#[ignore = "needs Cinder: make cinder"]
fn a_chunked_upload_is_whole() {
    let rig = Rig::start();
    let image = rig.create();
    let bytes = content(20 * MIB + 7, 4);
    let answer = rig.upload(&image, Payload::Chunked(bytes.clone(), MIB));
    assert_eq!(answer.status, 204, "{}", rig.node.log());
    rig.holds(&image, &bytes);
    assert_eq!(rig.delete(&image).status, 204);
    rig.gone(&image);
}

#[test]
#[ignore = "needs Cinder: make cinder"]
fn the_command_checks_the_store() {
    let rig = Rig::start();
    let lines = rig.node.lines("store check cinder1");
    assert!(
        lines.iter().all(|line| line["verdict"] == "good"),
        "{lines:?}"
    );
}
