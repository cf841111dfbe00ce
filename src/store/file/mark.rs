//! The mark of an attempt on its file: what is published under an image's name may be taken back
//! by the attempt that published it, and by nobody else.
//!
//! It is an extended attribute. Where there are none (NFS before 4.2, some tmpfs) it is in the
//! nanoseconds of the file's modification time, which nobody else looks at: a foreign file has
//! the same ones once in a thousand million.

use std::{
    fs::{File, FileTimes},
    io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::XattrFlags;

use super::ability::Abilities;
use crate::model::Attempt;

const XATTR: &str = "user.fresnel.attempt";

/// Marks a file that is complete: a later write would undo it.
pub(super) fn set(file: &File, attempt: Attempt, can: Abilities) -> io::Result<()> {
    if can.xattr {
        return set_xattr(file, &attempt.to_string());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_err(io::Error::other)?.as_secs();
    let marked = UNIX_EPOCH + Duration::new(seconds, nanoseconds(attempt));
    file.set_times(FileTimes::new().set_modified(marked))
}

/// Whether there is a file, and its mark is the attempt's.
pub(super) fn is_of(path: &Path, attempt: Attempt, can: Abilities) -> bool {
    if can.xattr {
        let mut text = [0; 64];
        let len = rustix::fs::lgetxattr(path, XATTR, &mut text[..]);
        return len.is_ok_and(|len| text[..len] == *attempt.to_string().as_bytes());
    }
    let modified = path.symlink_metadata().and_then(|file| file.modified());
    modified.is_ok_and(|time| {
        time.duration_since(UNIX_EPOCH)
            .is_ok_and(|time| time.subsec_nanos() == nanoseconds(attempt))
    })
}

pub(super) fn set_xattr(file: &File, text: &str) -> io::Result<()> {
    rustix::fs::fsetxattr(file, XATTR, text.as_bytes(), XattrFlags::empty())?;
    Ok(())
}

fn nanoseconds(attempt: Attempt) -> u32 {
    (attempt.as_u128() % 1_000_000_000) as u32
}
