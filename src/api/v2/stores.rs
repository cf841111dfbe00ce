//! `/v2/stores/{store}/{image}` (reference A.5.5).

use super::done;
use crate::{
    api::{
        Api, Call, Error, Result,
        operation::{Answer, Operation},
    },
    http::Response,
    model::{ImageId, StoreId},
};

pub(in crate::api) const DELETE: Operation = Operation::new(
    "Delete a copy",
    "The image keeps the others; the last one goes with its image only.",
    &[Answer::empty(204, "The store does not have the image.")],
    &[403, 404, 409],
);

/// `DELETE`: takes the image out of the store.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    call.caller.may_change()?;
    if !api.control.settings.multistore {
        return Err(Error::NotFound);
    }
    let (store, image) = (
        StoreId::new(&call.params[0]),
        ImageId::new(&*call.params[1]),
    );
    api.control
        .image_unstore(&call.caller, &store, &image)
        .await?;
    Ok(done())
}
