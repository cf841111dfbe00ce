//! Images that nobody has asked for: those of the operator's list, which are kept, and those that wait.

use std::{sync::Arc, time::Duration};

use ::http::StatusCode;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    Gateway,
    permit::{Content, Permit},
};
use crate::{
    cache::Hold,
    client::upstream::{self, Pass},
    data::{StoreError, cached},
    model::ImageId,
};

/// How often the list is gone through: images change, and may be gone.
const KEEP_EVERY: Duration = Duration::from_secs(300);
/// The same where something is missing that may be there soon.
const KEEP_AGAIN: Duration = Duration::from_secs(10);
/// How long a failed prefetch rests, so that an upstream that is away is not asked all the time. An image is given up
/// after some eight minutes.
const REST: Duration = Duration::from_secs(5);

/// Why an image is not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is no answer.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// The upstream does not let us have it.
    #[error("the upstream answers {0}")]
    Refused(StatusCode),
    /// It is not for a cache.
    #[error("such an image is not cached: it is not active, or has no digest")]
    Uncacheable,
    /// It does not fit.
    #[error("the cache has no room for it")]
    NoRoom,
    /// The data does not come.
    #[error(transparent)]
    Data(#[from] StoreError),
}

impl Error {
    /// Whether it may be otherwise soon.
    fn passes(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::Data(_) => true,
            Self::Refused(status) => status.is_server_error(),
            Self::Uncacheable | Self::NoRoom => false,
        }
    }
}

impl Gateway {
    /// Caches what waits, one image after the other, for ever.
    pub async fn prefetch(&self) {
        loop {
            let image = self.queue.first().await;
            match self.fetch(&image).await {
                Ok(()) => info!(image.id = %image, "Cached an image that was asked for"),
                Err(error) => {
                    let is_tried_again = error.passes() && self.queue.postpone(&image);
                    warn!(image.id = %image, %error, is_tried_again, "Could not cache an image");
                    sleep(REST).await;
                    if is_tried_again {
                        continue;
                    }
                }
            }
            self.queue.remove(&image);
        }
    }

    /// Proves what an earlier process has left unproven.
    pub async fn prove(&self) {
        cached::prove_all(self.cache.clone(), self.engine.clone()).await;
    }

    /// Keeps the images of the list, for ever.
    pub async fn keep(&self) {
        let mut kept = Vec::new();
        while !self.settings.kept.is_empty() {
            let pause = match self.keep_all(&mut kept).await {
                true => KEEP_EVERY,
                false => KEEP_AGAIN,
            };
            sleep(pause).await;
        }
    }

    /// Goes through the list once. False when something that may come soon is missing.
    async fn keep_all(&self, kept: &mut Vec<Hold>) -> bool {
        let mut room_bytes = self.cache.limit_bytes();
        let (mut held, mut is_complete) = (Vec::new(), true);
        for image in &self.settings.kept {
            match self.keep_one(image, &mut room_bytes).await {
                Ok(hold) => held.push(hold),
                // Then nothing is known of the others either: what is kept stays.
                Err(error @ Error::Upstream(_)) => {
                    warn!(%error, "Could not look after the images that are kept");
                    return false;
                }
                Err(error) => {
                    warn!(image.id = %image, %error, "Could not cache an image that is to be kept");
                    is_complete &= !error.passes();
                }
            }
        }
        *kept = held;
        is_complete
    }

    async fn keep_one(&self, image: &ImageId, room_bytes: &mut u64) -> Result<Hold, Error> {
        let (pass, content) = self.content(image).await?;
        let left_bytes = room_bytes.checked_sub(content.size_bytes);
        *room_bytes = left_bytes.ok_or(Error::NoRoom)?;
        if let Some(hold) = self.cache.hold(&content.key) {
            return Ok(hold);
        }
        self.fill(pass, &content).await?;
        self.cache.hold(&content.key).ok_or(Error::NoRoom)
    }

    async fn fetch(&self, image: &ImageId) -> Result<(), Error> {
        let (pass, content) = self.content(image).await?;
        self.fill(pass, &content).await
    }

    async fn fill(&self, pass: Pass, content: &Content) -> Result<(), Error> {
        let origin = self.origin(pass.headers, content, None);
        let through = self.through(Arc::new(origin), content);
        match cached::prefetch(&through).await? {
            true => Ok(()),
            false => Err(Error::NoRoom),
        }
    }

    /// What an image is, if we may have it.
    async fn content(&self, image: &ImageId) -> Result<(Pass, Content), Error> {
        let (pass, permit) = self.own_permit(image).await?;
        match permit {
            Permit::Granted(content, _) => Ok((pass, content)),
            Permit::Past(_) => Err(Error::Uncacheable),
            Permit::Refused(response) => Err(Error::Refused(response.status())),
        }
    }

    /// What the upstream says when we ask for an image. A token that it does not take is asked for anew,
    /// once.
    pub(super) async fn own_permit(
        &self,
        image: &ImageId,
    ) -> Result<(Pass, Permit), upstream::Error> {
        let mut pass = self.own.pass(None).await?;
        let mut permit = self.permit(&pass.headers, image, false).await?;
        let is_unknown = matches!(&permit, Permit::Refused(refusal)
            if refusal.status() == StatusCode::UNAUTHORIZED);
        if is_unknown && self.own.can_renew() {
            pass = self.own.pass(Some(&pass)).await?;
            permit = self.permit(&pass.headers, image, false).await?;
        }
        Ok((pass, permit))
    }
}
