//! The states of an image, and the only table of legal moves (reference B.1).

use std::{fmt, str::FromStr};

/// The status of an image, as the API spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// A record without data.
    Queued,
    /// Data is being uploaded.
    Saving,
    /// Data is, or is being, staged.
    Uploading,
    /// An import task runs.
    Importing,
    /// Data is in a store.
    Active,
    /// Data is in a store, but only admins may read it.
    Deactivated,
    /// Never set any more; read from old databases.
    Killed,
    /// Deleted, data still to be removed (`delayed_delete`).
    PendingDelete,
    /// Deleted.
    Deleted,
}

/// A move that the table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Image status transition from {from} to {to} is not allowed")]
pub struct WrongTransition {
    /// The status that the image has.
    pub from: Status,
    /// The status that was asked for.
    pub to: Status,
}

impl Status {
    /// Every status with the text that the API and the database use.
    const TEXT: [(Self, &'static str); 9] = [
        (Self::Queued, "queued"),
        (Self::Saving, "saving"),
        (Self::Uploading, "uploading"),
        (Self::Importing, "importing"),
        (Self::Active, "active"),
        (Self::Deactivated, "deactivated"),
        (Self::Killed, "killed"),
        (Self::PendingDelete, "pending_delete"),
        (Self::Deleted, "deleted"),
    ];

    /// The text of the API and the database.
    pub fn as_str(self) -> &'static str {
        Self::TEXT[self as usize].1
    }

    /// Returns `to` when the move is legal.
    pub fn transition(self, to: Self) -> Result<Self, WrongTransition> {
        use Status::{
            Active, Deactivated, Deleted, Importing, Killed, PendingDelete, Queued, Saving,
            Uploading,
        };
        let legal: &[Self] = match self {
            Queued => &[Saving, Uploading, Importing, Active, Deleted],
            Saving => &[Active, Killed, Deleted, Queued],
            Uploading => &[Importing, Queued, Deleted],
            Importing => &[Active, Deleted, Queued],
            Active => &[PendingDelete, Deleted, Deactivated],
            Deactivated => &[Active, Deleted],
            Killed => &[Deleted],
            PendingDelete => &[Deleted, Active],
            Deleted => &[],
        };
        if legal.contains(&to) {
            Ok(to)
        } else {
            Err(WrongTransition { from: self, to })
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown image status {0:?}")]
pub struct UnknownStatus(String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::TEXT.iter().find(|(_, name)| *name == text);
        found
            .map(|(status, _)| *status)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_reads_back() {
        for (index, (status, text)) in Status::TEXT.into_iter().enumerate() {
            assert_eq!(status as usize, index);
            assert_eq!(text.parse(), Ok(status));
        }
    }

    #[test]
    fn an_active_image_takes_no_upload() {
        let error = Status::Active.transition(Status::Saving).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Image status transition from active to saving is not allowed"
        );
    }
}
