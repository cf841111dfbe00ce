//! A process of ours on this host, asked through its own socket.

use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{Method, StatusCode};
use reqwest::Client;
use serde_json::Value;

use super::transport::{self, cause};

/// For a request and its answer: the removal of many files takes its time.
const TIMEOUT: Duration = Duration::from_secs(120);
/// What is quoted of an answer that refuses.
const QUOTED_CHARS: usize = 300;

/// The process.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

/// Why it does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket is there, and not for us.
    #[error("cannot use the socket {path}", path = path.display())]
    Socket {
        /// `[fresnel] admin_socket`.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not answer, or not to the end.
    #[error("the process that runs does not answer: {0}")]
    Failed(String),
    /// It says no.
    #[error("{status}: {text}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The beginning of what it said.
        text: String,
    },
    /// No client can be made.
    #[error(transparent)]
    Transport(#[from] transport::Error),
}

impl Admin {
    /// The process that listens there; `None` where none does.
    ///
    /// # Errors
    /// [`Error::Socket`], [`Error::Transport`].
    pub fn at(path: &Path) -> Result<Option<Self>, Error> {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        match UnixStream::connect(path) {
            Ok(_) => {}
            Err(error) if [NotFound, ConnectionRefused].contains(&error.kind()) => return Ok(None),
            Err(source) => {
                let path = path.to_owned();
                return Err(Error::Socket { path, source });
            }
        }
        let config = transport::Config {
            timeout: TIMEOUT,
            ..transport::Config::default()
        };
        let builder = transport::builder(&config)?.timeout(TIMEOUT);
        let client = builder.unix_socket(path).no_proxy().build();
        let client = client.map_err(transport::Error::Tls)?;
        Ok(Some(Self { client }))
    }

    /// Asks for something; the document that it answers, `Null` where there is none.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Refused`].
    pub async fn ask(&self, method: Method, path: &str) -> Result<Value, Error> {
        let failed = |error: reqwest::Error| Error::Failed(cause(&error));
        let url = format!("http://localhost{path}");
        let request = self.client.request(method, url);
        let request = request.header("accept", "application/json");
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        match status.is_success() {
            true => Ok(serde_json::from_str(&text).unwrap_or_default()),
            false => Err(Error::Refused {
                status,
                text: text.chars().take(QUOTED_CHARS).collect(),
            }),
        }
    }
}
