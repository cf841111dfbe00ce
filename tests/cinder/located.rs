//! Volumes that Cinder makes images of: by their data, and by a clone whose location it gives.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    cinder::Cinder,
    images::{MIB, content, data_path, text},
    keystone::Keystone,
    lab,
    process::Fresnel,
    wait_until,
    wire::{Request, Response, exchange},
};

/// Where the lab's catalog has the image service, which Cinder asks.
const IMAGE_SERVICE: &str = "127.0.0.1:19292";
/// Cinder makes a volume, and an image of one, in seconds.
const LIMIT: Duration = Duration::from_secs(120);
const WHO: &str = "demo-member";

struct Rig {
    node: Fresnel,
    cinder: Cinder,
    keystone: Keystone,
}

impl Rig {
    fn start() -> Self {
        let (cinder, keystone) = (Cinder::shared(), Keystone::shared());
        let lines = format!(
            "lease_seconds = 3\n[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_url = {}\n\
             auth_type = password\nusername = glance\npassword = lab\nuser_domain_name = Default\n\
             project_name = service\nproject_domain_name = Default\n{}",
            keystone.url(),
            cinder.store()
        );
        let address: SocketAddr = IMAGE_SERVICE.parse().unwrap();
        Self {
            node: Fresnel::start_at(address, &lines),
            cinder,
            keystone,
        }
    }

    fn ask(&self, method: &str, path: &str) -> Response {
        let token = self.keystone.token(WHO);
        let request = Request::new(method, path).header("x-auth-token", &token);
        exchange(self.node.address, &request).unwrap()
    }

    fn image(&self, id: &str) -> Value {
        self.ask("GET", &format!("/v2/images/{id}")).json()
    }

    /// A volume of a user's with these bytes at its beginning.
    fn volume(&self, kind: &str, bytes: &[u8]) -> String {
        let about = json!({"volume": {"size": 1, "name": "source", "volume_type": kind}});
        let made = self.cinder.ask(WHO, "POST", "/volumes", &about);
        let id = text(&made["volume"]["id"]);
        self.reaches(&id, "available");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bytes");
        std::fs::write(&file, bytes).unwrap();
        let image = format!("volumes/volume-{id}");
        let ceph = lab::ceph();
        ceph.rbd(&["rm", "--no-progress", &image]);
        ceph.rbd(&["import", "--no-progress", &file.to_string_lossy(), &image]);
        ceph.rbd(&["resize", "--no-progress", "--size", "1G", &image]);
        id
    }

    fn reaches(&self, volume: &str, status: &str) {
        let path = format!("/volumes/{volume}");
        let now = || self.cinder.ask(WHO, "GET", &path, &Value::Null)["volume"]["status"].clone();
        assert!(wait_until(LIMIT, || now() == status), "{}", now());
    }

    /// Has Cinder make an image of a volume.
    fn image_of(&self, volume: &str) -> String {
        let action = json!({"os-volume_upload_image": {
            "image_name": "made of a volume", "disk_format": "raw", "container_format": "bare",
        }});
        let path = format!("/volumes/{volume}/action");
        let made = self.cinder.ask(WHO, "POST", &path, &action);
        let id = text(&made["os-volume_upload_image"]["image_id"]);
        let is_active = || self.image(&id)["status"] == "active";
        assert!(
            wait_until(LIMIT, is_active),
            "{}\n{}",
            self.image(&id),
            self.node.log()
        );
        self.reaches(volume, "available");
        id
    }
}

#[test]
#[ignore = "needs Cinder: make cinder"]
fn a_volume_becomes_an_image_by_its_data_or_by_a_clone() {
    let rig = Rig::start();
    let bytes = content(6 * MIB + 11, 1);
    for (kind, is_cloned) in [("rbd", false), ("rbd-located", true)] {
        let volume = rig.volume(kind, &bytes);
        let image = rig.image_of(&volume);
        let sized = || rig.image(&image)["os_hash_value"].is_string();
        assert!(wait_until(LIMIT, sized), "{}", rig.node.log());
        let record = rig.image(&image);
        assert_eq!(record["size"], 1 << 30, "{record}");
        assert_eq!(record["stores"], "cinder1");
        // Ours is of the type of the store; Cinder's clone is of its volume's.
        let volumes = rig.cinder.volumes(&image);
        assert_eq!(volumes.len(), 1, "{volumes:?}");
        assert_eq!(volumes[0]["volume_type"], kind);
        let by_us = volumes[0]["metadata"]["fresnel_attempt"].is_string();
        assert_eq!(by_us, !is_cloned);
        let read = rig.ask("GET", &data_path(&image)).body;
        assert_eq!(read.len(), 1 << 30);
        assert!(read[..bytes.len()] == bytes);
        assert!(read[bytes.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(
            rig.ask("DELETE", &format!("/v2/images/{image}")).status,
            204
        );
        assert!(rig.cinder.volumes(&image).is_empty());
        let path = format!("/volumes/{volume}");
        rig.cinder.ask(WHO, "DELETE", &path, &Value::Null);
    }
}
