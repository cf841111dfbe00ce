//! Acting for a user after their request: what a job asks of others, it asks as whoever wanted the job.
//!
//! A job has a trust of the user's, which any node can act by at any time (docs/adr/0021-trusts.md). Where the
//! user's token may make none, the node keeps the token, and sends the service's own along, beside which
//! others take it when it is over; it is gone with the node.

use std::time::Duration;

use tracing::{info, warn};

use super::{Control, Error, Result, db::JobId, import::Refusal};
use crate::{
    base::secret::Secret,
    client::keystone::{self, Access},
};

/// Keystone itself lets nobody use the trust of an import after so long.
const LASTS: Duration = Duration::from_secs(24 * 3600);
/// Until a trust has its job, which one request of a node that lives sees to.
const BEGINNING: Duration = Duration::from_secs(60);
/// Trusts that are ended in one look.
const ROWS_MAX: u32 = 100;

/// With what a job asks others.
#[derive(Debug)]
pub(super) struct Acting {
    /// A token of the user's.
    pub(super) token: Secret,
    /// Ours, where that may be over.
    pub(super) service: Option<Access>,
}

impl Control {
    /// Sees to it that a job can act for the user of a token.
    ///
    /// # Errors
    /// [`Refusal::Untrusted`] where the job could do so only for as long as the token lasts;
    /// [`Error::IdentityUnavailable`], and the database's.
    pub(super) async fn entrust(&self, job: JobId, token: &Secret) -> Result<()> {
        let Some(trusts) = &self.trusts else {
            self.held.keep(job, token.clone());
            return Ok(());
        };
        let made = trusts.make(token, LASTS).await;
        if let Some(trust) = made.map_err(Error::IdentityUnavailable)? {
            return Ok(self.db.trust_add(&trust, job, self.leases.node()).await?);
        }
        let service = trusts.service().await;
        match service.map_err(Error::IdentityUnavailable)? {
            Some(_) => {
                self.held.keep(job, token.clone());
                Ok(())
            }
            None => Err(Refusal::Untrusted.into()),
        }
    }

    /// Sees to it that a job can act for the user of a token in a while that may be long. False: nobody can.
    ///
    /// # Errors
    /// [`Error::IdentityUnavailable`], and the database's.
    pub(super) async fn entrust_for(
        &self,
        job: JobId,
        token: Option<&Secret>,
        lasts: Duration,
    ) -> Result<bool> {
        // Without Keystone there are no names in which anybody could ask.
        let (Some(trusts), Some(token)) = (&self.trusts, token) else {
            return Ok(true);
        };
        let made = trusts.make(token, lasts).await;
        let Some(trust) = made.map_err(Error::IdentityUnavailable)? else {
            return Ok(false);
        };
        self.db.trust_add(&trust, job, self.leases.node()).await?;
        Ok(true)
    }

    /// With what a job asks others for its user. None: the token is gone with its node, or the user is not
    /// what they were.
    ///
    /// # Errors
    /// [`Error::IdentityUnavailable`], and the database's.
    pub(super) async fn acting(&self, job: JobId) -> Result<Option<Acting>> {
        if let Some(token) = self.held.of(job) {
            let service = match &self.trusts {
                Some(trusts) => trusts.service().await.ok().flatten(),
                None => None,
            };
            return Ok(Some(Acting { token, service }));
        }
        let (Some(trusts), Some(trust)) = (&self.trusts, self.db.trust_of(job).await?) else {
            return Ok(None);
        };
        match trusts.token(&trust).await {
            Ok(token) => Ok(Some(Acting {
                token,
                service: None,
            })),
            Err(keystone::Error::Invalid) => {
                warn!(%job, trust, "Keystone takes a user's trust no more");
                Ok(None)
            }
            Err(error) => Err(Error::IdentityUnavailable(error)),
        }
    }

    /// Ends the trust of a job that is over. What fails here, [`Control::end_trusts`] tries again.
    pub(super) async fn end_trust(&self, job: JobId) {
        if self.trusts.is_none() {
            return;
        }
        match self.db.trust_of(job).await {
            Ok(Some(trust)) => self.forget_trust(&trust).await,
            Ok(None) => {}
            Err(error) => warn!(%job, %error, "Could not look for the trust of a job"),
        }
    }

    /// Ends the trusts of jobs that are over, which a node has left behind that died or could not.
    pub(super) async fn end_trusts(&self) {
        if self.trusts.is_none() {
            return;
        }
        match self.db.trusts_over(BEGINNING, ROWS_MAX).await {
            Ok(over) => {
                for trust in over {
                    self.forget_trust(&trust).await;
                }
            }
            Err(error) => warn!(%error, "Could not look for trusts that are over"),
        }
    }

    async fn forget_trust(&self, trust: &str) {
        let Some(trusts) = &self.trusts else {
            return;
        };
        if let Err(error) = trusts.end(trust).await {
            warn!(trust, %error, "Could not end a user's trust yet");
            return;
        }
        match self.db.trust_forget(trust).await {
            Ok(()) => info!(trust, "Ended a user's trust"),
            Err(error) => warn!(trust, %error, "Could not forget a user's trust yet"),
        }
    }
}
