//! Request bodies, read, unread and malformed.

use super::rig::{Client, Rig};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const LARGE: usize = 8 << 20;

async fn put_sized(client: &mut Client<TcpStream>, target: &str, body: &[u8]) {
    let length = body.len();
    let head = format!("PUT {target} HTTP/1.1\r\nHost: rig\r\nContent-Length: {length}\r\n\r\n");
    client.send(head).await;
    client.send(body).await;
}

async fn put_chunked(client: &mut Client<TcpStream>, target: &str, chunks: &str) {
    let head = format!("PUT {target} HTTP/1.1\r\nHost: rig\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(head + chunks).await;
}

#[tokio::test]
async fn a_sized_body_arrives_whole() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    put_sized(&mut client, "/sink", &vec![7; LARGE]).await;
    assert_eq!(client.answer().await.unwrap().text(), LARGE.to_string());
}

#[tokio::test]
async fn chunks_may_have_any_size() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    let single = "1\r\nx\r\n".repeat(1000);
    let end = "0\r\nX-Trailer: ignored\r\n\r\n";
    put_chunked(&mut client, "/sink", &format!("{single}{end}")).await;
    assert_eq!(client.answer().await.unwrap().text(), "1000");
    assert_eq!(client.get("/hello").await.unwrap().text(), "hello");
    let large = format!("{LARGE:x};name=value\r\n{}\r\n", "y".repeat(LARGE));
    put_chunked(&mut client, "/sink", &(single + &large + end)).await;
    let whole = (LARGE + 1000).to_string();
    assert_eq!(client.answer().await.unwrap().text(), whole);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let rig = Rig::start().await;
    for sent in [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "Content-Length: 6\r\n\r\nhello",
        "Content-Length: 6\r\n\r\n",
    ] {
        let mut client = rig.connect().await;
        client
            .send(format!("PUT /sink HTTP/1.1\r\nHost: rig\r\n{sent}"))
            .await;
        client.stream().shutdown().await.unwrap();
        // The answer is sent to whoever still listens; that nobody does is fine as well.
        if let Ok(answer) = client.answer().await {
            assert_eq!(answer.status(), 400, "{sent:?}");
        }
    }
}

#[tokio::test]
async fn a_malformed_chunk_is_an_error() {
    let rig = Rig::start().await;
    for chunks in [
        "5\r\nhello!\r\n0\r\n\r\n",
        "x\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nhello",
    ] {
        let mut client = rig.connect().await;
        put_chunked(&mut client, "/sink", chunks).await;
        assert_eq!(client.answer().await.unwrap().status(), 400, "{chunks:?}");
        assert!(client.is_closed().await);
    }
}

/// As python-requests does: all of the body, and only then the answer. The body may be in other
/// hands than the handler's.
#[tokio::test]
async fn an_early_answer_reaches_a_client_that_sends_first() {
    let rig = Rig::start().await;
    let chunks = format!("{:x}\r\n{}\r\n", 1 << 20, "z".repeat(1 << 20)).repeat(8);
    for target in ["/refuse", "/hand-over"] {
        let mut client = rig.connect().await;
        put_sized(&mut client, target, &vec![0; LARGE]).await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status(), 409);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.is_closed().await);

        let mut client = rig.connect().await;
        put_chunked(&mut client, target, &format!("{chunks}0\r\n\r\n")).await;
        assert_eq!(client.answer().await.unwrap().status(), 409);
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn a_connection_survives_an_early_answer_to_a_small_body() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    for _ in 0..3 {
        put_sized(&mut client, "/refuse", &[0; 20_000]).await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status(), answer.header("connection")), (409, None));
        put_chunked(&mut client, "/refuse", "5\r\nhello\r\n0\r\n\r\n").await;
        assert_eq!(client.answer().await.unwrap().status(), 409);
    }
    assert_eq!(client.get("/hello").await.unwrap().text(), "hello");
}

/// The read buffer that a large body leaves behind goes with its connection.
#[tokio::test]
async fn a_connection_ends_after_a_large_body() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    put_sized(&mut client, "/sink", &[0; 1000]).await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("1000", None));
    put_sized(&mut client, "/sink", &vec![0; LARGE]).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.text(), LARGE.to_string());
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn continue_is_sent_when_the_body_is_wanted() {
    let rig = Rig::start().await;
    let expect = "HTTP/1.1\r\nHost: rig\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut client = rig.connect().await;
    client.send(format!("PUT /sink {expect}")).await;
    assert_eq!(client.answer().await.unwrap().status(), 100);
    client.send("hello").await;
    assert_eq!(client.answer().await.unwrap().text(), "5");
    client.send(format!("PUT /refuse {expect}")).await;
    assert_eq!(client.answer().await.unwrap().status(), 409);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_small_body_is_read_whole_or_refused() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    put_sized(&mut client, "/json", &[b'a'; 1000]).await;
    assert_eq!(client.answer().await.unwrap().body, [b'a'; 1000]);
    put_sized(&mut client, "/json", &[b'a'; 1001]).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.head[0], "HTTP/1.1 413 Request Entity Too Large");
    put_chunked(
        &mut client,
        "/json",
        &("1\r\nx\r\n".repeat(1001) + "0\r\n\r\n"),
    )
    .await;
    assert_eq!(client.answer().await.unwrap().status(), 413);
}

#[tokio::test]
async fn malformed_requests_are_400_and_the_end() {
    let rig = Rig::start().await;
    for request in [
        "nonsense\r\n\r\n",
        "GET /hello HTTP/9.9\r\n\r\n",
        "GET /hello HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /hel lo HTTP/1.1\r\nHost: rig\r\n\r\n",
        "PUT /sink HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "PUT /sink HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
        "PUT /sink HTTP/1.1\r\nContent-Length: five\r\n\r\nhello",
        "PUT /sink HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        "PUT /sink HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\nhello",
    ] {
        let mut client = rig.connect().await;
        client.send(request).await;
        assert_eq!(client.answer().await.unwrap().status(), 400, "{request:?}");
        assert!(client.is_closed().await, "{request:?}");
    }
}

/// RFC 9112 6.1: a length beside chunks is ignored, and nothing after the request is believed.
#[tokio::test]
async fn a_smuggled_request_is_not_answered() {
    let rig = Rig::start().await;
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    for lengths in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
    ] {
        let mut client = rig.connect().await;
        let smuggled = "GET /hello HTTP/1.1\r\nHost: rig\r\n\r\n";
        client
            .send(format!(
                "PUT /sink HTTP/1.1\r\nHost: rig\r\n{lengths}\r\n\r\n{chunks}{smuggled}"
            ))
            .await;
        let answer = client.answer().await.unwrap();
        assert_eq!(
            (answer.text(), answer.header("connection")),
            ("5", Some("close"))
        );
        assert!(client.is_closed().await);
    }
}
