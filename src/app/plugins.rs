//! What import plugins need of the system, looked for at the start and not at the first image.

use std::{fs, process::Command};

use anyhow::{Context, ensure};

use crate::control::import::Settings;

/// The programs that convert images, with a question that they answer at once.
const PROGRAMS: [&str; 2] = ["prlimit", "qemu-img"];

/// # Errors
/// When images are to be converted and a program for that is missing, or a directory.
pub(super) fn check(settings: &Settings) -> anyhow::Result<()> {
    if settings.plugins.stage.convert.is_none() {
        return Ok(());
    }
    for program in PROGRAMS {
        let asked = Command::new(program).arg("--version").output();
        let asked = asked.with_context(|| {
            format!("[image_import_opts] image_import_plugins: image_conversion needs {program}")
        })?;
        ensure!(
            asked.status.success(),
            "{program} --version: {}",
            asked.status
        );
    }
    let scratch = &settings.scratch;
    fs::create_dir_all(scratch).with_context(|| format!("cannot make {}", scratch.display()))
}
