//! What the service holds when it does nothing.

use std::net::TcpStream;

use crate::{Bench, Promise, Row, client, peers};

/// Idle memory, and what a thousand idle connections add.
pub(crate) fn idle(bench: &Bench) -> Vec<Row> {
    const CONNECTIONS: usize = 1000;
    let server = peers::fresnel(&bench.folder, "");
    client::create(server.address);
    let alone = server.process.rss_mib();
    let connect = |_| {
        use std::io::{Read, Write};
        let mut socket = TcpStream::connect(server.address).expect("a connection");
        socket
            .write_all(b"GET /v2/images HTTP/1.1\r\nHost: bench\r\n\r\n")
            .expect("a request");
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).expect("an answer");
        socket
    };
    let sockets: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
    let crowded = server.process.rss_mib();
    drop(sockets);
    vec![
        Row {
            work: "idle: MiB".into(),
            ours: format!("{alone:.1} MiB"),
            beside: "limit".into(),
            ratio: alone,
            promise: Promise::AtMost(40.0),
        },
        Row {
            work: format!("{CONNECTIONS} idle connections: MiB more"),
            ours: format!("{:.1} MiB", crowded - alone),
            beside: "limit".into(),
            ratio: crowded - alone,
            promise: Promise::AtMost(32.0),
        },
    ]
}
