//! python-glareclient, as published, against the running binary.

use std::{path::Path, process::Command};

use crate::support::{lab, process::Fresnel};

#[test]
fn python_glareclient() {
    let ours = Fresnel::start("artifacts = true\n");
    let python = lab::run(lab::script("venv").arg("glare"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    lab::run(
        Command::new(Path::new(python.trim()).join("bin/python"))
            .args(["-W", "ignore"])
            .arg(folder.join("glareclient_test.py"))
            .env("FRESNEL_URL", format!("http://{}", ours.address)),
    );
}
