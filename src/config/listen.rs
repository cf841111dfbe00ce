//! Where and how the service listens, into [`http::Config`].

use std::{net::IpAddr, path::PathBuf};

use super::{fresnel::Fresnel, option::section, reader::Reader};
use crate::{
    base::limits::KIB,
    http::{self, TlsConfig},
};

section! {
    /// Where the service listens.
    Listen in "DEFAULT" {
        /// Address to listen on: 127.0.0.1 without authentication, 0.0.0.0 with.
        bind_host: Option<String>;
        /// Port to listen on; 0 takes a free one, which the log names.
        bind_port: u16 = "9292";
        /// Connections that the kernel holds until they are accepted.
        backlog: u32 = "4096", min 1;
        /// PEM file with the certificate and its chain: the service then speaks TLS only. Needs
        /// `key_file`.
        cert_file: Option<String>;
        /// PEM file with the private key of `cert_file`.
        key_file: Option<String>;
        /// PEM file with certificates, one of which must have signed each client's.
        ca_file: Option<String>;
    }
}

impl Listen {
    /// For the layer that listens. Without authentication only loopback will do, unless the
    /// operator says otherwise.
    pub(crate) fn settings(
        self,
        reader: &mut Reader<'_>,
        fresnel: &Fresnel,
        authenticated: bool,
    ) -> http::Config {
        let usual = if authenticated {
            "0.0.0.0"
        } else {
            "127.0.0.1"
        };
        let bind_host = self.bind_host.clone().unwrap_or_else(|| usual.to_owned());
        if !authenticated && !fresnel.allow_unauthenticated && !is_loopback(&bind_host) {
            let reason = format!(
                "{bind_host} is not a loopback address, and without authentication everybody is \
                 an administrator; [fresnel] allow_unauthenticated = true lets it be so"
            );
            reader.refuse("DEFAULT", "bind_host", &reason);
        }
        http::Config {
            bind_host,
            bind_port: self.bind_port,
            backlog: self.backlog,
            tls: self.tls(reader),
            connections_max: fresnel.connections_max as usize,
            header_limit_bytes: fresnel.header_limit_kib as usize * KIB,
            min_rate_bytes_per_second: fresnel.min_rate_bytes_per_second.into(),
            ..http::Config::default()
        }
    }

    fn tls(self, reader: &mut Reader<'_>) -> Option<TlsConfig> {
        match (self.cert_file, self.key_file, self.ca_file) {
            (Some(cert), Some(key), ca) => Some(TlsConfig {
                cert_file: cert.into(),
                key_file: key.into(),
                ca_file: ca.map(PathBuf::from),
            }),
            (None, None, None) => None,
            (cert, _, ca) => {
                let (lonely, missing) = match (cert, ca) {
                    (Some(_), _) => ("cert_file", "key_file"),
                    (None, Some(_)) => ("ca_file", "cert_file and key_file"),
                    (None, None) => ("key_file", "cert_file"),
                };
                reader.refuse(
                    "DEFAULT",
                    lonely,
                    &format!("does nothing without {missing}"),
                );
                None
            }
        }
    }
}

/// A name is taken at its word only where it is `localhost`.
fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}
