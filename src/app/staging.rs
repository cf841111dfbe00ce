//! What processes that died have left in the staging directory (reference B.6): files that are named
//! like an image which there is not, and attempts that no row speaks of. Everything else stays.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tracing::{info, warn};

use crate::{
    control::{
        Control,
        db::{self, Viewer},
    },
    model::{Attempt, ImageId},
    store::file,
};

/// Removes it, at the start. What cannot be removed is in the log.
pub(super) async fn clean(control: &Control) {
    let Some(local) = &control.settings.import.staging.local else {
        return;
    };
    for path in files(&local.path) {
        let image = path.file_stem().and_then(|stem| stem.to_str());
        let image = image.map(ImageId::new).filter(ImageId::is_uuid_shaped);
        let Some(image) = image else {
            continue;
        };
        let found = control.db.image(&image, &Viewer::everything()).await;
        if matches!(found, Err(db::Error::NotFound)) {
            remove(&path);
        }
    }
    for path in files(&local.path.join(file::ATTEMPTS_DIR)) {
        let attempt = path.extension().and_then(|name| name.to_str());
        let attempt: Option<Attempt> = attempt.and_then(|name| name.parse().ok());
        let Some(attempt) = attempt else {
            continue;
        };
        // The row is there before the file is.
        if matches!(control.db.write_exists(attempt).await, Ok(false)) {
            remove(&path);
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                warn!(path = %folder.display(), %error, "Could not look for left staged data");
            }
            return Vec::new();
        }
    };
    let entries = entries.filter_map(Result::ok);
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    entries.map(|entry| entry.path()).collect()
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => info!(path = %path.display(), "Removed staged data of no image"),
        Err(error) => {
            warn!(path = %path.display(), %error, "Could not remove staged data of no image");
        }
    }
}
