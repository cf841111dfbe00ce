//! The command line, as it is deployed: a clouds.yaml, the catalog, a token, our service.

use std::{fs, process::Command};

use serde_json::{Value, json};

use super::behind;
use crate::support::{keystone::Keystone, lab, process::Fresnel};

#[test]
fn openstack_finds_the_service_in_the_catalog() {
    let keystone = Keystone::shared();
    let ours = Fresnel::start(&behind(&keystone, ""));
    // A region of this test's own, so that the catalog can name its service.
    let region = format!("fresnel-{}", ours.address.port());
    keystone.ask("POST", "/regions", &json!({"region": {"id": region}}));
    let mut made = Vec::new();
    for (kind, url) in [
        ("identity", keystone.url()),
        ("image", format!("http://{}", ours.address)),
    ] {
        let services = keystone.ask("GET", &format!("/services?type={kind}"), &Value::Null);
        let service = &services["services"][0]["id"];
        let endpoint =
            json!({"service_id": service, "interface": "public", "region_id": region, "url": url});
        let endpoint = keystone.ask("POST", "/endpoints", &json!({"endpoint": endpoint}));
        made.push(format!(
            "/endpoints/{}",
            endpoint["endpoint"]["id"].as_str().unwrap()
        ));
    }
    made.push(format!("/regions/{region}"));
    let clouds = fs::read_to_string(Keystone::clouds()).unwrap();
    let own = ours.folder().join("clouds.yaml");
    fs::write(&own, clouds.replace("RegionOne", &region)).unwrap();
    let openstack = |arguments: &[&str]| {
        let program = lab::python().with_file_name("openstack");
        let mut command = Command::new(program);
        command
            .args(["--os-cloud", "demo-member", "image"])
            .args(arguments);
        lab::run(command.env("OS_CLIENT_CONFIG_FILE", &own))
    };
    let file = ours.folder().join("bytes");
    fs::write(&file, [9; 5000]).unwrap();
    let file = file.to_str().unwrap();
    openstack(&[
        "create",
        "--disk-format",
        "raw",
        "--container-format",
        "bare",
        "--file",
        file,
        "hello",
    ]);
    let listed = openstack(&["list", "-f", "value", "-c", "Name", "-c", "Status"]);
    assert_eq!(listed.trim(), "hello active");
    for path in made {
        keystone.ask("DELETE", &path, &Value::Null);
    }
}
