//! What an operator decides about a listener.

use std::{path::PathBuf, time::Duration};

use crate::base::limits::KIB;

/// One listener.
#[derive(Clone, Debug)]
pub struct Config {
    /// Host name or address, `bind_host`.
    pub bind_host: String,
    /// Port, `bind_port`; 0 lets the kernel choose.
    pub bind_port: u16,
    /// Connections that the kernel holds until they are accepted, `backlog`.
    pub backlog: u32,
    /// TLS, or plain text.
    pub tls: Option<TlsConfig>,
    /// Connections at once; one more is told 503 and closed.
    pub connections_max: usize,
    /// Request line and headers together; more is a 431, as are more than 100 headers.
    pub header_limit_bytes: usize,
    /// From when a connection is ready for a request to the last byte of its headers: it ends
    /// idle connections and slow headers alike.
    pub header_timeout: Duration,
    /// The longest silence inside a request's body, and the longest that a body read whole
    /// ([`RequestBody::read_to_limit`](super::RequestBody::read_to_limit)) may take.
    pub body_timeout: Duration,
    /// The longest that a client may take none of the response's bytes.
    pub send_timeout: Duration,
    /// A client that takes fewer of a response's bytes a second, in the time in which we wait for it, is cut
    /// ([`PACE_WINDOW`](crate::base::pace::PACE_WINDOW)); 0 is off.
    pub min_rate_bytes_per_second: u64,
    /// From accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
}

/// PEM files of a TLS listener.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The certificate, followed by its chain, `cert_file`.
    pub cert_file: PathBuf,
    /// Its private key, `key_file`.
    pub key_file: PathBuf,
    /// Where set, clients must show a certificate that one of these signed, `ca_file`.
    pub ca_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind_host: "127.0.0.1".into(),
            bind_port: 9292,
            backlog: 4096,
            tls: None,
            connections_max: 8192,
            header_limit_bytes: 64 * KIB,
            header_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            min_rate_bytes_per_second: 1024,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}
