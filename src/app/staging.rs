//! What processes that died have left in the staging directory (reference B.6): files that are named
//! like an image which there is not, what plugins have made of one that is imported no more, and attempts
//! that no row speaks of. Everything else stays.

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
    model::{Attempt, ImageId, Status},
    store::file,
};

/// Removes it, at the start. What cannot be removed is in the log.
pub(super) async fn clean(control: &Control) {
    let import = &control.settings.import;
    for path in files(&import.scratch) {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default();
        let (image, is_made) = match name.split_once('.') {
            Some((image, _)) => (image, true),
            None => (name, false),
        };
        let image = ImageId::new(image);
        if !image.is_uuid_shaped() {
            continue;
        }
        let is_left = match control.db.image(&image, &Viewer::everything()).await {
            Ok(found) => is_made && found.image.status != Status::Importing,
            Err(error) => matches!(error, db::Error::NotFound),
        };
        if is_left {
            remove(&path);
        }
    }
    let Some(local) = &import.staging.local else {
        return;
    };
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
