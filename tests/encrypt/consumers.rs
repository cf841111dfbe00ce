//! Nova's and Cinder's own image code with encrypted images.

use std::{fs, path::Path, process::Command};

use crate::support::{lab, process::Fresnel};

#[test]
fn nova_fetches_what_was_encrypted_here() {
    passes("nova_encrypted_test.py");
}

#[test]
fn cinder_has_its_keys_and_ours() {
    passes("cinder_encrypted_test.py");
}

/// Runs a file of `tests/clients` against a service of its own.
fn passes(file: &str) {
    let ours = Fresnel::start("");
    let keyring = ours.folder().join("keyring");
    fs::create_dir_all(&keyring).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    lab::run(
        Command::new(lab::consumers_python())
            .args(["-W", "ignore"])
            .arg(folder.join(file))
            .env("FRESNEL_URL", format!("http://{}", ours.address))
            .env("FRESNEL_KEYRING", keyring),
    );
}
