//! The query of a list of artifacts.

use url::form_urlencoded;

use super::{Api, Result, invalid};
use crate::control::{artifact::ListRequest, db::Direction};

/// The pairs, and what they ask for.
pub(super) struct ListQuery {
    pairs: Vec<(String, String)>,
    pub(super) request: ListRequest,
}

impl ListQuery {
    pub(super) fn parse(api: &Api, query: &str) -> Result<Self> {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        let pairs: Vec<(String, String)> = pairs.collect();
        let mut request = ListRequest {
            limit: api.settings.limit_param_default,
            ..ListRequest::default()
        };
        for (name, value) in &pairs {
            match (name.as_str(), value.as_str()) {
                ("marker", marker) => request.marker = Some(marker.to_owned()),
                ("limit", limit) => request.limit = whole(limit)?,
                ("sort", keys) => request.sort = sort(keys)?,
                ("version", "latest") => request.latest = true,
                _ => request.filters.push((name.clone(), value.clone())),
            }
        }
        request.limit = request.limit.min(api.settings.api_limit_max);
        Ok(Self { pairs, request })
    }

    /// The list's own address.
    pub(super) fn first(&self, type_name: &str) -> String {
        self.address(type_name, None)
    }

    /// The next page's.
    pub(super) fn next(&self, type_name: &str, marker: &str) -> String {
        self.address(type_name, Some(marker))
    }

    fn address(&self, type_name: &str, marker: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let pairs = self.pairs.iter().filter(|(name, _)| name != "marker");
        query.extend_pairs(pairs);
        query.extend_pairs(marker.map(|marker| ("marker", marker)));
        match query.finish().as_str() {
            "" => format!("/artifacts/{type_name}"),
            query => format!("/artifacts/{type_name}?{query}"),
        }
    }
}

fn whole(text: &str) -> Result<u64> {
    let number: i64 = text
        .trim()
        .parse()
        .map_err(|_| invalid("Limit param must be an integer."))?;
    u64::try_from(number).map_err(|_| invalid("Limit param must be positive."))
}

fn sort(text: &str) -> Result<Vec<(String, Direction)>> {
    let keys = text.trim().split(',').map(|key| {
        let (name, direction) = key.split_once(':').unwrap_or((key, "desc"));
        let direction = match direction {
            "asc" => Direction::Ascending,
            "desc" | "" => Direction::Descending,
            other => {
                return Err(invalid(format!(
                    "Sort direction must be one of [\"asc\", \"desc\"]. Got {other} direction"
                )));
            }
        };
        Ok((name.to_owned(), direction))
    });
    keys.collect()
}
