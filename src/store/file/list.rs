//! What lies in the directories of a store, whoever put it there.

use std::path::Path;

use tokio::sync::mpsc;

use super::{ATTEMPTS_DIR, Entry, Error, Intent, Result, Shared, Stat, is_file_name, text};

/// Tells every file of the directories that could be an image's, and every draft. Blocks.
pub(super) fn list(shared: &Shared, found: &mpsc::Sender<Entry>) -> Result<()> {
    for dir in &shared.dirs {
        let attempts = dir.path.join(ATTEMPTS_DIR);
        for (folder, is_drafts) in [(&attempts, true), (&dir.path, false)] {
            let failed = |error| shared.outcome(folder, error);
            for entry in folder.read_dir().map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
                let path = entry.path();
                let entry = is_file.then(|| told(&path, is_drafts)).flatten();
                if entry.is_some_and(|entry| found.blocking_send(entry).is_err()) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// None for what nobody could name: no location, and no attempt.
fn told(path: &Path, is_draft: bool) -> Option<Entry> {
    let name = path.file_name()?.to_str()?;
    match is_draft {
        true => Intent::of_draft(name, path.to_str()?).map(Entry::Draft),
        false => is_file_name(name).then(|| Entry::Object(format!("file://{}", text(path)))),
    }
}

/// Size and time of a file. Blocks.
pub(super) fn stat(shared: &Shared, entry: &Entry) -> Result<Stat> {
    let path = match entry {
        Entry::Object(url) => shared.path(url)?,
        Entry::Draft(intent) => shared.place(intent)?.1.draft,
    };
    let found = path.symlink_metadata().and_then(|metadata| {
        Ok(Stat {
            size_bytes: metadata.len(),
            modified: Some(metadata.modified()?),
        })
    });
    found.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound(text(&path)),
        _ => shared.outcome(&path, error),
    })
}
