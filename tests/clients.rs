//! The real clients, unmodified, against the running binary: they create, upload, list, change, share,
//! download and delete, and verify what they get with their own digests.

use std::path::Path;

use crate::support::{lab, process::Fresnel};

#[test]
fn python_glanceclient() {
    passes("glanceclient_test.py", |_| String::new());
}

#[test]
fn openstacksdk() {
    passes("openstacksdk_test.py", |_| String::new());
}

#[test]
fn the_command_lines() {
    passes("commands_test.py", |_| String::new());
}

#[test]
fn definitions_on_the_command_line() {
    passes("metadefs_test.py", |_| String::new());
}

#[test]
fn imports_into_two_stores() {
    passes("imports_test.py", |folder| {
        format!(
            "[DEFAULT]\nenabled_backends = fast:file, slow:file\n\
             [glance_store]\ndefault_backend = fast\n\
             [fast]\nfilesystem_store_datadir = {0}/fast\n\
             [slow]\nfilesystem_store_datadir = {0}/slow\n\
             [import_filtering_opts]\nallowed_hosts = 127.0.0.1\nallowed_ports =\n",
            folder.display()
        )
    });
}

/// Runs a file of `tests/clients` against a service of its own.
fn passes(file: &str, lines: impl FnOnce(&Path) -> String) {
    let ours = Fresnel::start_after(&[], lines);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    lab::run(
        std::process::Command::new(lab::python())
            .args(["-W", "ignore"])
            .arg(folder.join(file))
            .env("FRESNEL_URL", format!("http://{}", ours.address)),
    );
}
