//! The HTTP layer over real sockets: framing, errors, zero copy, limits, TLS, drain.

mod download;
mod lab;
mod limits;
mod tls;
mod upload;
