//! TLS for a listener.

use std::{fmt, path::Path, sync::Arc};

use parking_lot::Mutex;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use super::{TlsConfig, listener::Error};

/// The TLS of a listener; clones are of the same.
#[derive(Clone)]
pub struct Tls {
    config: TlsConfig,
    acceptor: Arc<Mutex<TlsAcceptor>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Error::Pem`], which names the file at fault.
    pub fn open(config: &TlsConfig) -> Result<Self, Error> {
        Ok(Self {
            config: config.clone(),
            acceptor: Arc::new(Mutex::new(acceptor(config)?)),
        })
    }

    /// Reads the files again, for the connections to come. With files that are unfit nothing changes;
    /// the log says which.
    pub fn reload(&self) {
        let cert_file = self.config.cert_file.display();
        match acceptor(&self.config) {
            Ok(acceptor) => {
                *self.acceptor.lock() = acceptor;
                info!(%cert_file, "The certificate was read again");
            }
            Err(error) => error!(%error, "The certificate stays as it was"),
        }
    }

    /// For one connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.lock().clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.config).finish()
    }
}

fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(&config.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .map_err(|error| Error::pem(&config.key_file, error))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::pem(&config.cert_file, error))?;
    let builder = match &config.ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(client_verifier(path, provider)?),
    };
    let mut server = builder
        .with_single_cert(chain, key)
        .map_err(|error| Error::pem(&config.cert_file, error))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn client_verifier(
    path: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| Error::pem(path, error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::pem(path, error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| Error::pem(path, error))?;
    if certificates.is_empty() {
        return Err(Error::pem(path, "it holds no certificate"));
    }
    Ok(certificates)
}
