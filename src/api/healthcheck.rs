//! `/healthcheck`, outside authentication and versions, as oslo.middleware answers it.

use std::{net::SocketAddr, path::Path};

use ::http::{HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::{Value, json};

use crate::http::{Body, Response, accept};

/// `[healthcheck]`
#[derive(Clone, Debug, Default)]
pub struct Healthcheck {
    /// Whether the answer says what was looked at.
    pub detailed: bool,
    /// What is looked at, in this order; nothing is always well.
    pub checks: Vec<Check>,
    /// Who may ask; nobody in the list is everybody.
    pub allowed_sources: Vec<Network>,
    /// Whether requests that came through a proxy are not answered.
    pub ignore_proxied_requests: bool,
}

/// Something that can be not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `disable_by_file`: the file takes the service out of its load balancer.
    DisableByFile {
        /// The file.
        path: Option<String>,
    },
    /// `disable_by_files_ports`: the same by port.
    DisableByFilesPorts {
        /// Files by port.
        paths: Vec<(u16, String)>,
        /// The port that the service listens on.
        port: u16,
    },
    /// `enable_by_files`: the service is well while all of them are there.
    EnableByFiles {
        /// The files.
        paths: Vec<String>,
    },
    /// `lease`, which is not oslo's: the service is well while it has renewed its lease in time, and so
    /// while the database answers.
    Lease,
}

/// Addresses with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first one.
    pub address: std::net::IpAddr,
    /// How many bits are the same.
    pub bits: u8,
}

/// What a check found.
struct Finding {
    well: bool,
    reason: &'static str,
    details: String,
    class: &'static str,
}

impl Healthcheck {
    /// The answer to `peer` of a process that has its lease, or has not.
    pub(super) fn answer(&self, head: &Parts, peer: SocketAddr, has_lease: bool) -> Response {
        if !self.answers(head, peer) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        let found: Vec<Finding> = self
            .checks
            .iter()
            .map(|check| check.look(has_lease))
            .collect();
        let well = found.iter().all(|finding| finding.well);
        let status = match (well, head.method == Method::HEAD) {
            (false, _) => StatusCode::SERVICE_UNAVAILABLE,
            (true, true) => StatusCode::NO_CONTENT,
            (true, false) => StatusCode::OK,
        };
        let asked = head.headers.get(header::ACCEPT);
        let asked = asked.and_then(|value| value.to_str().ok());
        let offers = ["text/plain", "text/html", "application/json"];
        let (kind, body) = match accept::preferred(asked, &offers) {
            _ if head.method == Method::HEAD => ("text/plain; charset=UTF-8", String::new()),
            Some("text/html") => ("text/html; charset=UTF-8", self.html(&found)),
            Some("application/json") => ("application/json", self.json(&found)),
            _ => ("text/plain; charset=UTF-8", plain(&found)),
        };
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    fn answers(&self, head: &Parts, peer: SocketAddr) -> bool {
        const PROXIED: [&str; 5] = [
            "x-forwarded",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-for",
            "x-forwarded-prefix",
        ];
        let proxied = PROXIED.iter().any(|name| head.headers.contains_key(*name));
        let mut sources = self.allowed_sources.iter();
        let welcome = self.allowed_sources.is_empty() || sources.any(|source| source.has(peer));
        welcome && !(self.ignore_proxied_requests && proxied)
    }

    /// As Python's `json.dumps` with `indent=4` and sorted keys.
    fn json(&self, found: &[Finding]) -> String {
        let reasons: Vec<Value> = found
            .iter()
            .map(|finding| match self.detailed {
                true => json!({
                    "class": "HealthcheckResult",
                    "details": finding.details,
                    "reason": finding.reason,
                }),
                false => finding.reason.into(),
            })
            .collect();
        let document = json!({"detailed": self.detailed, "reasons": reasons});
        let mut bytes = Vec::new();
        let pretty = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut writer = serde_json::Serializer::with_formatter(&mut bytes, pretty);
        serde::Serialize::serialize(&document, &mut writer).expect("a value has a text");
        String::from_utf8(bytes).expect("JSON is UTF-8")
    }

    fn html(&self, found: &[Finding]) -> String {
        let head = match self.detailed {
            true => "\n<TH>\nKind\n</TH>\n<TH>\nReason\n</TH>\n<TH>\nDetails\n</TH>\n",
            false => "\n<TH>\nReason\n</TH>\n",
        };
        let rows = found.iter().map(|finding| match self.detailed {
            true => format!(
                "<TR>\n<TD>{}</TD>\n    <TD>{}</TD>\n<TD>{}</TD>\n</TR>\n",
                finding.class,
                finding.reason,
                escaped(&finding.details)
            ),
            false => format!("<TR>\n\n    <TD>{}</TD>\n\n</TR>\n", finding.reason),
        });
        format!(
            "<HTML>\n<HEAD><TITLE>Healthcheck Status</TITLE></HEAD>\n<BODY>\n\n<H2>Result of {} \
             checks:</H2>\n<TABLE bgcolor=\"#ffffff\" border=\"1\">\n<TBODY>\n<TR>\n{head}</TR>\n{}\
             </TBODY>\n</TABLE>\n<HR></HR>\n\n</BODY>\n</HTML>",
            found.len(),
            rows.collect::<String>()
        )
    }
}

impl Check {
    fn look(&self, has_lease: bool) -> Finding {
        let (well, details) = match self {
            Self::DisableByFile { path: None } => {
                let details = "No 'disable_by_file_path' configuration value specified";
                (true, details.to_owned())
            }
            Self::DisableByFile { path: Some(path) } => match Path::new(path).exists() {
                true => (false, format!("Path '{path}' was found")),
                false => (true, format!("Path '{path}' was not found")),
            },
            Self::DisableByFilesPorts { paths, port } => {
                let ours = paths.iter().find(|(known, _)| known == port);
                let found = ours.is_some_and(|(_, path)| Path::new(path).exists());
                (!found, String::new())
            }
            Self::Lease => (has_lease, String::new()),
            Self::EnableByFiles { paths } => {
                match paths.iter().find(|path| !Path::new(path).exists()) {
                    Some(path) => (false, format!("File path {path} is missing")),
                    None => (true, "Specified file paths are available".to_owned()),
                }
            }
        };
        let reason = match (well, self) {
            (true, _) => "OK",
            (false, Self::Lease) => "LEASE LOST",
            (false, Self::EnableByFiles { .. }) => "FILE PATH MISSING",
            (false, Self::DisableByFile { .. } | Self::DisableByFilesPorts { .. }) => {
                "DISABLED BY FILE"
            }
        };
        Finding {
            well,
            reason,
            details,
            class: "HealthcheckResult",
        }
    }
}

impl Network {
    fn has(&self, peer: SocketAddr) -> bool {
        use std::net::IpAddr::{V4, V6};
        let bits = u32::from(self.bits);
        match (self.address, peer.ip().to_canonical()) {
            (V4(ours), V4(theirs)) => {
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (V6(ours), V6(theirs)) => {
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.checked_shr(128 - bits).unwrap_or(0) == 0
            }
            (V4(_), V6(_)) | (V6(_), V4(_)) => false,
        }
    }
}

fn plain(found: &[Finding]) -> String {
    let reasons: Vec<&str> = found.iter().map(|finding| finding.reason).collect();
    reasons.join("\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = ::http::Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    #[test]
    fn a_file_takes_the_service_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("disable");
        let path = file.to_str().unwrap().to_owned();
        let health = Healthcheck {
            detailed: true,
            checks: vec![Check::DisableByFile {
                path: Some(path.clone()),
            }],
            ..Healthcheck::default()
        };
        let ask = || {
            let answer = health.answer(
                &head(&[("accept", "application/json")]),
                peer("127.0.0.1"),
                true,
            );
            let body: Value = serde_json::from_slice(answer.body().bytes().unwrap()).unwrap();
            (answer.status().as_u16(), body["reasons"][0].clone())
        };
        let said = |reason: &str, found: &str| {
            let details = format!("Path '{path}' was {found}");
            json!({"class": "HealthcheckResult", "details": details, "reason": reason})
        };
        assert_eq!(ask(), (200, said("OK", "not found")));
        fs::write(&file, "").unwrap();
        assert_eq!(ask(), (503, said("DISABLED BY FILE", "found")));
    }

    #[test]
    fn a_lost_lease_takes_the_service_out_where_it_is_looked_at() {
        let ask = |checks: &[Check], has_lease| {
            let checks = checks.to_vec();
            let health = Healthcheck {
                checks,
                ..Healthcheck::default()
            };
            let answer = health.answer(&head(&[]), peer("127.0.0.1"), has_lease);
            answer.status().as_u16()
        };
        assert_eq!(ask(&[Check::Lease], true), 200);
        assert_eq!(ask(&[Check::Lease], false), 503);
        assert_eq!(ask(&[], false), 200);
    }

    #[test]
    fn only_the_networks_that_are_listed_are_answered() {
        let network = |address: &str, bits| Network {
            address: address.parse().unwrap(),
            bits,
        };
        let health = Healthcheck {
            allowed_sources: vec![network("192.0.2.0", 24), network("2001:db8::", 32)],
            ..Healthcheck::default()
        };
        let cases = [
            ("192.0.2.7", 200),
            ("192.0.3.7", 404),
            ("::ffff:192.0.2.7", 200),
            ("2001:db8:1::1", 200),
            ("2001:db9::1", 404),
        ];
        for (address, expected) in cases {
            let answer = health.answer(&head(&[]), peer(address), true);
            assert_eq!(answer.status().as_u16(), expected, "{address}");
        }
        assert!(network("0.0.0.0", 0).has(peer("203.0.113.1")));
    }

    #[test]
    fn what_came_through_a_proxy_may_be_ignored() {
        let health = Healthcheck {
            ignore_proxied_requests: true,
            ..Healthcheck::default()
        };
        let ask = |headers: &[_]| {
            health
                .answer(&head(headers), peer("127.0.0.1"), true)
                .status()
                .as_u16()
        };
        assert_eq!(ask(&[]), 200);
        assert_eq!(ask(&[("x-forwarded-for", "192.0.2.1")]), 404);
    }
}
