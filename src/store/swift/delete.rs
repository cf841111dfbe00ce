//! Removing objects with their segments, and taking attempts back.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};

use super::{Account, Address, Error, Result, Shared, draft::Names};
use crate::client::swift;

/// Segments that are removed at once.
const REMOVALS_AT_ONCE: usize = 8;

/// The segments of an object, as their container lists them.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) names: Vec<String>,
    pub(super) size_bytes: u64,
    /// When the last of them was written.
    pub(super) modified: Option<DateTime<Utc>>,
}

impl Segments {
    /// Those of an attempt.
    pub(super) async fn find(shared: &Shared, account: &Account, names: &Names) -> Result<Self> {
        let found = Self::named(account, &names.container, &names.prefix).await;
        found.map_err(|error| shared.outcome(&names.prefix, error))
    }

    async fn named(account: &Account, container: &str, prefix: &str) -> Result<Self, swift::Error> {
        let mut found = Self::default();
        loop {
            let marker = found.names.last().map_or("", String::as_str);
            let page = match account.list(container, prefix, marker).await {
                Err(swift::Error::NotFound) => return Ok(found),
                page => page?,
            };
            if page.is_empty() {
                return Ok(found);
            }
            for listed in page {
                found.size_bytes += listed.size_bytes;
                found.modified = found.modified.max(listed.modified);
                found.names.push(listed.name);
            }
        }
    }

    async fn remove(self, account: &Account, container: &str) -> Result<(), swift::Error> {
        let removals = self.names.into_iter().map(|name| async move {
            match account.delete(container, &name, false).await {
                Ok(()) | Err(swift::Error::NotFound) => Ok(()),
                Err(error) => Err(error),
            }
        });
        let mut removals = stream::iter(removals).buffer_unordered(REMOVALS_AT_ONCE);
        while let Some(removed) = removals.next().await {
            removed?;
        }
        Ok(())
    }
}

/// Removes a published object: what its manifest names first, so that what is left of a removal that
/// breaks off is found by the next.
pub(super) async fn delete(shared: &Shared, address: &Address) -> Result<()> {
    let (container, object) = (&address.container, &address.object);
    let account = shared.account_of(address);
    let work = async {
        let head = account.head(container, object).await?;
        if head.is_static {
            return account.delete(container, object, true).await;
        }
        if let Some((of, prefix)) = head.manifest.as_deref().and_then(|m| m.split_once('/'))
            && prefix.starts_with(object.as_str())
        {
            let segments = Segments::named(account, of, prefix).await?;
            segments.remove(account, of).await?;
        }
        account.delete(container, object, false).await
    };
    work.await.map_err(|error| shared.outcome(object, error))
}

/// Takes an attempt back. Its segments go first: from then on its writer has nothing to publish, and
/// what it publishes in this moment it takes back itself.
pub(super) async fn discard(shared: &Arc<Shared>, names: &Names) -> Result<()> {
    shared.drafts.end(names).await;
    let account = shared.account();
    let (container, object) = (&names.container, &names.object);
    let work = async {
        let segments = Segments::named(account, container, &names.prefix).await?;
        segments.remove(account, container).await?;
        let head = match account.head(container, object).await {
            Err(swift::Error::NotFound) => return Ok(()),
            head => head?,
        };
        if head.manifest.as_deref() != Some(names.segments().as_str()) {
            return Ok(());
        }
        match account.delete(container, object, false).await {
            Err(swift::Error::NotFound) => Ok(()),
            removed => removed,
        }
    };
    let done: Result<(), swift::Error> = work.await;
    done.map_err(|error| match shared.outcome(object, error) {
        Error::NotFound(_) => shared.backend_error("what was there is gone"),
        other => other,
    })
}
