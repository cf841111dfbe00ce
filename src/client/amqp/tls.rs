//! TLS to a broker.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Error, Result, Tls};

/// Shakes hands. The broker's certificate must be good for the host's name.
pub(super) async fn connect(
    files: &Tls,
    host: &str,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(failed)?;
    let connector = TlsConnector::from(Arc::new(config(files)?));
    Ok(connector.connect(name, tcp).await?)
}

fn config(files: &Tls) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(failed)?;
    let builder = match &files.ca_file {
        None => builder.with_platform_verifier().map_err(failed)?,
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(failed)?;
            }
            builder.with_root_certificates(roots)
        }
    };
    match (&files.cert_file, &files.key_file) {
        (Some(chain), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(failed)?;
            let chain = certificates(chain)?;
            builder.with_client_auth_cert(chain, key).map_err(failed)
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(path);
    let certificates = certificates.and_then(Iterator::collect::<Result<Vec<_>, _>>);
    certificates.map_err(|error| Error::Tls(format!("{}: {error}", path.display())))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Tls(error.to_string())
}
