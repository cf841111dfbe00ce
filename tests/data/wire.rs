//! Image data over a socket: statuses, headers and texts of `/v2/images/{image}/file`.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use fresnel::{
    api::{self, Api},
    base::limits::MIB,
    http::{Config, Listener, Shutdown, drain, serve},
    model::Status,
};

use super::{
    record::{LEASE, Node, until},
    rig::content,
};
use crate::support::wire::{Payload, Request, Response, exchange};

/// A node behind a socket.
struct Site {
    node: Node,
    address: SocketAddr,
    _shutdown: Shutdown,
}

impl Site {
    async fn start() -> Self {
        let node = Node::new(LEASE).await;
        let (control, plane) = (node.control.clone(), node.plane.clone());
        let api = Api::new(control, plane, api::Settings::default()).unwrap();
        let config = Config {
            bind_port: 0,
            ..Config::default()
        };
        let listener = Listener::bind(&config).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, drain) = drain();
        tokio::spawn(serve(listener, Arc::new(api), drain));
        Self {
            node,
            address,
            _shutdown: shutdown,
        }
    }

    async fn ask(&self, request: Request) -> Response {
        let address = self.address;
        let asked = tokio::task::spawn_blocking(move || exchange(address, &request));
        asked.await.unwrap().unwrap()
    }

    fn request(&self, method: &str) -> Request {
        Request::new(method, &format!("/v2/images/{}/file", self.node.image))
    }

    fn put(&self, body: &[u8]) -> Request {
        let request = self.request("PUT");
        request
            .header("Content-Type", "application/octet-stream")
            .body(body)
    }

    async fn get(&self, name: &str, value: &str) -> Response {
        self.ask(self.request("GET").header(name, value)).await
    }
}

fn qcow2_with_backing_file() -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    header[15] = 1;
    header
}

fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_comes_out() {
    let site = Site::start().await;
    let content = content(2 * MIB + 7);
    assert_eq!(site.ask(site.request("GET")).await.status, 204);
    assert_eq!(site.ask(site.put(&content)).await.status, 204);
    let answer = site.ask(site.request("GET")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == content);
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(answer.header("content-length"), Some("2097159"));
    assert_eq!(
        answer.header("content-md5"),
        site.node.record().await.checksum.as_deref()
    );
    for absent in ["content-range", "accept-ranges", "etag", "last-modified"] {
        assert_eq!(answer.header(absent), None, "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_any_size_are_an_upload() {
    let site = Site::start().await;
    let content = content(300_000);
    let mut request = site.put(b"");
    request.body = Payload::Chunked(content.clone(), 65_536);
    assert_eq!(site.ask(request).await.status, 204);
    assert!(site.ask(site.request("GET")).await.body == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_image_is_an_image() {
    let site = Site::start().await;
    assert_eq!(site.ask(site.put(b"")).await.status, 204);
    let image = site.node.record().await;
    assert_eq!((image.status, image.size_bytes), (Status::Active, Some(0)));
    assert_eq!(
        image.checksum.as_deref(),
        Some("d41d8cd98f00b204e9800998ecf8427e")
    );
    let answer = site.ask(site.request("GET")).await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("0"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_uploads_leave_the_image_as_new() {
    let site = Site::start().await;
    let mut untyped = site.request("PUT").body("x");
    untyped.headers.push(("Accept".into(), "text/plain".into()));
    let cases = [
        (untyped, 415, "Invalid content type None"),
        (
            site.request("PUT")
                .header("Content-Type", "text/plain")
                .body("x"),
            415,
            "Invalid content type text/plain",
        ),
        (
            site.put(b"x").header("X-Openstack-Image-Size", "big"),
            400,
            "Invalid or missing image size in request headers.",
        ),
        (
            site.put(b"123456").header("X-Openstack-Image-Size", "5"),
            400,
            "Size exceeds: expected 5 bytes, got 6 bytes",
        ),
        (
            site.put(b"1234").header("X-Openstack-Image-Size", "5"),
            400,
            "Size mismatch: expected 5 bytes, got 4 bytes",
        ),
        (
            site.put(b"1")
                .header("X-Openstack-Image-Size", "1099511627777"),
            413,
            "The incoming image is too large: The provided image is too large.",
        ),
        (
            site.put(&qcow2_with_backing_file()),
            415,
            "Image failed safety checks",
        ),
    ];
    for (request, status, explanation) in cases {
        let answer = site.ask(request).await;
        assert_eq!(answer.status, status, "{}", text(&answer));
        assert!(text(&answer).contains(explanation), "{}", text(&answer));
    }
    site.node.assert_as_new().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_takes_data_once() {
    let site = Site::start().await;
    site.ask(site.put(b"x")).await;
    let answer = site.ask(site.put(b"y")).await;
    assert_eq!(answer.status, 409);
    assert!(text(&answer).contains("Image status transition from active to saving is not allowed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_image_has_no_data() {
    let site = Site::start().await;
    for method in ["GET", "PUT"] {
        let request = Request::new(method, "/v2/images/none/file");
        let request = request.header("Content-Type", "application/octet-stream");
        let answer = site.ask(request).await;
        assert_eq!(answer.status, 404);
        assert!(text(&answer).contains("No image found with ID none"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges() {
    let site = Site::start().await;
    site.ask(site.put(b"0123456789")).await;
    for (header, value, body, range) in [
        ("Range", "bytes=2-4", "234", "bytes 2-4/10"),
        ("Range", "bytes=7-", "789", "bytes 7-9/10"),
        ("Range", "bytes=-1", "9", "bytes 9-9/10"),
        ("Content-Range", "bytes 0-1/*", "01", "bytes 0-1/10"),
    ] {
        let answer = site.get(header, value).await;
        assert_eq!((answer.status, text(&answer).as_str()), (206, body));
        assert_eq!(answer.header("content-range"), Some(range));
    }
    for (header, value, status, words) in [
        (
            "Range",
            "bytes=0-1,3-4",
            400,
            "multiple ranges are not supported",
        ),
        ("Range", "bytes=10-", 416, "in the inclusive range [0, 9]"),
        ("Range", "chapters=1", 416, "Invalid Range header."),
        (
            "Content-Range",
            "bytes 0-10/*",
            416,
            "Invalid stop position",
        ),
    ] {
        let answer = site.get(header, value).await;
        assert_eq!(answer.status, status);
        assert!(text(&answer).contains(words), "{}", text(&answer));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_leaves_the_image_as_new() {
    let site = Site::start().await;
    let mut stream = TcpStream::connect(site.address).unwrap();
    let target = site.request("PUT").target;
    write!(
        stream,
        "PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: 10000000\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&content(3 * MIB)).unwrap();
    until(&site.node, Status::Saving).await;
    drop(stream);
    until(&site.node, Status::Queued).await;
    site.node.assert_as_new().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_deleted_during_its_upload_is_gone() {
    let site = Site::start().await;
    let target = site.request("PUT").target;
    let mut stream = TcpStream::connect(site.address).unwrap();
    write!(
        stream,
        "PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: 10\r\n\r\nhalf"
    )
    .unwrap();
    until(&site.node, Status::Saving).await;
    let image = Request::new("DELETE", target.strip_suffix("/file").unwrap());
    assert_eq!(site.ask(image).await.status, 204);
    let mut answer = vec![0; 12];
    tokio::task::spawn_blocking(move || {
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, b"HTTP/1.1 410");
    })
    .await
    .unwrap();
    assert!(site.node.store.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let site = Site::start().await;
    site.ask(site.put(b"x")).await;
    let answer = site.ask(site.put(&content(20 * MIB))).await;
    assert_eq!(answer.status, 409);
}

/// With `Expect`, a refused upload sends no byte of its body.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_before_100_continue() {
    let site = Site::start().await;
    let request = site.put(b"").header("Content-Length", "1099511627777");
    let answer = site.ask(request.header("Expect", "100-continue")).await;
    assert_eq!(answer.status, 413);
    site.node.assert_as_new().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_answers_503_with_retry_after() {
    let site = Site::start().await;
    let (plane, mut held) = (&site.node.plane, Vec::new());
    let id = plane.stores.default_id();
    while let Ok(admission) = plane.pool.admit(id, Duration::ZERO).await {
        held.push(admission);
    }
    let answer = site.ask(site.put(b"x")).await;
    assert_eq!(answer.status, 503, "{}", text(&answer));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(site.node.record().await.status, Status::Queued);
}
