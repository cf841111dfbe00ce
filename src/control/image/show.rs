//! `GET /v2/images/{id}` (reference A.4.2).

use crate::{
    control::{Caller, Control, Error, Result, Rule},
    model::{Image, ImageId},
};

impl Control {
    /// One image, in one round trip to the database.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], also for what the caller may not see; [`Error::Hidden`].
    pub async fn image_show(&self, caller: &Caller, id: &ImageId) -> Result<Image> {
        let image = self.load(caller, id, Error::ImageNotFound).await?;
        self.allow(Rule::GetImage, caller, &image)?;
        Ok(self.readable(caller, image))
    }
}
