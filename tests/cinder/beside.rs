//! Glance 33 and the binary on one database and one Cinder.

use std::{net::SocketAddr, process::Command};

use super::CLEAN_LIMIT;
use crate::support::{
    cinder::Cinder,
    images::{MIB, content, data_path, text},
    keystone::Keystone,
    lab::{self, Glance},
    process::Fresnel,
    wait_until,
    wire::{Request, Response, exchange},
};

/// Glance notes the project of whoever uploads, and Cinder takes no image without one.
const WHO: &str = "demo-member";

#[test]
#[ignore = "needs Cinder: make cinder"]
fn each_reads_and_deletes_the_others_volumes() {
    let (cinder, keystone) = (Cinder::shared(), Keystone::shared());
    let database = lab::mariadb(&format!("fresnel_cinder_{}", uuid::Uuid::new_v4().simple()));
    let url = keystone.url();
    let glance = Glance::start(&["--database", &database, "--cinder", "--keystone", &url]);
    let mut sync = Command::new(env!("CARGO_BIN_EXE_fresnel"));
    let config = glance.config();
    lab::run(sync.args(["db", "sync", "--config-file"]).arg(&config));
    let node = Fresnel::start_after(&[&config], |_| "lease_seconds = 3".to_owned());
    let (ours, theirs) = (node.address, glance.address);
    let ask = |address: SocketAddr, request: Request| -> Response {
        let request = request.header("x-auth-token", &keystone.token(WHO));
        exchange(address, &request).unwrap()
    };
    for (writer, other) in [(ours, theirs), (theirs, ours)] {
        let content = content(18 * MIB + 3, 1);
        let create = Request::new("POST", "/v2/images").header("content-type", "application/json");
        let create = create.body(r#"{"disk_format": "raw", "container_format": "bare"}"#);
        let image = text(&ask(writer, create).json()["id"]);
        let upload = Request::new("PUT", &data_path(&image));
        let upload = upload.header("content-type", "application/octet-stream");
        let answer = ask(writer, upload.body(content.clone()));
        assert_eq!(answer.status, 204, "{writer}: {:?}", answer.body);
        let volumes = cinder.volumes(&image);
        assert_eq!(volumes.len(), 1, "{volumes:?}");
        assert!(volumes[0]["metadata"]["image_owner"].is_string());
        let path = format!("/v2/images/{image}");
        assert_eq!(
            ask(other, Request::new("GET", &path)).json()["status"],
            "active"
        );
        let read = ask(other, Request::new("GET", &data_path(&image)));
        assert!(read.body == content, "{other} reads what {writer} wrote");
        assert_eq!(ask(other, Request::new("DELETE", &path)).status, 204);
        let gone = wait_until(CLEAN_LIMIT, || cinder.volumes(&image).is_empty());
        assert!(gone, "{:?}", cinder.volumes(&image));
    }
}
