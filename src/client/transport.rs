//! Connections to other services: TLS as the operator wants it, time limits.

use std::{
    error::Error as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Certificate, Client, ClientBuilder, Identity, redirect};

/// How connections are made.
#[derive(Clone, Debug)]
pub struct Config {
    /// PEM file with the only authorities to trust; none stands for the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the certificate to show.
    pub cert_file: Option<PathBuf>,
    /// PEM file with its key, where that is not in `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Trusts whoever answers.
    pub insecure: bool,
    /// For a request and its answer together.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ca_file: None,
            cert_file: None,
            key_file: None,
            insecure: false,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Why no connection could ever be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{path} cannot be used", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file has no certificate or key in it, or the system has no authorities.
    #[error("TLS cannot be set up")]
    Tls(#[source] reqwest::Error),
    /// The same, for connections of our own.
    #[error("TLS cannot be set up")]
    Rustls(#[source] rustls::Error),
}

/// A client with its pool of connections.
pub(super) fn client(config: &Config) -> Result<Client, Error> {
    let builder = builder(config)?.timeout(config.timeout);
    builder.build().map_err(Error::Tls)
}

/// The same for transfers: only each wait for the other side has an end.
pub(super) fn streaming(config: &Config) -> Result<Client, Error> {
    let builder = builder(config)?.read_timeout(config.timeout);
    builder.build().map_err(Error::Tls)
}

/// A client to be, which waits without end for an answer. It follows no redirection: that would hand
/// our token to whoever is named.
pub(super) fn builder(config: &Config) -> Result<ClientBuilder, Error> {
    let mut builder = Client::builder()
        .connect_timeout(config.timeout)
        .redirect(redirect::Policy::none())
        .user_agent(super::USER_AGENT)
        .tls_danger_accept_invalid_certs(config.insecure);
    if let Some(path) = &config.ca_file {
        let authorities = Certificate::from_pem_bundle(&read(path)?).map_err(Error::Tls)?;
        builder = builder.tls_certs_only(authorities);
    }
    if let Some(path) = &config.cert_file {
        let mut pem = read(path)?;
        if let Some(path) = &config.key_file {
            pem.push(b'\n');
            pem.extend(read(path)?);
        }
        builder = builder.identity(Identity::from_pem(&pem).map_err(Error::Tls)?);
    }
    Ok(builder)
}

/// An error with its causes, without the address.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let what = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "it takes too long",
        (false, true) => "no connection",
        (false, false) => "the request failed",
    };
    let mut text = what.to_owned();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File {
        path: path.into(),
        source,
    })
}
