//! The versions of the artifacts API, 1.0 and 1.1, by `OpenStack-API-Version: artifact 1.N` or by
//! `Accept`. As in Glare, every method answers to both.

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{API_VERSION, Refusal, typed};
use crate::http::Response;

pub(super) const OLDEST: &str = "1.0";
pub(super) const NEWEST: &str = "1.1";

const SERVICE: &str = "artifact";
const MEDIA_TYPE: &str = "application/vnd.openstack.artifacts-";

/// A version that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Microversion(&'static str);

impl Microversion {
    /// The one that the request asks for, or the oldest.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::ApiVersion`].
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let accept = headers.get(header::ACCEPT).and_then(text);
        let by_accept =
            accept.and_then(|accept| accept.strip_prefix(MEDIA_TYPE).map(str::to_owned));
        let named = || {
            let values = headers.get_all(&API_VERSION).iter().filter_map(text);
            let all = values.collect::<Vec<_>>().join(",");
            let mut named = all.split(',').filter_map(|one| one.trim().split_once(' '));
            let own = named.find(|(service, _)| service.eq_ignore_ascii_case(SERVICE));
            own.map(|(_, version)| version.trim().to_owned())
        };
        match by_accept.or_else(named).as_deref() {
            None | Some(OLDEST) => Ok(Self(OLDEST)),
            Some(NEWEST | "latest") => Ok(Self(NEWEST)),
            Some(other) if is_version(other) => Err(Refusal::ApiVersion(other.to_owned())),
            Some(other) => Err(Refusal::invalid(format!(
                "API version string {other} is not valid. Cannot determine API version."
            ))),
        }
    }

    /// What the answer says.
    pub(super) fn header(self) -> HeaderValue {
        let text = format!("{SERVICE} {}", self.0);
        HeaderValue::from_str(&text).expect("it is a header's letters")
    }
}

/// A major and a minor number without leading zeros.
fn is_version(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.').is_some_and(|(major, minor)| {
        is_number(major)
            && is_number(minor)
            && !major.starts_with('0')
            && (minor == "0" || !minor.starts_with('0'))
    })
}

/// The versions document, 300.
pub(super) fn document() -> Response {
    let links = json!([{
        "rel": "describedby",
        "type": "text/html",
        "href": "http://docs.openstack.org/",
    }]);
    let versions = [(OLDEST, "STABLE"), (NEWEST, "EXPERIMENTAL")].map(|(version, status)| {
        json!({
            "version": version,
            "status": status,
            "links": links,
            "media-type": format!("{MEDIA_TYPE}{version}"),
        })
    });
    let document = json!({"versions": Value::from(versions.to_vec())});
    let mut response = typed(&document, "application/json");
    *response.status_mut() = StatusCode::MULTIPLE_CHOICES;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &'static str, value: &'static str) -> Result<Microversion, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        Microversion::of(&headers)
    }

    #[test]
    fn versions_are_asked_for_in_two_ways() {
        let version = "openstack-api-version";
        assert_eq!(Microversion::of(&HeaderMap::new()), Ok(Microversion("1.0")));
        assert_eq!(asked(version, "artifact 1.1"), Ok(Microversion("1.1")));
        assert_eq!(
            asked(version, "compute 2.90, artifact latest"),
            Ok(Microversion("1.1"))
        );
        assert_eq!(asked(version, "compute 2.90"), Ok(Microversion("1.0")));
        let accepted = asked("accept", "application/vnd.openstack.artifacts-1.1");
        assert_eq!(accepted, Ok(Microversion("1.1")));
        assert!(matches!(
            asked(version, "artifact 1.2"),
            Err(Refusal::ApiVersion(_))
        ));
        assert!(matches!(
            asked(version, "artifact one"),
            Err(Refusal::Invalid(_))
        ));
    }
}
