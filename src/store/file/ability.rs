//! What a filesystem can do is tried, not read off its name: an overlay can what its upper layer
//! can, and a sandbox may refuse what the kernel knows.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};

use super::mark;

/// What a filesystem can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Writes past the page cache.
    pub(super) direct: bool,
    /// Renames that refuse to replace; otherwise `link` and `unlink` do the same.
    pub(super) noreplace: bool,
    /// Keeps extended attributes of users.
    pub(super) xattr: bool,
}

impl Abilities {
    /// What the filesystem cannot do, and what that means.
    pub(super) fn lacks(self) -> impl Iterator<Item = &'static str> {
        [
            (
                self.direct,
                "no writes past the page cache: uploads cost more CPU time",
            ),
            (
                self.noreplace,
                "no rename that refuses to replace: link and unlink do it",
            ),
            (
                self.xattr,
                "no extended attributes: attempts are told by modification times",
            ),
        ]
        .into_iter()
        .filter(|(can, _)| !can)
        .map(|(_, what)| what)
    }
}

/// Tries all of it with a file in `dir`. Fails when a file cannot be made there at all.
pub(super) fn probe(dir: &Path) -> io::Result<Abilities> {
    let path = dir.join(format!("probe.{}", uuid::Uuid::new_v4()));
    let renamed = path.with_extension("renamed");
    let file = File::create_new(&path)?;
    let can = Abilities {
        direct: writes_directly(&path),
        xattr: mark::set_xattr(&file, "probe").is_ok(),
        noreplace: renameat_with(CWD, &path, CWD, &renamed, RenameFlags::NOREPLACE).is_ok(),
    };
    std::fs::remove_file(if can.noreplace { &renamed } else { &path })?;
    Ok(can)
}

/// Opens for writes past the page cache.
pub(super) fn open_direct(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(path)
}

/// Some filesystems let a file be opened for direct writes and then refuse them.
fn writes_directly(path: &Path) -> bool {
    #[repr(align(4096))]
    struct Page([u8; 4096]);

    let page = Page([0; 4096]);
    open_direct(path).is_ok_and(|file| file.write_all_at(&page.0, 0).is_ok())
}
