//! `[cors]`, `[oslo_middleware]`, `[healthcheck]`: the filters before the API.

use std::net::IpAddr;

use super::{option::section, reader::Reader};
use crate::api::{
    Settings, cors,
    healthcheck::{self, Check, Network},
};

section! {
    /// What browsers on pages of other origins may do.
    Cors in "cors" {
        /// Origins, as `https://horizon.example.org`; `*` is any. None turns all of it off.
        allowed_origin: Vec<String> = "";
        /// They may send credentials.
        allow_credentials: bool = "true";
        /// Response headers that they may read.
        expose_headers: Vec<String> = "X-Image-Meta-Checksum,X-Auth-Token,X-Subject-Token,X-Service-Token,X-OpenStack-Request-ID";
        /// Seconds for which a browser remembers what it may do.
        max_age: u32 = "3600";
        /// Methods that they may use.
        allow_methods: Vec<String> = "GET,PUT,POST,DELETE,PATCH";
        /// Request headers that they may send.
        allow_headers: Vec<String> = "Content-MD5,X-Image-Meta-Checksum,X-Storage-Token,Accept-Encoding,X-Auth-Token,X-Identity-Status,X-Roles,X-Service-Catalog,X-User-Id,X-Tenant-Id,X-OpenStack-Request-ID";
    }
}

section! {
    /// What stands between clients and the service.
    Middleware in "oslo_middleware" {
        /// A proxy stands before the service, and its `Forwarded` or `X-Forwarded-*` headers say what
        /// the client asked. Anybody can send these where there is none.
        enable_proxy_headers_parsing: bool = "false";
    }
}

section! {
    /// What `/healthcheck` looks at.
    Healthcheck in "healthcheck" {
        /// Say what was looked at.
        detailed: bool = "false";
        /// Any of `disable_by_file`, `disable_by_files_ports` and `enable_by_files`; and `lease`, which is
        /// not Glance's: the answer is 503 while the node could not renew its lease in time, because the
        /// database is away.
        backends: Vec<String> = "disable_by_file";
        /// `disable_by_file`: while this file is there the answer is 503.
        disable_by_file_path: Option<String> = "/etc/glance/healthcheck_disable";
        /// `disable_by_files_ports`: the same for one port each, as `9292:/path`.
        disable_by_file_paths: Vec<String> = "";
        /// `enable_by_files`: while one of these files is missing the answer is 503.
        enable_by_file_paths: Vec<String> = "";
        /// Networks, as `192.0.2.0/24`, whose addresses are answered; none is everybody.
        allowed_source_ranges: Vec<String> = "";
        /// Do not answer what came through a proxy.
        ignore_proxied_requests: bool = "false";
    }
}

/// All of them, as the layer that answers takes them.
pub(super) struct Filters {
    cors: cors::Cors,
    proxy_headers: bool,
    healthcheck: healthcheck::Healthcheck,
}

/// Reads all of them; `port` is the one that the service listens on.
pub(super) fn read(reader: &mut Reader<'_>, port: u16) -> Filters {
    let middleware = Middleware::read(reader, &["oslo_middleware"]);
    let healthcheck = Healthcheck::read(reader, &["healthcheck"]);
    Filters {
        cors: Cors::read(reader, &["cors"]).settings(),
        proxy_headers: middleware.enable_proxy_headers_parsing,
        healthcheck: healthcheck.settings(reader, port),
    }
}

impl Filters {
    /// Puts them before the API.
    pub(super) fn add(self, api: Settings) -> Settings {
        Settings {
            cors: self.cors,
            proxy_headers: self.proxy_headers,
            healthcheck: self.healthcheck,
            ..api
        }
    }
}

impl Cors {
    /// For the layer that answers.
    fn settings(self) -> cors::Cors {
        cors::Cors {
            allowed_origin: self.allowed_origin,
            allow_credentials: self.allow_credentials,
            expose_headers: self.expose_headers,
            max_age_seconds: self.max_age,
            allow_methods: self.allow_methods,
            allow_headers: self.allow_headers,
        }
    }
}

impl Healthcheck {
    /// For the layer that answers.
    fn settings(self, reader: &mut Reader<'_>, port: u16) -> healthcheck::Healthcheck {
        let mut refuse = |name: &str, reason: String| reader.refuse("healthcheck", name, &reason);
        let named = |name: &str| self.backends.iter().any(|backend| backend == name);
        if named("disable_by_file") && named("enable_by_files") {
            let reason = "disable_by_file and enable_by_files cannot be together";
            refuse("backends", reason.to_owned());
        }
        let mut paths = Vec::new();
        for text in &self.disable_by_file_paths {
            match text
                .split_once(':')
                .and_then(|(port, path)| Some((port.parse().ok()?, path)))
            {
                Some((port, path)) => paths.push((port, path.to_owned())),
                None => refuse(
                    "disable_by_file_paths",
                    format!("{text:?} is not of the form port:path"),
                ),
            }
        }
        let mut checks = Vec::new();
        for backend in &self.backends {
            checks.extend(match backend.as_str() {
                "disable_by_file" => Some(Check::DisableByFile {
                    path: self.disable_by_file_path.clone(),
                }),
                "disable_by_files_ports" => Some(Check::DisableByFilesPorts {
                    paths: paths.clone(),
                    port,
                }),
                "enable_by_files" => Some(Check::EnableByFiles {
                    paths: self.enable_by_file_paths.clone(),
                }),
                "lease" => Some(Check::Lease),
                other => {
                    refuse("backends", format!("{other:?} is not known"));
                    None
                }
            });
        }
        let mut allowed_sources = Vec::new();
        for text in &self.allowed_source_ranges {
            match network(text) {
                Some(network) => allowed_sources.push(network),
                None => refuse("allowed_source_ranges", format!("{text:?} is no network")),
            }
        }
        healthcheck::Healthcheck {
            detailed: self.detailed,
            checks,
            allowed_sources,
            ignore_proxied_requests: self.ignore_proxied_requests,
        }
    }
}

/// `address` or `address/bits`.
fn network(text: &str) -> Option<Network> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some(Network { address, bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{error, load_text};

    #[test]
    fn the_default_check_is_the_file_of_glance() {
        let config = load_text("").unwrap();
        let path = Some("/etc/glance/healthcheck_disable".to_owned());
        assert_eq!(
            config.api.healthcheck.checks,
            [Check::DisableByFile { path }]
        );
        assert!(config.api.cors.allowed_origin.is_empty());
    }

    #[test]
    fn checks_and_networks_are_read() {
        let text = "[DEFAULT]\nbind_port = 9999\n[healthcheck]\nbackends = disable_by_files_ports\n\
                    disable_by_file_paths = 9999:/a,1:/b\nallowed_source_ranges = 192.0.2.0/24,::1";
        let health = load_text(text).unwrap().api.healthcheck;
        let paths = vec![(9999, "/a".to_owned()), (1, "/b".to_owned())];
        assert_eq!(
            health.checks,
            [Check::DisableByFilesPorts { paths, port: 9999 }]
        );
        let bits: Vec<u8> = health
            .allowed_sources
            .iter()
            .map(|network| network.bits)
            .collect();
        assert_eq!(bits, [24, 128]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let cases = [
            "backends = disable_by_file,enable_by_files",
            "backends = magic",
            "disable_by_file_paths = /a",
            "allowed_source_ranges = 192.0.2.0/33",
        ];
        for line in cases {
            let error = error(&format!("[healthcheck]\n{line}"));
            assert!(error.starts_with("a.conf:2: [healthcheck] "), "{error}");
        }
    }
}
