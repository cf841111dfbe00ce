//! What the integration tests stand on: the real binary, the real parts of the lab, a plain HTTP client.

pub(crate) mod app;
pub(crate) mod barbican;
pub(crate) mod cinder;
pub(crate) mod images;
pub(crate) mod keystone;
pub(crate) mod lab;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod reference;
pub(crate) mod served;
pub(crate) mod signing;
pub(crate) mod web;
pub(crate) mod wire;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

/// A free port of 127.0.0.1, as an address.
pub(crate) fn free_address() -> SocketAddr {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    socket.local_addr().expect("a bound socket has an address")
}

/// Asks until `answer` says yes; `false` when it did not within `limit`.
#[expect(
    clippy::disallowed_methods,
    reason = "the other side is a process, which has no event to wait for"
)]
pub(crate) fn wait_until(limit: Duration, mut answer: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !answer() {
        if begin.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
