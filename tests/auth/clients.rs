//! The command line, as it is deployed: a clouds.yaml, the catalog, a token, our service.

use std::{fs, process::Command};

use super::{Region, behind};
use crate::support::{keystone::Keystone, lab, process::Fresnel};

#[test]
fn openstack_finds_the_service_in_the_catalog() {
    let keystone = Keystone::shared();
    let ours = Fresnel::start(&behind(&keystone, ""));
    let region = Region::new(&keystone, ours.address);
    let clouds = fs::read_to_string(Keystone::clouds()).unwrap();
    let own = ours.folder().join("clouds.yaml");
    fs::write(&own, clouds.replace("RegionOne", &region.name)).unwrap();
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
}
