//! Opening the socket, so that its errors come before anything else is started.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::FileTypeExt, net},
    path::{Path, PathBuf},
};

use rustix::{fs::Mode, process::umask};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, lookup_host};

use super::{Config, Tls};

/// A socket that listens, not yet served.
pub struct Listener {
    pub(super) socket: Socket,
    pub(super) tls: Option<Tls>,
    pub(super) config: Config,
}

pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection, as it was accepted.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why a listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, not ours or not one.
    #[error("cannot listen on {host}:{port}")]
    Bind {
        /// `bind_host`.
        host: String,
        /// `bind_port`.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The path is taken or not ours to use.
    #[error("cannot listen on {path}", path = path.display())]
    Path {
        /// The socket's.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key file is missing or unfit.
    #[error("TLS cannot be set up with {path}: {reason}", path = path.display())]
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
        let tls = config.tls.as_ref().map(Tls::open).transpose()?;
        let socket = listen(config).await.map_err(|source| Error::Bind {
            host: config.bind_host.clone(),
            port: config.bind_port,
            source,
        })?;
        Ok(Self {
            socket: Socket::Tcp(socket),
            tls,
            config: config.clone(),
        })
    }

    /// Listens on a socket of this host's files, for the user that the process has. A socket that a
    /// process which has died left there is removed.
    ///
    /// # Errors
    /// [`Error::Path`] when there is something else, or somebody answers there.
    pub fn bind_unix(path: &Path) -> Result<Self, Error> {
        let socket = clear(path).and_then(|()| {
            // The mode is there with the socket. For this moment all of the process's new files
            // have it, which takes rights away and gives none.
            let usual = umask(Mode::from_raw_mode(0o177));
            let socket = UnixListener::bind(path);
            umask(usual);
            socket
        });
        let socket = socket.map_err(|source| Error::Path {
            path: path.into(),
            source,
        })?;
        Ok(Self {
            socket: Socket::Unix(socket),
            tls: None,
            config: Config::default(),
        })
    }

    /// Its TLS, where it has any.
    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// Where it listens, with the port that the kernel chose; an error for a socket with a path.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Socket::Tcp(socket) => socket.local_addr(),
            Socket::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Socket {
    /// The next connection, and from where it is: from this host, where sockets have no addresses.
    pub(super) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((Stream::Tcp(stream), peer))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                Ok((Stream::Unix(stream), (Ipv4Addr::LOCALHOST, 0).into()))
            }
        }
    }
}

fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::other("something else has that name"))
        }
        Ok(_) if net::UnixStream::connect(path).is_ok() => Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_users_alone_and_of_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin");
        let first = Listener::bind_unix(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Listener::bind_unix(&path).is_err());
        drop(first);
        // What is left is nobody's.
        Listener::bind_unix(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(Listener::bind_unix(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
