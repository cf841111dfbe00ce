//! Attempts: what is known of their uploads, here and in the journal.
//!
//! The server names an upload, and only in its answer. An attempt whose upload's name reached nobody
//! is found by what else is known: until the journal has the name an upload has no part, it is of
//! exactly this object, and it began after the attempt was in the journal. Nobody else may begin one
//! meanwhile: the image is the attempt's alone.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::{Error, Result, Shared};
use crate::model::{Attempt, ImageId};

/// What the clocks of two servers behind one address may differ.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(2);

/// What is known of an attempt's upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    /// There may be one, begun since then by the server's clock and not later than that.
    Since(DateTime<Utc>, Option<DateTime<Utc>>),
    /// The server's name for it.
    Upload(String),
}

/// The attempts of this process that are not over.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    open: Mutex<HashMap<Attempt, Arc<Draft>>>,
}

/// An attempt that is being written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) attempt: Attempt,
    pub(super) key: String,
    /// What is known, and whether the attempt is over.
    state: Mutex<(Trace, bool)>,
    /// Held by what begins, publishes or removes. Each is a task of its own: a caller that has gone
    /// away must not leave half of it to be found later.
    pub(super) gate: tokio::sync::Mutex<()>,
}

/// The key of an image.
///
/// Fails with [`Error::BadAddress`] when it could be no last part of an address.
pub(super) fn key(image: &ImageId) -> Result<String> {
    let id = image.as_str();
    match id.is_empty() || id.contains(['/', '@', '?', '#', '\0']) {
        true => Err(Error::BadAddress(id.to_owned())),
        false => Ok(id.to_owned()),
    }
}

impl Trace {
    /// As the journal has it.
    pub(super) fn object(&self, bucket: &str, key: &str) -> String {
        match self {
            Self::Since(since, _) => format!("{bucket}/{key}?since={}", since.timestamp()),
            Self::Upload(id) => format!("{bucket}/{key}?upload={id}"),
        }
    }

    /// Reads what the journal has; none if it is not of this object.
    pub(super) fn parse(object: &str, bucket: &str, key: &str) -> Option<Self> {
        let rest = object.strip_prefix(bucket)?.strip_prefix('/')?;
        let trace = rest.strip_prefix(key)?.strip_prefix('?')?;
        if let Some(id) = trace.strip_prefix("upload=") {
            return (!id.is_empty()).then(|| Self::Upload(id.to_owned()));
        }
        let since = trace.strip_prefix("since=")?.parse().ok()?;
        Some(Self::Since(DateTime::from_timestamp(since, 0)?, None))
    }
}

impl Drafts {
    /// Enters an attempt, which can be done once.
    pub(super) fn enter(&self, attempt: Attempt, key: String, trace: Trace) -> Result<Arc<Draft>> {
        let mut open = self.open.lock();
        if open.contains_key(&attempt) {
            return Err(Error::AlreadyExists(key));
        }
        let draft = Arc::new(Draft {
            attempt,
            key,
            state: Mutex::new((trace, false)),
            gate: tokio::sync::Mutex::default(),
        });
        open.insert(attempt, draft.clone());
        Ok(draft)
    }

    pub(super) fn get(&self, attempt: Attempt) -> Option<Arc<Draft>> {
        self.open.lock().get(&attempt).cloned()
    }

    pub(super) fn leave(&self, attempt: Attempt) {
        self.open.lock().remove(&attempt);
    }

    fn has_upload(&self, id: &str) -> bool {
        let is = |draft: &Arc<Draft>| draft.trace() == Trace::Upload(id.to_owned());
        self.open.lock().values().any(is)
    }
}

impl Draft {
    pub(super) fn trace(&self) -> Trace {
        self.state.lock().0.clone()
    }

    /// The upload; [`Error::NotFound`] when the attempt is over.
    pub(super) fn upload(&self) -> Result<String> {
        match &*self.state.lock() {
            (Trace::Upload(id), false) => Ok(id.clone()),
            _ => Err(Error::NotFound(self.key.clone())),
        }
    }

    pub(super) fn know(&self, trace: Trace) {
        self.state.lock().0 = trace;
    }

    /// Nothing begins any more.
    pub(super) fn close(&self) {
        self.state.lock().1 = true;
    }
}

impl Shared {
    /// The uploads that must be an attempt's, of what is known of it.
    pub(super) async fn traced(&self, key: &str, trace: Trace) -> Result<Vec<String>> {
        let (since, until) = match trace {
            Trace::Upload(id) => return Ok(vec![id]),
            Trace::Since(since, until) => (since, until),
        };
        let listed = self.bucket.uploads(key).await;
        let mut found = Vec::new();
        for upload in listed.map_err(|error| self.outcome(key, error))? {
            let in_time = upload.began >= since - CLOCKS_DIFFER
                && until.is_none_or(|until| upload.began <= until + CLOCKS_DIFFER);
            if !in_time || self.drafts.has_upload(&upload.id) {
                continue;
            }
            match self.bucket.has_parts(key, &upload.id).await {
                Ok(false) => found.push(upload.id),
                Ok(true) | Err(crate::client::s3::Error::NoUpload) => {}
                Err(error) => return Err(self.outcome(key, error)),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_read_as_it_was_written() {
        let since = DateTime::from_timestamp(1_767_323_045, 0).unwrap();
        for (trace, text) in [
            (Trace::Since(since, None), "glance/id?since=1767323045"),
            (Trace::Upload("2~a?b=c".into()), "glance/id?upload=2~a?b=c"),
        ] {
            assert_eq!(trace.object("glance", "id"), text);
            assert_eq!(Trace::parse(text, "glance", "id"), Some(trace));
            assert_eq!(Trace::parse(text, "glance", "other"), None);
            assert_eq!(Trace::parse(text, "other", "id"), None);
        }
        assert_eq!(Trace::parse("glance/id", "glance", "id"), None);
        assert_eq!(Trace::parse("glance/id?upload=", "glance", "id"), None);
    }

    #[test]
    fn a_key_is_the_last_part_of_an_address() {
        assert_eq!(key(&ImageId::new("a-1")).unwrap(), "a-1");
        for bad in ["", "a/b", "a@b", "a?b"] {
            assert!(key(&ImageId::new(bad)).is_err(), "{bad}");
        }
    }
}
