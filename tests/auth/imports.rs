//! `glance-download`: another service of the catalog, asked with the user's token, which is in the memory
//! of one node alone.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Region, behind};
use crate::support::{
    keystone::Keystone,
    process::Fresnel,
    wait_until,
    web::{Faulty, Then},
    wire::{Request, Response, exchange},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A service that asks this Keystone, and its user.
struct Site {
    server: Fresnel,
    token: String,
}

impl Site {
    fn ask(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> Response {
        let kind = match method {
            "PUT" => "application/octet-stream",
            _ => "application/json",
        };
        let request = Request::new(method, path)
            .header("x-auth-token", &self.token)
            .header("content-type", kind);
        exchange(self.server.address, &request.body(body.as_ref())).unwrap()
    }

    fn create(&self, image: &Value) -> String {
        let made = self.ask("POST", "/v2/images", image.to_string());
        assert_eq!(made.status, 201);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    fn show(&self, image: &str) -> Value {
        let request = Request::new("GET", &format!("/v2/images/{image}"));
        let request = request.header("x-auth-token", &self.token);
        exchange(self.server.address, &request).unwrap().json()
    }

    fn import(&self, image: &str, region: &str, remote: &str) {
        let method = json!({
            "name": "glance-download",
            "glance_region": region,
            "glance_image_id": remote,
        });
        let path = format!("/v2/images/{image}/import");
        let answer = self.ask("POST", &path, json!({"method": method}).to_string());
        assert_eq!(answer.status, 202);
    }

    /// The image without a task, and what its last task says.
    #[track_caller]
    fn ended(&self, image: &str) -> (Value, String) {
        let free = || self.show(image).get("os_glance_import_task").is_none();
        assert!(wait_until(PATIENCE, free), "{}", self.server.log());
        let tasks = Request::new("GET", &format!("/v2/images/{image}/tasks"));
        let tasks = tasks.header("x-auth-token", &self.token);
        let tasks = exchange(self.server.address, &tasks).unwrap().json();
        let message = tasks["tasks"][0]["message"].as_str().unwrap().to_owned();
        (self.show(image), message)
    }
}

fn importing(keystone: &Keystone) -> Fresnel {
    Fresnel::start(&format!(
        "lease_seconds = 3\n{}[DEFAULT]\nenabled_import_methods = [glance-download]\n",
        behind(keystone, "")
    ))
}

#[test]
fn an_image_of_another_region_comes_with_its_formats_and_properties() {
    let keystone = Keystone::shared();
    let there = Fresnel::start(&behind(&keystone, ""));
    let region = Region::new(&keystone, there.address);
    // The catalog is the token's.
    let token = keystone.token("demo-member");
    let there = Site {
        server: there,
        token: token.clone(),
    };
    let remote = there.create(&json!({
        "disk_format": "raw",
        "container_format": "bare",
        "hw_disk_bus": "scsi",
        "os_type": "linux",
        "own": "stays",
    }));
    let data = format!("/v2/images/{remote}/file");
    assert_eq!(there.ask("PUT", &data, [7; 100_000]).status, 204);
    let here = Site {
        server: importing(&keystone),
        token,
    };
    let queued = json!({"disk_format": "qcow2", "container_format": "ova"});
    let image = here.create(&queued);
    here.import(&image, &region.name.to_uppercase(), &remote);
    let (shown, message) = here.ended(&image);
    assert_eq!(shown["status"], "active", "{message}");
    assert_eq!(
        (&shown["disk_format"], &shown["container_format"]),
        (&json!("raw"), &json!("bare"))
    );
    assert_eq!(
        (&shown["hw_disk_bus"], &shown["os_type"]),
        (&json!("scsi"), &json!("linux"))
    );
    assert_eq!((&shown["size"], shown.get("own")), (&json!(100_000), None));
    assert_eq!(shown["checksum"], there.show(&remote)["checksum"]);

    let image = here.create(&queued);
    for (region, remote, said) in [
        (
            region.name.as_str(),
            uuid::Uuid::new_v4().to_string(),
            "answers 404",
        ),
        ("nowhere", remote, "The catalog has no such image service"),
    ] {
        here.import(&image, region, &remote);
        let (shown, _) = here.ended(&image);
        assert_eq!(
            (&shown["status"], &shown["disk_format"]),
            (&json!("queued"), &json!("qcow2"))
        );
        let tasks = Request::new("GET", &format!("/v2/images/{image}/tasks"));
        let tasks = tasks.header("x-auth-token", &here.token);
        let tasks = exchange(here.server.address, &tasks).unwrap();
        let tasks = String::from_utf8(tasks.body).unwrap();
        assert!(tasks.contains(said), "{tasks}");
    }
    assert!(!here.server.log().contains(&here.token));
}

#[test]
fn the_token_of_a_user_is_lost_with_its_node_and_the_import_fails() {
    let keystone = Keystone::shared();
    let silent = Faulty::saying("", Then::Stall);
    let region = Region::new(&keystone, silent.address());
    let mut here = Site {
        server: importing(&keystone),
        token: keystone.token("demo-member"),
    };
    let image = here.create(&json!({"disk_format": "raw", "container_format": "bare"}));
    here.import(&image, &region.name, &uuid::Uuid::new_v4().to_string());
    assert!(wait_until(PATIENCE, || silent.connections() == 1));
    here.server.kill();
    here.server.restart();
    let (shown, message) = here.ended(&image);
    assert_eq!(shown["status"], "queued");
    assert!(message.contains("is gone with the node"), "{message}");
    assert_eq!(silent.connections(), 1);
}
