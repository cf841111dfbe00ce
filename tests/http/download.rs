//! Response bodies, and what cuts them.

use tokio::io::AsyncReadExt;

use super::rig::{Rig, content};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_file_leaves_by_sendfile_alone() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    let ranges = [
        (0, 1 << 20, 1 << 20),
        (1, 99_999, 4096),
        (12_345, 1, 1),
        (7, 700_001, 65_537),
    ];
    for (offset, len, window) in ranges {
        let answer = client.get(&format!("/file/{offset}/{len}/{window}")).await;
        assert!(
            answer.unwrap().body == content(offset, len),
            "{offset} {len} {window}"
        );
    }
    assert_eq!(rig.egress_bytes("sendfile"), MIB + 99_999 + 1 + 700_001);
    assert_eq!(rig.egress_bytes("copy"), 0);
}

#[tokio::test]
async fn a_window_larger_than_one_call_is_sent_whole() {
    let rig = Rig::start().await;
    rig.file.set_len(40 * MIB).unwrap();
    let mut client = rig.connect().await;
    let answer = client.get(&format!("/file/5/{0}/{0}", 39 * MIB)).await;
    let body = answer.unwrap().body;
    let (written, sparse) = body.split_at(MIB as usize - 5);
    assert!(written == content(5, MIB as usize - 5));
    assert!(sparse.iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn memory_and_files_share_a_connection() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    let targets = ["/hello", "/memory/300000", "/file/3/200001/70000", "/hello"];
    for target in targets.repeat(3) {
        client.get(target).await.unwrap();
    }
    assert_eq!(rig.egress_bytes("copy"), 3 * 300_000);
    assert_eq!(rig.egress_bytes("sendfile"), 3 * 200_001);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    let targets = (0..20_u64).map(|n| (n * 1001, 30_000 + n as usize));
    let requests: String = targets
        .clone()
        .map(|(offset, len)| format!("GET /file/{offset}/{len}/9999 HTTP/1.1\r\nHost: rig\r\n\r\n"))
        .collect();
    client.send(requests).await;
    for (offset, len) in targets {
        assert!(client.answer().await.unwrap().body == content(offset, len));
    }
}

#[tokio::test]
async fn head_sends_the_length_and_no_bytes() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    let head = client.head("/file/0/1000/1000").await;
    assert_eq!(head.header("content-length"), Some("1000"));
    assert_eq!(client.get("/hello").await.unwrap().text(), "hello");
    assert_eq!(rig.egress_bytes("sendfile"), 0);
}

#[tokio::test]
async fn an_empty_body_never_asks_its_source() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    let answer = client.get("/file/0/0/0").await.unwrap();
    assert_eq!(answer.header("content-length"), Some("0"));
    assert_eq!(client.get("/hello").await.unwrap().text(), "hello");
}

#[tokio::test]
async fn http_1_0_gets_its_answer_and_the_end() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    client.send("GET /hello HTTP/1.0\r\n\r\n").await;
    let answer = client.answer().await.unwrap();
    assert_eq!(
        (answer.text(), answer.head[0].as_str()),
        ("hello", "HTTP/1.0 200 OK")
    );
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_sent_in_chunks() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    let request = "GET /stream HTTP/1.1\r\nHost: rig\r\nConnection: close\r\n\r\n";
    client.send(request).await;
    let mut answer = Vec::new();
    client.stream().read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.contains("transfer-encoding: chunked\r\n"),
        "{answer}"
    );
    assert!(
        answer.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_that_fails_cuts_the_connection() {
    let rig = Rig::start().await;
    rig.file.set_len(500_000).unwrap();
    // Too short, too long, a file that ends early, a file that cannot be read.
    for target in [
        "/short",
        "/long",
        "/file/0/1000000/1000000",
        "/file/0/600000/1000",
        "/directory",
    ] {
        let mut client = rig.connect().await;
        assert!(client.get(target).await.is_err(), "{target}");
        assert_eq!(
            rig.connect().await.get("/hello").await.unwrap().text(),
            "hello"
        );
    }
}

#[tokio::test]
async fn a_file_truncated_while_it_is_sent_cuts_the_connection() {
    let rig = Rig::start().await;
    rig.file.set_len(64 * MIB).unwrap();
    let mut client = rig.connect().await;
    let head = client.begin(&format!("/file/0/{0}/{0}", 64 * MIB)).await;
    assert_eq!(head.status(), 200);
    rig.file.set_len(0).unwrap();
    let mut received = Vec::new();
    // A reset or an early end: both tell the client.
    let _ = client.stream().read_to_end(&mut received).await;
    assert!((received.len() as u64) < 64 * MIB, "{}", received.len());
}
