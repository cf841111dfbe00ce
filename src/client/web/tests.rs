use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::*;

/// A server that answers each connection with the next of its texts, and tells what it was asked.
struct Scripted {
    address: SocketAddr,
    heads: mpsc::UnboundedReceiver<String>,
}

impl Scripted {
    /// `HERE` in an answer is the server's own address. What ends in `...` stays open.
    async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let here = address.to_string();
        let answers: Vec<String> = answers.iter().map(|a| a.replace("HERE", &here)).collect();
        let (seen, heads) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                drop(seen.send(String::from_utf8(head).unwrap()));
                let open = answer.strip_suffix("...");
                let text = open.unwrap_or(&answer).replace('|', "\r\n");
                socket.write_all(text.as_bytes()).await.unwrap();
                if open.is_some() {
                    tokio::spawn(async move { socket.read_u8().await });
                }
            }
        });
        Self { address, heads }
    }

    fn uri(&self) -> String {
        format!("http://{}/image?a=b", self.address)
    }

    async fn head(&mut self) -> String {
        self.heads.recv().await.unwrap()
    }
}

/// With loopback named, at any port.
fn policy() -> Policy {
    Policy {
        hosts: List {
            allowed: vec![Host::parse("127.0.0.1").unwrap()],
            disallowed: Vec::new(),
        },
        ports: List::default(),
        ..Policy::default()
    }
}

fn web() -> Web {
    let config = Config {
        timeouts: Timeouts {
            connect: Duration::from_secs(10),
            answer: Duration::from_millis(500),
        },
        ..Config::default()
    };
    Web::new(Arc::new(policy()), config).unwrap()
}

async fn fetch(server: &Scripted, range: Option<ByteRange>) -> Result<String, Error> {
    let mut body = web().get(&server.uri(), range).await?;
    let mut text = Vec::new();
    loop {
        match body.next().await {
            Ok(Some(bytes)) => text.extend_from_slice(&bytes),
            Ok(None) => return Ok(String::from_utf8(text).unwrap()),
            Err(error) => return Ok(format!("{}, then {:?}", text.len(), error.kind())),
        }
    }
}

const RANGE: Option<ByteRange> = Some(ByteRange { offset: 2, len: 3 });

#[tokio::test]
async fn bodies_are_as_long_as_they_say() {
    for (answer, range, text) in [
        ("HTTP/1.1 200 OK|Content-Length: 5||hello", None, "hello"),
        ("HTTP/1.1 200 OK|Content-Length: 0||...", None, ""),
        (
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|he|3|llo|0||",
            None,
            "hello",
        ),
        (
            "HTTP/1.1 206 OK|Content-Length: 3|Content-Range: bytes 2-4/9||llo",
            RANGE,
            "llo",
        ),
        // The whole for a part.
        (
            "HTTP/1.1 200 OK|Content-Length: 7||hello !...",
            RANGE,
            "llo",
        ),
        (
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||1|h|4|ello|...",
            RANGE,
            "llo",
        ),
    ] {
        let server = Scripted::start(&[answer]).await;
        assert_eq!(fetch(&server, range).await.unwrap(), text, "{answer}");
    }
}

#[tokio::test]
async fn a_body_never_ends_early() {
    for (answer, range, outcome) in [
        (
            "HTTP/1.1 200 OK|Content-Length: 9||hello",
            None,
            "5, then Other",
        ),
        (
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|",
            None,
            "5, then Other",
        ),
        (
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||3|hel|0||",
            RANGE,
            "1, then UnexpectedEof",
        ),
        (
            "HTTP/1.1 200 OK|Content-Length: 9||hello...",
            None,
            "5, then TimedOut",
        ),
    ] {
        let server = Scripted::start(&[answer]).await;
        assert_eq!(fetch(&server, range).await.unwrap(), outcome, "{answer}");
    }
}

#[tokio::test]
async fn what_is_not_the_thing_is_told() {
    for (answer, range, error) in [
        ("HTTP/1.1 200 OK||hello", None, "the server names no length"),
        ("HTTP/1.0 200 OK||hello", None, "the server names no length"),
        (
            "HTTP/1.1 404 No|Content-Length: 0||",
            None,
            "there is nothing",
        ),
        (
            "HTTP/1.1 503 No|Content-Length: 0||",
            None,
            "the server answers 503 Service Unavailable",
        ),
        (
            "HTTP/1.1 206 OK|Content-Length: 3|Content-Range: bytes 0-2/9||hel",
            RANGE,
            "the server does not have the range",
        ),
        (
            "HTTP/1.1 200 OK|Content-Length: 4||hell",
            RANGE,
            "the server does not have the range",
        ),
        (
            "HTTP/1.1 416 No|Content-Length: 0||",
            RANGE,
            "the server does not have the range",
        ),
        (
            "...",
            None,
            "the server cannot be reached: it does not answer in time",
        ),
    ] {
        let server = Scripted::start(&[answer]).await;
        let told = fetch(&server, range).await.unwrap_err();
        assert_eq!(told.to_string(), error, "{answer}");
    }
}

#[tokio::test]
async fn a_size_is_asked_for_without_the_thing() {
    let mut server = Scripted::start(&["HTTP/1.1 200 OK|Content-Length: 5||"]).await;
    let uri = server.uri();
    assert_eq!(web().size(&uri).await.unwrap(), 5);
    assert!(
        server
            .head()
            .await
            .starts_with("HEAD /image?a=b HTTP/1.1\r\n")
    );
}

#[tokio::test]
async fn redirections_are_followed_under_the_policy() {
    let to = |there: &str| format!("HTTP/1.1 302 Found|Location: {there}|Content-Length: 0||");
    let hello = "HTTP/1.1 200 OK|Content-Length: 5||hello";
    for (location, outcome) in [
        ("http://HERE/elsewhere", "hello"),
        ("/elsewhere", "hello"),
        ("//HERE/elsewhere", "hello"),
        ("http://localhost/", "its host is not allowed"),
        ("http://[::1]/", "its host is not allowed"),
        ("http://0x7f000001/", "its host is not allowed"),
        ("http://169.254.169.254/", "its host is not allowed"),
        ("file:///etc/passwd", "its scheme is not allowed"),
        ("gopher://127.0.0.1/", "its scheme is not allowed"),
    ] {
        let server = Scripted::start(&[&to(location), hello]).await;
        let told = match fetch(&server, None).await {
            Ok(text) => text,
            Err(Error::Astray(refusal)) => refusal.to_string(),
            Err(other) => panic!("{location}: {other}"),
        };
        assert_eq!(told, outcome, "{location}");
    }
}

#[tokio::test]
async fn redirections_have_an_end() {
    let again = "HTTP/1.1 301 Moved|Location: /again|Content-Length: 0||";
    let mut server = Scripted::start(&[again; 10]).await;
    let error = fetch(&server, None).await.unwrap_err();
    assert!(matches!(error, Error::Redirections), "{error}");
    server.heads.close();
    let mut asked = 0;
    while server.heads.recv().await.is_some() {
        asked += 1;
    }
    assert_eq!(asked, REDIRECTS_MAX + 1);
}

#[tokio::test]
async fn credentials_are_for_the_place_that_they_were_given_for() {
    let mut there = Scripted::start(&["HTTP/1.1 200 OK|Content-Length: 0||"]).await;
    let away = format!(
        "HTTP/1.1 302 Found|Location: http://{}/|Content-Length: 0||",
        there.address
    );
    let near = "HTTP/1.1 302 Found|Location: /near|Content-Length: 0||";
    let mut here = Scripted::start(&[near, &away]).await;
    let uri = format!("http://me:hunter2@{}/", here.address);
    web().get(&uri, None).await.unwrap();
    let authorization = "authorization: Basic bWU6aHVudGVyMg==";
    assert!(here.head().await.contains(authorization));
    assert!(here.head().await.contains(authorization));
    assert!(!there.head().await.to_lowercase().contains("authorization"));
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_whole_address() {
    let mut proxy = Scripted::start(&["HTTP/1.1 200 OK|Content-Length: 2||ok"]).await;
    let config = Config {
        proxies: vec![(
            Scheme::Http,
            Proxy::parse(&format!("p:q@{}", proxy.address)).unwrap(),
        )],
        ..Config::default()
    };
    let web = Web::new(Arc::new(Policy::default()), config).unwrap();
    let body = web.get("http://no-such-host.invalid/image", None).await;
    assert_eq!(body.unwrap().length(), Some(2));
    let head = proxy.head().await;
    assert!(head.starts_with("GET http://no-such-host.invalid/image HTTP/1.1\r\n"));
    assert!(head.contains("proxy-authorization: Basic cDpx"), "{head}");
    let error = web.get("http://10.0.0.1/", None).await.unwrap_err();
    assert!(matches!(error, Error::Refused(Refusal::Address)), "{error}");
}

#[tokio::test]
async fn a_check_resolves() {
    let web = Web::new(Arc::new(Policy::default()), Config::default()).unwrap();
    let check = async |uri| web.check(uri).await;
    assert_eq!(check("http://127.0.0.1/").await, Err(Refusal::Address));
    assert_eq!(check("http://localhost/").await, Err(Refusal::Address));
    assert_eq!(
        check("http://no-such-host.invalid/").await,
        Err(Refusal::Unresolved)
    );
    assert_eq!(check("http://93.184.216.34/").await, Ok(()));
}
