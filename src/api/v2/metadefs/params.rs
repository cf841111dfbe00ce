//! The queries of lists.

use crate::{
    api::{Error, Result, filter},
    control::db::{Direction, Order},
};

/// The parameters of a request; of one that is repeated the first counts.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn parse(query: &str) -> Result<Self> {
        filter::decode(query).map(Self)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name)?;
        Some(&found.1)
    }

    /// The marker, where it names something.
    pub(super) fn marker(&self) -> Option<String> {
        let marker = self.get("marker").filter(|name| !name.is_empty());
        marker.map(str::to_owned)
    }

    /// A number of at least `min`.
    pub(super) fn limit(&self, min: i64) -> Result<Option<usize>> {
        let Some(text) = self.get("limit").filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let bad = |text: &'static str| Err(Error::BadRequest(text.into()));
        match text.trim().parse::<i64>() {
            Err(_) => bad("limit param must be an integer"),
            Ok(limit) if limit < min => bad("limit param must be positive"),
            Ok(limit) => Ok(Some(usize::try_from(limit).unwrap_or(usize::MAX))),
        }
    }

    /// By one of `keys`, the newest first unless the query says otherwise.
    pub(super) fn order(&self, keys: &[&'static str]) -> Result<Order> {
        let direction = match self.get("sort_dir").unwrap_or("desc") {
            "asc" => Direction::Ascending,
            "desc" => Direction::Descending,
            other => {
                let text = format!("Invalid sort direction: {other}");
                return Err(Error::BadRequest(text.into()));
            }
        };
        let asked = self.get("sort_key").unwrap_or("created_at");
        match keys.iter().find(|key| **key == asked) {
            Some(key) => Ok(Order { key, direction }),
            None => Err(Error::BadRequest(
                format!("Invalid sort key: {asked}").into(),
            )),
        }
    }

    /// One of these, if any.
    pub(super) fn visibility(&self, known: &[&str]) -> Result<Option<String>> {
        let asked = self.get("visibility").filter(|text| !text.is_empty());
        match asked {
            Some(other) if !known.contains(&other) => {
                let text = format!("Invalid visibility value: {other}");
                Err(Error::BadRequest(text.into()))
            }
            known => Ok(known.map(str::to_owned)),
        }
    }

    /// All but the marker, encoded again.
    pub(super) fn echo(&self, marker: Option<&str>) -> String {
        let others = self.0.iter().filter(|(name, _)| name != "marker");
        let others = others.map(|(name, value)| (name.as_str(), value.as_str()));
        filter::encode(others.chain(marker.map(|marker| ("marker", marker))))
    }
}
