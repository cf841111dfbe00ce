//! What the service holds when it does nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{Bench, Promise, Row, client, peers};

const CONNECTIONS: usize = 1000;

/// Idle memory, and what a thousand idle connections add, of clients that have listed images and of
/// clients that have each uploaded one.
pub(crate) fn idle(bench: &Bench) -> Vec<Row> {
    let server = peers::fresnel(&bench.folder, "");
    client::create(server.address);
    let alone = server.process.rss_mib();
    let ask = |request: &str| {
        let mut socket = TcpStream::connect(server.address).expect("a connection");
        socket.write_all(request.as_bytes()).expect("a request");
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer[9..10], b"2", "{answer:?}");
        socket
    };
    let list = |_| ask("GET /v2/images HTTP/1.1\r\nHost: bench\r\n\r\n");
    let sockets: Vec<TcpStream> = (0..CONNECTIONS).map(list).collect();
    let crowded = server.process.rss_mib();
    drop(sockets);
    let body = "z".repeat(1 << 20);
    let upload = |_| {
        let id = client::create(server.address);
        ask(&format!(
            "PUT /v2/images/{id}/file HTTP/1.1\r\nHost: bench\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let sockets: Vec<TcpStream> = (0..CONNECTIONS).map(upload).collect();
    let uploaded = server.process.rss_mib();
    drop(sockets);
    let row = |work: String, mib: f64, limit: f64| Row {
        work,
        ours: format!("{mib:.1} MiB"),
        beside: "limit".into(),
        ratio: mib,
        promise: Promise::AtMost(limit),
    };
    vec![
        row("idle: MiB".into(), alone, 40.0),
        row(
            format!("{CONNECTIONS} idle connections: MiB more"),
            crowded - alone,
            32.0,
        ),
        row(
            format!("{CONNECTIONS} connections that have each uploaded 1 MiB: MiB more"),
            uploaded - alone,
            32.0,
        ),
    ]
}
