//! `qemu-img`, for what is not converted here: a process of its own, with limits of its own, that sees
//! a staged file and writes another beside it.

use std::{io, path::Path, process::Stdio};

use tokio::process::Command;

use crate::{base::limits::MIB, data::inspect::Format};

/// Of memory, as Glance allows it.
const MEMORY_BYTES_MAX: u64 = 1024 * MIB as u64;
/// Of a processor.
const CPU_SECONDS_MAX: u64 = 4 * 3600;
const OPEN_FILES_MAX: u64 = 64;
/// Of what it says when it fails.
const COMPLAINT_LETTERS_MAX: usize = 400;

/// Makes an image of another format of a staged one. `to` must not exist; it does not after an error.
/// Dropping the future ends the process.
///
/// # Errors
/// When the process cannot be started; what it complains of; and that its limits were reached.
pub async fn convert(
    from: &Path,
    from_format: Format,
    to: &Path,
    to_format: Format,
    limit_bytes: u64,
) -> io::Result<()> {
    let partial = Partial(to);
    let mut command = limited(limit_bytes);
    command.args(["convert", "-f", name(from_format), "-O", name(to_format)]);
    // A path is never taken for the address of a server.
    command.arg(prefixed(from)).arg(prefixed(to));
    let output = command.output().await?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint: String = complaint
            .trim()
            .chars()
            .take(COMPLAINT_LETTERS_MAX)
            .collect();
        let text = format!("qemu-img: {}: {complaint}", output.status);
        return Err(io::Error::other(text));
    }
    std::mem::forget(partial);
    Ok(())
}

/// What is written goes when its writing fails.
struct Partial<'a>(&'a Path);

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        // There may be none yet.
        drop(std::fs::remove_file(self.0));
    }
}

/// `prlimit` of util-linux becomes the process, once the limits hold.
fn limited(limit_bytes: u64) -> Command {
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--as={MEMORY_BYTES_MAX}"))
        .arg(format!("--cpu={CPU_SECONDS_MAX}"))
        .arg(format!("--fsize={limit_bytes}"))
        .arg(format!("--nofile={OPEN_FILES_MAX}"))
        .arg("--core=0")
        .arg("qemu-img")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        // Each thread of glibc would reserve 128 MiB for an arena of its own: few threads, and the
        // next is refused (qemu_thread_create).
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

fn prefixed(path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from("file:");
    text.push(path);
    text
}

/// qemu's name of a format.
fn name(format: Format) -> &'static str {
    match format {
        Format::Vhd => "vpc",
        // To qemu a disk with a table of partitions is a disk.
        Format::Gpt => "raw",
        other => other.name(),
    }
}
