//! One connection, from accept to close.

use std::{
    convert::Infallible,
    error::Error as _,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ::http::{HeaderValue, StatusCode, header, uri::Scheme};
use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::{
    Config, Drain, Handler, Request, RequestBody, Response,
    body::{Delivery, WireBody},
    error,
    io::{Io, Transport, Wire},
    listener::Stream,
    server::Failed,
};
use crate::base::limits::KIB;

/// hyper's buffer for a request's body and for what waits to be sent. Receiving costs the same with
/// 128 and 256 KiB (0.27 to 0.33 CPU seconds per GiB), a tenth to a third more with 64.
const BUFFER_BYTES: usize = 128 * KIB;

/// What is left of a body after an early answer is read if it is at most this much and comes
/// within this time, so that the connection lives on.
const LEFTOVER_BYTES: u64 = 64 * KIB as u64;
const LEFTOVER_TIME: Duration = Duration::from_millis(250);

/// What the connections of a listener share.
pub(super) struct Server {
    config: Config,
    handler: Arc<dyn Handler>,
    builder: http1::Builder,
    sent: metrics::Counter,
    copied: metrics::Counter,
    handshakes_failed: Failed,
    heads_failed: Failed,
}

impl Server {
    pub(super) fn new(config: Config, handler: Arc<dyn Handler>) -> Self {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_header_size(config.header_limit_bytes)
            .max_buf_size(BUFFER_BYTES.max(config.header_limit_bytes));
        let egress =
            |path: &'static str| metrics::counter!("fresnel_egress_bytes_total", "path" => path);
        Self {
            config,
            handler,
            builder,
            sent: egress("sendfile"),
            copied: egress("copy"),
            handshakes_failed: Failed::by("handshake"),
            heads_failed: Failed::by("head"),
        }
    }

    fn no_handshake(&self, peer: SocketAddr, error: &dyn std::fmt::Display) {
        tracing::debug!(%peer, %error, "A TLS handshake failed");
        if let Some(times) = self.handshakes_failed.times() {
            tracing::info!(%peer, %error, times, "A client could not agree on TLS");
        }
    }
}

/// Serves the requests of one connection until either side ends it.
pub(super) async fn run(
    server: Arc<Server>,
    tls: Option<TlsAcceptor>,
    stream: Stream,
    peer: SocketAddr,
    mut drain: Drain,
) {
    if let Stream::Tcp(stream) = &stream {
        // Fails only on a socket that is already gone, which the first read then tells.
        let _ = stream.set_nodelay(true);
    }
    let transport = match (stream, tls) {
        (Stream::Unix(stream), _) => Transport::Local(stream),
        (Stream::Tcp(stream), None) => Transport::Plain(stream),
        (Stream::Tcp(stream), Some(tls)) => {
            let handshake = timeout(server.config.handshake_timeout, tls.accept(stream));
            match handshake.await {
                Ok(Ok(stream)) => Transport::Tls(Box::new(stream)),
                Ok(Err(error)) => return server.no_handshake(peer, &error),
                Err(late) => return server.no_handshake(peer, &late),
            }
        }
    };
    let client = Arc::new(Client::new(&server, &transport, peer));
    let (wire, sent) = (client.wire.clone(), server.sent.clone());
    let io = Io::new(transport, wire, &server.config, sent);
    let service = service_fn(|request| answer(server.clone(), client.clone(), request));
    let mut connection = pin!(server.builder.serve_connection(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = drain.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Our own faults were told where they happened; the rest is the client's affair.
        let cause = error.source().map(tracing::field::display);
        tracing::debug!(%peer, %error, cause, "A connection ended");
        if error.is_parse()
            && let Some(times) = server.heads_failed.times()
        {
            tracing::info!(%peer, %error, times, "A client does not speak HTTP");
        }
    }
}

/// The other end of a connection.
struct Client {
    peer: SocketAddr,
    scheme: Scheme,
    wire: Arc<Wire>,
    delivery: Delivery,
}

impl Client {
    fn new(server: &Server, transport: &Transport, peer: SocketAddr) -> Self {
        let wire = Arc::new(Wire::default());
        let (scheme, windows) = match transport {
            Transport::Plain(_) => (Scheme::HTTP, Some(wire.windows.clone())),
            Transport::Local(_) => (Scheme::HTTP, None),
            Transport::Tls(_) => (Scheme::HTTPS, None),
        };
        Self {
            peer,
            scheme,
            wire,
            delivery: Delivery {
                windows,
                copied: server.copied.clone(),
            },
        }
    }
}

async fn answer(
    server: Arc<Server>,
    client: Arc<Client>,
    request: ::http::Request<Incoming>,
) -> Result<::http::Response<WireBody>, Infallible> {
    let (head, incoming) = request.into_parts();
    let expects_continue = head.headers.contains_key(header::EXPECT);
    let timeout = server.config.body_timeout;
    let (body, remains) = RequestBody::new(incoming, expects_continue, timeout);
    let accept = head.headers.get(header::ACCEPT).cloned();
    let request = Request {
        head,
        body,
        peer: client.peer,
        scheme: client.scheme.clone(),
    };
    let handled = AssertUnwindSafe(server.handler.handle(request)).catch_unwind();
    // The panic itself was told by the panic hook.
    let mut response = handled.await.unwrap_or_else(|_| broken(accept.as_ref()));
    let gone = remains.are_gone(LEFTOVER_BYTES, LEFTOVER_TIME).await;
    if !gone {
        client.wire.unread.store(true, Ordering::Relaxed);
    }
    if !gone || client.wire.grown.load(Ordering::Relaxed) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response.map(|body| body.on_wire(client.delivery.clone())))
}

/// What a handler that panicked answers.
fn broken(accept: Option<&HeaderValue>) -> Response {
    error::render(
        StatusCode::INTERNAL_SERVER_ERROR,
        "The server has either erred or is incapable of performing the requested operation.",
        "",
        accept.and_then(|accept| accept.to_str().ok()),
    )
}
