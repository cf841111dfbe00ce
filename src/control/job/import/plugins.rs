//! The operator's plugins, between the source of an import and its stores.

use std::{fs, path::PathBuf};

use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use super::{Failed, Import, source::Coming, words};
use crate::{
    control::Result,
    data::{
        Plane,
        stage::{self, Incoming},
    },
    model::{Image, ImageId},
};

impl Import<'_> {
    /// Sends the bytes through the plugins. `image` is what it will be with the change that comes with
    /// them. A copy is as its image is.
    ///
    /// # Errors
    /// Without buffers in time; what else is wrong fails the import.
    pub(super) async fn plugged(
        &self,
        plane: &Plane,
        mut coming: Coming,
        image: &Image,
    ) -> Result<Result<Coming, Failed>> {
        let plugins = &self.control.settings.import.plugins;
        // Glance's task that makes an image of its own has no plugins either.
        if coming.is_copy || self.input.creates {
            return Ok(Ok(coming));
        }
        if let Some(inject) = plugins.inject.as_ref().filter(|_| self.input.inject) {
            let properties = inject.properties.clone().into_iter();
            let properties = properties.map(|(name, value)| (name, Some(value)));
            coming.change.properties.extend(properties);
        }
        if plugins.stage.is_none() {
            return Ok(Ok(coming));
        }
        let expect = match self.control.expect(image) {
            Ok(expect) => expect,
            Err(error) => return Ok(Err(Failed::of(error.to_string()))),
        };
        let converts = plugins.stage.convert.is_some();
        if converts && expect.encrypted.is_some() {
            let told = "An encrypted image cannot be converted.";
            return Ok(Err(Failed::of(told.to_owned())));
        }
        let job = stage::Job {
            expect,
            limit_bytes: self.control.settings.image_size_cap_bytes,
            min_rate_bytes_per_second: match coming.is_ours {
                true => 0,
                false => plane.settings.min_rate_bytes_per_second,
            },
            scratch: self.scratch(),
        };
        let incoming = match coming.file.take() {
            Some(path) => Incoming::File(path),
            None => Incoming::Stream(coming.source, coming.size),
        };
        let made = match stage::open(plugins.stage, incoming, &job).await {
            Ok(made) => made,
            Err(error) if error.is_busy() => return Err(error.into()),
            Err(error) => {
                warn!(image.id = %image.id, %error, cause = ?std::error::Error::source(&error), "A plugin refuses an image");
                return Ok(Err(Failed::of(words(&image.id, error, coming.is_ours))));
            }
        };
        coming.size = made.size;
        coming.is_ours |= plugins.stage.convert.is_some();
        let formats = [&made.disk_format, &made.container_format].map(|name| Some(name.clone()));
        coming.change.formats = Some(formats.into());
        coming.source = Box::new(made);
        Ok(Ok(coming))
    }

    /// How the names of the files begin that a plugin needs: none of another attempt has that name.
    fn scratch(&self) -> PathBuf {
        let (image, task) = (&self.job.image, self.job.id.simple());
        let name = format!("{image}.{task}-{}", self.job.attempts);
        self.control.settings.import.scratch.join(name)
    }

    /// Removes what attempts that died have left of such files, when the import has ended.
    pub(super) async fn clear(&self) {
        let import = &self.control.settings.import;
        if import.plugins.stage.convert.is_none() {
            return;
        }
        let (folder, image) = (import.scratch.clone(), self.job.image.clone());
        let cleared = spawn_blocking(move || remove_all(folder, &image)).await;
        if let Ok(Err(error)) = cleared {
            warn!(image.id = %self.job.image, %error, "Files of an import stay behind");
        }
    }
}

fn remove_all(folder: PathBuf, image: &ImageId) -> std::io::Result<()> {
    let prefix = format!("{image}.");
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(&prefix)) {
            debug!(path = %entry.path().display(), "Removing what an import has left");
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
