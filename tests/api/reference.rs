//! `/v2/openapi.json`: valid, and true: schemathesis asks for everything that it promises.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{app::TestApp, lab, process::Fresnel};

/// The interpreter of the virtual environment that has the validator and schemathesis.
fn python() -> PathBuf {
    let path = lab::run(lab::script("venv").arg("reference"));
    Path::new(path.trim()).join("bin/python")
}

#[test]
fn the_document_is_valid_openapi() {
    let document = TestApp::new().get("/v2/openapi.json").json();
    let found = lab::ask_of(
        Command::new(python()),
        "api/openapi_valid.py",
        &[],
        [document.to_string()].into_iter(),
    );
    assert_eq!(found, ["valid"]);
}

#[test]
fn the_reference_keeps_what_it_promises() {
    keeps(&["--phases", "fuzzing", "--max-examples", "4"]);
}

/// With more requests, and with sequences of them.
#[test]
#[ignore = "takes minutes: make reference"]
fn the_reference_keeps_what_it_promises_at_length() {
    keeps(&["--max-examples", "60"]);
}

/// Asks a service with all its parts on, by what its own document says.
fn keeps(arguments: &[&str]) {
    let ours = Fresnel::start_after(&[], |folder| {
        format!(
            "artifacts = true\n[DEFAULT]\nenabled_backends = fast:file, slow:file\nimage_cache_dir = {0}/cache\n\
             enabled_import_methods = [glance-direct,web-download,copy-image]\n\
             [paste_deploy]\nflavor = cachemanagement\n\
             [glance_store]\ndefault_backend = fast\n\
             [fast]\nfilesystem_store_datadir = {0}/fast\n\
             [slow]\nfilesystem_store_datadir = {0}/slow\n",
            folder.display()
        )
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api");
    let mut schemathesis = Command::new(python().with_file_name("schemathesis"));
    schemathesis.current_dir(ours.folder());
    schemathesis.env("PYTHONPATH", &folder);
    schemathesis
        .arg("--config-file")
        .arg(folder.join("schemathesis.toml"));
    schemathesis.args(["--no-color", "run"]).args(arguments);
    lab::run(schemathesis.arg(format!("http://{}/v2/openapi.json", ours.address)));
}
