//! Opening the socket, so that its errors come before anything else is started.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio_rustls::TlsAcceptor;

use super::{Config, tls};

/// A socket that listens, not yet served.
pub struct Listener {
    pub(super) socket: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) config: Config,
}

/// Why a listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, not ours or not one.
    #[error("cannot listen on {host}:{port}: {source}")]
    Bind {
        /// `bind_host`.
        host: String,
        /// `bind_port`.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key file is missing or unfit.
    #[error("{path}: {reason}", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    pub(super) fn pem(path: &Path, reason: impl ToString) -> Self {
        Self::Pem {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}

impl Listener {
    /// Reads the TLS files and listens. Connections wait in the backlog until
    /// [`serve`](super::serve).
    pub async fn bind(config: &Config) -> Result<Self, Error> {
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let socket = listen(config).await.map_err(|source| Error::Bind {
            host: config.bind_host.clone(),
            port: config.bind_port,
            source,
        })?;
        Ok(Self {
            socket,
            tls,
            config: config.clone(),
        })
    }

    /// Where it listens, with the port that the kernel chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

async fn listen(config: &Config) -> io::Result<TcpListener> {
    let address = lookup_host((config.bind_host.as_str(), config.bind_port))
        .await?
        .next()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(config.backlog)
}
