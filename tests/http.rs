//! The HTTP layer over real sockets: framing, errors, zero copy, limits, TLS, drain.

mod download;
mod limits;
mod rig;
mod tls;
mod upload;
