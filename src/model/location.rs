//! Where the bytes of an image are (reference A.3.1, E.1, K).

use serde_json::{Map, Value};

use super::StoreId;

/// A row of `image_locations`.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// The row's id; none until it is saved.
    pub id: Option<i64>,
    /// The address, to the letter as Glance's drivers write it (`file:///...`, `rbd://...`).
    pub url: String,
    /// What Glance keeps beside the address; `store` names the store in multi-store mode.
    pub metadata: Map<String, Value>,
    /// Whether it can be read.
    pub status: LocationStatus,
}

impl Location {
    /// The store that the metadata names.
    pub fn store(&self) -> Option<StoreId> {
        self.metadata
            .get("store")
            .and_then(Value::as_str)
            .map(StoreId::new)
    }
}

/// The state of a location row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationStatus {
    /// Readable.
    Active,
    /// To be removed by the scrubber.
    PendingDelete,
    /// A placeholder of Glance's parallel import: `pending://` addresses (reference B.3).
    Pending,
    /// The same, while bytes arrive.
    Uploading,
    /// Gone.
    Deleted,
}

impl LocationStatus {
    /// The text of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::PendingDelete => "pending_delete",
            Self::Pending => "pending",
            Self::Uploading => "uploading",
            Self::Deleted => "deleted",
        }
    }
}

impl std::str::FromStr for LocationStatus {
    type Err = super::image::UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [
            Self::Active,
            Self::PendingDelete,
            Self::Pending,
            Self::Uploading,
            Self::Deleted,
        ]
        .into_iter()
        .find(|s| s.as_str() == text)
        .ok_or_else(|| super::image::UnknownWord(text.to_owned()))
    }
}

/// An address as it may be shown to anybody: without what may be credentials, in the authority or in
/// a query.
pub fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}://***@{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        for (url, expected) in [
            ("file:///a/b", "file:///a/b"),
            ("rbd://f/p/i/snap", "rbd://f/p/i/snap"),
            ("http://h/i?signature=x", "http://h/i"),
            ("https://me:pa/ss@h/i", "https://***@h/i"),
            ("swift+https://a:b:c@h/v3/c/o", "swift+https://***@h/v3/c/o"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
