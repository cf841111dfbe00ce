//! The real clients, unmodified, against the running binary: they create, upload, list, change, share,
//! download and delete, and verify what they get with their own digests.

use std::path::Path;

use crate::support::{lab, process::Fresnel};

#[test]
fn python_glanceclient() {
    passes("glanceclient_test.py");
}

#[test]
fn openstacksdk() {
    passes("openstacksdk_test.py");
}

#[test]
fn the_command_lines() {
    passes("commands_test.py");
}

/// Runs a file of `tests/clients` against a service of its own.
fn passes(file: &str) {
    let ours = Fresnel::start("");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    lab::run(
        std::process::Command::new(lab::python())
            .args(["-W", "ignore"])
            .arg(folder.join(file))
            .env("FRESNEL_URL", format!("http://{}", ours.address)),
    );
}
