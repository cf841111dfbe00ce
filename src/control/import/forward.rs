//! Staged data that only another worker sees (reference E.10): it is asked in the caller's name.

use serde_json::Value;
use tracing::{error, info};

use super::Refusal;
use crate::{
    base::secret::Secret,
    client::peer::{self, Answer, Forward},
    control::{Caller, Control, Error, Result, Rule, stage::STAGE_HOST},
    model::{Image, ImageId},
};

impl Control {
    /// Sends an import to the worker that has the data.
    ///
    /// # Errors
    /// [`Refusal::StageHost`], [`Refusal::StageHostSilent`].
    pub async fn forward_import(
        &self,
        host: &str,
        image: &ImageId,
        token: Option<&Secret>,
        body: &Value,
    ) -> Result<Answer> {
        let url = format!("{host}/v2/images/{image}/import");
        self.forward(Forward {
            method: "POST",
            url: &url,
            token,
            body: Some(body),
        })
        .await
    }

    /// Sends a delete, by whom the policy lets delete, to the worker that has the image's staged data.
    /// None: there is none such, or it does not answer, and the image is ours to delete.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::NothingToDelete`], [`Error::Denied`], [`Error::Hidden`]; the
    /// database's.
    pub async fn forward_delete(
        &self,
        caller: &Caller,
        image: &ImageId,
        token: Option<&Secret>,
    ) -> Result<Option<Answer>> {
        caller.may_change()?;
        let image = self.load(caller, image, Error::NothingToDelete).await?;
        self.allow(Rule::DeleteImage, caller, &image)?;
        let Some(host) = self.stage_host(&image) else {
            return Ok(None);
        };
        let url = format!("{host}/v2/images/{}", image.id);
        let asked = self.forward(Forward {
            method: "DELETE",
            url: &url,
            token,
            body: None,
        });
        Ok(asked.await.ok())
    }

    /// The worker that has the image's staged data, if that is not this one.
    pub(super) fn stage_host(&self, image: &Image) -> Option<String> {
        let host = image.properties.get(STAGE_HOST).cloned().flatten()?;
        let own = self.settings.import.self_url.as_ref();
        (!host.is_empty() && own != Some(&host)).then_some(host)
    }

    async fn forward(&self, forward: Forward<'_>) -> Result<Answer> {
        let (method, url) = (forward.method, forward.url);
        let peer = self.peer.as_ref().ok_or(Refusal::StageHost)?;
        info!("Passing {method} on to {url}, where the data is staged");
        peer.ask(forward).await.map_err(|cause| {
            error!(%cause, "Could not pass {method} on to {url}");
            let refusal = match cause {
                peer::Error::Unreachable(_) => Refusal::StageHostSilent,
                peer::Error::Failed(_) => Refusal::StageHost,
            };
            refusal.into()
        })
    }
}
