//! A connection to an address that was judged, for one request.

use std::{fmt, net::SocketAddr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header::HOST, header::PROXY_AUTHORIZATION};
use http_body_util::Empty;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Config, Error, Timeouts, tls,
    uri::{Host, Scheme, Uri},
};
use crate::{
    base::{limits::KIB, secret::Secret},
    client::transport,
};

/// What a connection reads before somebody asks for it.
pub(super) const READ_BYTES_MAX: usize = 256 * KIB;

/// The body of our requests.
pub(super) type Nothing = Empty<Bytes>;

/// A server that asks others for us.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// `host:port`
    address: String,
    credentials: Option<Secret>,
}

/// No proxy of a kind that there is a client for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the address of an HTTP proxy, as 10.0.0.1:3128")]
pub struct BadProxy;

impl Proxy {
    /// Reads `host:port`, `http://host:port` or `http://user:password@host:port`.
    ///
    /// # Errors
    /// [`BadProxy`].
    pub fn parse(text: &str) -> Result<Self, BadProxy> {
        let text = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let uri = Uri::parse(&text).map_err(|_| BadProxy)?;
        if uri.scheme != Scheme::Http || uri.target() != "/" {
            return Err(BadProxy);
        }
        Ok(Self {
            address: format!("{}:{}", uri.host, uri.port),
            credentials: uri.credentials,
        })
    }
}

/// Makes connections.
pub(super) struct Connector {
    tls: TlsConnector,
    proxies: Vec<(Scheme, Proxy)>,
    timeouts: Timeouts,
}

/// A connection. Its task ends with it.
pub(super) struct Connection {
    sender: SendRequest<Nothing>,
    /// The proxy of requests that name the whole address.
    proxy: Option<Proxy>,
    _task: AbortOnDropHandle<()>,
}

/// Plain or under TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connector {
    pub(super) fn new(config: Config) -> Result<Self, transport::Error> {
        let tls = tls::client(config.ca_file.as_deref(), config.insecure)?;
        Ok(Self {
            tls: Arc::new(tls).into(),
            proxies: config.proxies,
            timeouts: config.timeouts,
        })
    }

    pub(super) fn proxy(&self, scheme: Scheme) -> Option<&Proxy> {
        let mut proxies = self.proxies.iter();
        let found = proxies.find(|(of, _)| *of == scheme);
        found.map(|(_, proxy)| proxy)
    }

    /// To the first of the addresses that takes one.
    pub(super) async fn direct(
        &self,
        uri: &Uri,
        addresses: &[SocketAddr],
    ) -> Result<Connection, Error> {
        let mut failed = Error::unreachable("no address");
        for address in addresses {
            match self.within(self.reach(uri, *address)).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn reach(&self, uri: &Uri, address: SocketAddr) -> Result<Connection, Error> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(Error::unreachable)?;
        match uri.scheme {
            Scheme::Http => greeted(stream, None).await,
            Scheme::Https => greeted(self.secured(uri, stream).await?, None).await,
        }
    }

    /// Through a proxy, which the operator has named and nobody judges.
    pub(super) async fn through(&self, proxy: &Proxy, uri: &Uri) -> Result<Connection, Error> {
        self.within(async {
            let stream = TcpStream::connect(&proxy.address).await;
            let stream = stream.map_err(|error| Error::unreachable(format!("proxy: {error}")))?;
            match uri.scheme {
                Scheme::Http => greeted(stream, Some(proxy.clone())).await,
                Scheme::Https => {
                    let tunnel = tunnel(proxy, uri, stream).await?;
                    greeted(self.secured(uri, tunnel).await?, None).await
                }
            }
        })
        .await
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let done = timeout(self.timeouts.connect, work).await;
        done.map_err(|_| Error::unreachable("no connection in time"))?
    }

    async fn secured<T: Stream>(&self, uri: &Uri, stream: T) -> Result<TlsStream<T>, Error> {
        let name = match &uri.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(Error::unreachable)?,
        };
        let secured = self.tls.connect(name, stream).await;
        secured.map_err(|error| Error::unreachable(format!("TLS: {error}")))
    }
}

async fn greeted(stream: impl Stream + 'static, proxy: Option<Proxy>) -> Result<Connection, Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_BYTES_MAX);
    let (sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Error::unreachable)?;
    // Its errors come to whoever reads.
    let task = tokio::spawn(async move { drop(connection.await) });
    Ok(Connection {
        sender,
        proxy,
        _task: AbortOnDropHandle::new(task),
    })
}

/// Asks a proxy for a connection to the host.
async fn tunnel(proxy: &Proxy, uri: &Uri, stream: TcpStream) -> Result<TokioIo<Upgraded>, Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Error::unreachable)?;
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    let place = format!("{}:{}", uri.host, uri.port);
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(&place)
        .header(HOST, &place);
    if let Some(credentials) = &proxy.credentials {
        request = request.header(PROXY_AUTHORIZATION, basic(credentials));
    }
    let request = request.body(Nothing::new()).map_err(Error::unreachable)?;
    let response = sender.send_request(request).await;
    let response = response.map_err(Error::unreachable)?;
    if !response.status().is_success() {
        let status = response.status();
        return Err(Error::unreachable(format!("the proxy answers {status}")));
    }
    let upgraded = hyper::upgrade::on(response).await;
    upgraded.map(TokioIo::new).map_err(Error::unreachable)
}

impl Connection {
    pub(super) async fn send(
        &mut self,
        request: Request<Nothing>,
    ) -> Result<Response<Incoming>, Error> {
        let response = self.sender.send_request(request).await;
        response.map_err(Error::unreachable)
    }

    /// The request's target: a path, or to a proxy the whole address.
    pub(super) fn target(&self, uri: &Uri) -> String {
        match self.proxy {
            None => uri.target().to_owned(),
            Some(_) => uri.bare(),
        }
    }

    pub(super) fn proxy_authorization(&self) -> Option<HeaderValue> {
        self.proxy.as_ref()?.credentials.as_ref().map(basic)
    }
}

/// The header of credentials: `user:password`.
pub(super) fn basic(credentials: &Secret) -> HeaderValue {
    let encoded = Secret::new(BASE64_STANDARD.encode(credentials.expose()));
    let value = Secret::new(format!("Basic {}", encoded.expose()));
    let mut value = HeaderValue::from_str(value.expose()).expect("base64 is ASCII");
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        for (text, address) in [
            ("10.0.0.1:3128", "10.0.0.1:3128"),
            ("http://proxy.example:8080/", "proxy.example:8080"),
            ("http://me:hunter2@proxy.example", "proxy.example:80"),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.address, address);
            assert!(!format!("{proxy:?}").contains("hunter2"));
        }
        for bad in ["", "socks5://h:1", "https://h:1", "http://h:1/path"] {
            assert!(Proxy::parse(bad).is_err(), "{bad}");
        }
    }
}
