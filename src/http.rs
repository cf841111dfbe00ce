//! HTTP/1.1 on sockets: the accept loop, TLS, limits, bodies in both directions, error bodies, the
//! access log.
//! Knows no route and no image.
//!
//! [`Listener::bind`] opens the socket, [`serve`] runs until its [`Drain`] says stop. A
//! [`Handler`] turns a [`Request`] into a [`Response`] in the connection's own task, so it is
//! cancelled when the client goes. Files leave by `sendfile(2)`: see [`segment`].

pub mod accept;
pub mod access;
pub mod body;
pub mod config;
mod connection;
pub mod drain;
pub mod error;
mod io;
pub mod listener;
pub mod request;
mod segment;
mod server;
mod tls;

use async_trait::async_trait;

pub use access::Access;
pub use body::{Body, Frame, FrameSource};
pub use config::{Config, TlsConfig};
pub use drain::{Drain, Shutdown, drain};
pub use listener::{Error, Listener};
pub use request::{ReadError, Request, RequestBody};
pub use server::{Served, serve};
pub use tls::Tls;

/// What a handler answers.
pub type Response = ::http::Response<Body>;

/// Answers requests.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// One request, one response. The future runs in the connection's task and is dropped when the
    /// client goes away or the drain's deadline passes: what must outlive that is spawned.
    ///
    /// A handler may answer without reading the body; the client still gets the answer.
    async fn handle(&self, request: Request) -> Response;
}
