//! Nova's and Cinder's own code against the binary and the cluster.

use std::{path::Path, process::Command};

use super::rig::Rig;
use crate::support::lab;

const LOCATIONS: &str = "[DEFAULT]\nshow_multiple_locations = true\nshow_image_direct_url = true\n";

#[test]
fn nova() {
    passes("nova_test.py");
}

#[test]
fn cinder() {
    passes("cinder_test.py");
}

/// Runs a file of `tests/rbd` against a service of its own.
fn passes(file: &str) {
    let files = tempfile::tempdir().unwrap();
    // Beside the pool, which is the default, a store that no consumer can clone from.
    let rig = Rig::start(
        lab::ceph(),
        &format!(
            "{LOCATIONS}enabled_backends = rbd1:rbd, files:file\n[files]\n\
             filesystem_store_datadir = {}\n",
            files.path().display()
        ),
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rbd");
    let url = format!("http://{}", rig.node.address);
    lab::run(
        Command::new(lab::consumers_python())
            .args(["-W", "ignore"])
            .arg(folder.join(file))
            .env("FRESNEL_URL", url)
            .env("CEPH_CONF", &rig.ceph.conf),
    );
}
