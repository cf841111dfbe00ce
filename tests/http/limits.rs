//! Limits, slow clients, faults of a handler, the drain.

use std::time::Duration;

use fresnel::http::{Config, Served};

use super::rig::Rig;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(15);

#[tokio::test]
async fn too_large_headers_are_431() {
    let rig = Rig::start().await;
    let large = format!("X: {}\r\n", "x".repeat(70_000));
    let many = (0..101).map(|n| format!("X-{n}: y\r\n")).collect();
    for headers in [large, many] {
        let mut client = rig.connect().await;
        // The server may close while we still send.
        let _ = client
            .try_send(format!("GET /hello HTTP/1.1\r\n{headers}\r\n"))
            .await;
        assert_eq!(client.answer().await.unwrap().status(), 431);
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn slow_headers_and_idle_connections_end() {
    let config = Config {
        header_timeout: SHORT,
        ..Config::default()
    };
    let rig = Rig::with(config).await;
    let mut slow = rig.connect().await;
    slow.send("GET /hello HTT").await;
    let mut idle = rig.connect().await;
    let mut used = rig.connect().await;
    used.get("/hello").await.unwrap();
    assert!(slow.is_closed().await && idle.is_closed().await && used.is_closed().await);
}

#[tokio::test]
async fn a_silent_body_is_an_error() {
    let config = Config {
        body_timeout: SHORT,
        ..Config::default()
    };
    let rig = Rig::with(config).await;
    for target in ["/sink", "/json"] {
        let mut client = rig.connect().await;
        client
            .send(format!(
                "PUT {target} HTTP/1.1\r\nContent-Length: 9\r\n\r\nhello"
            ))
            .await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains("TimedOut"), "{}", answer.text());
    }
}

/// One byte at a time is no silence, but it does not make a small body endless.
#[tokio::test]
async fn a_small_body_must_come_soon() {
    let config = Config {
        body_timeout: 4 * SHORT,
        ..Config::default()
    };
    let rig = Rig::with(config).await;
    let mut client = rig.connect().await;
    client
        .send("PUT /json HTTP/1.1\r\nContent-Length: 900\r\n\r\n")
        .await;
    let mut tick = tokio::time::interval(SHORT);
    let answer = loop {
        tokio::select! {
            answer = client.answer() => break answer.unwrap(),
            _ = tick.tick() => {}
        }
        client.send("x").await;
    };
    assert!(answer.text().contains("TimedOut"), "{}", answer.text());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let config = Config {
        send_timeout: SHORT,
        ..Config::default()
    };
    let rig = Rig::with(config).await;
    rig.file.set_len(64 << 20).unwrap();
    let mut clients = Vec::new();
    for target in ["/file/0/67108864/67108864", "/memory/16777216"] {
        let mut client = rig.connect().await;
        client.begin(target).await;
        clients.push(client);
    }
    rig.shutdown.begin(LONG);
    assert_eq!(rig.served().await, Served { cut: 0 });
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let config = Config {
        connections_max: 1,
        ..Config::default()
    };
    let rig = Rig::with(config).await;
    let mut first = rig.connect().await;
    first.get("/hello").await.unwrap();
    let mut second = rig.connect().await;
    let answer = second.answer().await.unwrap();
    assert_eq!(
        (answer.status(), answer.header("retry-after")),
        (503, Some("1"))
    );
    assert!(second.is_closed().await);
    assert_eq!(
        rig.count("fresnel_http_failed_connections_total{reason=\"full\"}"),
        1
    );
    assert_eq!(rig.count("fresnel_http_connections"), 1);
    assert_eq!(first.get("/hello").await.unwrap().text(), "hello");
    first
        .send("GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    first.answer().await.unwrap();
    assert!(first.is_closed().await);
    drop((first, second));
    while rig
        .connect()
        .await
        .get("/hello")
        .await
        .is_ok_and(|answer| answer.status() == 503)
    {}
}

#[tokio::test]
async fn a_handler_that_panics_is_a_500() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    let answer = client.get("/panic").await.unwrap();
    assert_eq!(answer.status(), 500);
    assert!(!answer.text().contains("as asked"));
    assert_eq!(client.get("/hello").await.unwrap().text(), "hello");
}

#[tokio::test]
async fn a_drain_lets_requests_finish() {
    let rig = Rig::start().await;
    let mut idle = rig.connect().await;
    idle.get("/hello").await.unwrap();
    let mut busy = rig.connect().await;
    busy.send("GET /gate HTTP/1.1\r\nHost: rig\r\n\r\n").await;
    rig.arrived.acquire().await.unwrap().forget();
    rig.shutdown.begin(LONG);
    assert!(idle.is_closed().await);
    rig.gate.add_permits(1);
    let answer = busy.answer().await.unwrap();
    assert_eq!(
        (answer.text(), answer.header("connection")),
        ("through", Some("close"))
    );
    assert_eq!(rig.served().await, Served { cut: 0 });
}

#[tokio::test]
async fn a_drain_cuts_what_takes_too_long() {
    let rig = Rig::start().await;
    let mut busy = rig.connect().await;
    busy.send("GET /gate HTTP/1.1\r\nHost: rig\r\n\r\n").await;
    rig.arrived.acquire().await.unwrap().forget();
    rig.shutdown.begin(Duration::ZERO);
    assert!(busy.answer().await.is_err());
    assert_eq!(rig.served().await, Served { cut: 1 });
}

#[tokio::test]
async fn a_handler_is_dropped_when_its_client_goes() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    client.send("GET /gate HTTP/1.1\r\nHost: rig\r\n\r\n").await;
    rig.arrived.acquire().await.unwrap().forget();
    drop(client);
    rig.shutdown.begin(LONG);
    assert_eq!(rig.served().await, Served { cut: 0 });
}
