//! A server with a small site, and a client that sees every byte.

use std::{fs::File, io, net::SocketAddr, os::unix::fs::FileExt, sync::Arc, time::Duration};

use async_trait::async_trait;
use fresnel::http::{
    Body, Config, Frame, FrameSource, Handler, Listener, ReadError, Request, Response, Served,
    Shutdown, Tls, drain, error::render, serve,
};
use http::StatusCode;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

/// Longer than anything here takes; a test that gets here has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server over a file of known bytes.
pub(super) struct Rig {
    pub(super) address: SocketAddr,
    pub(super) file: Arc<File>,
    pub(super) shutdown: Shutdown,
    pub(super) tls: Option<Tls>,
    /// One permit lets one `/gate` request answer.
    pub(super) gate: Arc<Semaphore>,
    /// Gets a permit for each `/gate` request that arrives.
    pub(super) arrived: Arc<Semaphore>,
    served: JoinHandle<Served>,
    metrics: PrometheusHandle,
    _recorder: metrics::LocalRecorderGuard<'static>,
    _folder: tempfile::TempDir,
}

/// The byte of the rig's file at `offset`: no two neighbouring KiB are alike.
fn byte_at(offset: u64) -> u8 {
    (offset ^ (offset >> 8) ^ (offset >> 16)) as u8
}

/// What the rig's file holds there.
pub(super) fn content(offset: u64, len: usize) -> Vec<u8> {
    (offset..offset + len as u64).map(byte_at).collect()
}

impl Rig {
    pub(super) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    /// `config` on a port of the kernel's choice, with a file of 1 MiB.
    pub(super) async fn with(config: Config) -> Self {
        // Leaked: the guard borrows it, and a test's metrics live as long as its thread.
        let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        let metrics = recorder.handle();
        let recorder = metrics::set_default_local_recorder(recorder);
        let folder = tempfile::tempdir().unwrap();
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(folder.path().join("content"))
            .unwrap();
        file.write_all_at(&content(0, 1 << 20), 0).unwrap();
        let file = Arc::new(file);
        let config = Config {
            bind_port: 0,
            ..config
        };
        let listener = Listener::bind(&config).await.unwrap();
        let (address, tls) = (listener.local_addr().unwrap(), listener.tls());
        let (gate, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let site = Arc::new(Site {
            file: file.clone(),
            gate: gate.clone(),
            arrived: arrived.clone(),
        });
        let (shutdown, drain) = drain();
        let served = tokio::spawn(serve(listener, site, drain));
        Self {
            address,
            file,
            tls,
            shutdown,
            gate,
            arrived,
            served,
            metrics,
            _recorder: recorder,
            _folder: folder,
        }
    }

    pub(super) async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// `fresnel_egress_bytes_total{path="..."}`.
    pub(super) fn egress_bytes(&self, path: &str) -> u64 {
        self.count(&format!("fresnel_egress_bytes_total{{path=\"{path}\"}}"))
    }

    /// What a metric of that name and those labels says.
    pub(super) fn count(&self, metric: &str) -> u64 {
        let line = format!("{metric} ");
        let text = self.metrics.render();
        let value = text.lines().find_map(|found| found.strip_prefix(&line));
        value.map_or(0, |value| value.parse().unwrap())
    }

    pub(super) async fn served(self) -> Served {
        timeout(PATIENCE, self.served).await.unwrap().unwrap()
    }
}

struct Site {
    file: Arc<File>,
    gate: Arc<Semaphore>,
    arrived: Arc<Semaphore>,
}

#[async_trait]
impl Handler for Site {
    async fn handle(&self, mut request: Request) -> Response {
        let target = request.head.uri.path().to_owned();
        let parts: Vec<&str> = target.trim_matches('/').split('/').collect();
        match parts[..] {
            ["hello"] => Response::new(Body::full("hello")),
            ["file", offset, len, window] => {
                let file = self.file.clone();
                let [offset, len, window] = [offset, len, window].map(|n| n.parse().unwrap());
                Response::new(Body::frames(
                    len,
                    Windows {
                        file,
                        offset,
                        len,
                        window,
                    },
                ))
            }
            ["memory", len] => {
                let len: usize = len.parse().unwrap();
                Response::new(Body::frames(len as u64, Pieces(vec![content(0, len)])))
            }
            ["stream"] => Response::new(Body::stream(Pieces(vec![b"hello".to_vec()]))),
            ["short"] => Response::new(Body::frames(10, Pieces(vec![b"hello".to_vec()]))),
            ["long"] => Response::new(Body::frames(4, Pieces(vec![b"hello".to_vec()]))),
            ["directory"] => {
                let file = Arc::new(File::open("/").unwrap());
                Response::new(Body::frames(
                    5000,
                    Windows {
                        file,
                        offset: 0,
                        len: 5000,
                        window: 5000,
                    },
                ))
            }
            ["sink"] => sink(&mut request).await,
            ["json"] => match request.body.read_to_limit(1000).await {
                Ok(bytes) => Response::new(Body::full(bytes)),
                Err(ReadError::TooLarge { .. }) => answer(StatusCode::PAYLOAD_TOO_LARGE),
                Err(ReadError::Broken(error)) => broken(&error),
            },
            ["refuse"] => answer(StatusCode::CONFLICT),
            ["hand-over"] => {
                tokio::spawn(async move { drop(request.body) });
                answer(StatusCode::CONFLICT)
            }
            ["gate"] => {
                self.arrived.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
                Response::new(Body::full("through"))
            }
            ["panic"] => panic!("as asked"),
            _ => answer(StatusCode::NOT_FOUND),
        }
    }
}

/// Counts a body; answers 400 to a broken one.
async fn sink(request: &mut Request) -> Response {
    let mut total = 0;
    loop {
        match request.body.next().await {
            Ok(Some(bytes)) => total += bytes.len(),
            Ok(None) => return Response::new(Body::full(total.to_string())),
            Err(error) => return broken(&error),
        }
    }
}

fn broken(error: &io::Error) -> Response {
    render(
        StatusCode::BAD_REQUEST,
        &format!("{:?}", error.kind()),
        "",
        None,
    )
}

fn answer(status: StatusCode) -> Response {
    render(status, "because", "", None)
}

/// A file in windows.
struct Windows {
    file: Arc<File>,
    offset: u64,
    len: u64,
    window: u64,
}

#[async_trait]
impl FrameSource for Windows {
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        let len = self.window.min(self.len);
        let offset = self.offset;
        self.offset += len;
        self.len -= len;
        let file = self.file.clone();
        Ok((len > 0).then_some(Frame::File { file, offset, len }))
    }
}

struct Pieces(Vec<Vec<u8>>);

#[async_trait]
impl FrameSource for Pieces {
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        Ok(self.0.pop().map(|piece| Frame::Bytes(piece.into())))
    }
}

/// A client that speaks bytes.
pub(super) struct Client<S>(BufReader<S>);

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status line and headers, each line without its end.
    pub(super) head: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.head[0].split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&String| line.to_lowercase().starts_with(&format!("{name}: "));
        let line = self.head.iter().find(named)?;
        Some(&line[name.len() + 2..])
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    pub(super) fn stream(&mut self) -> &mut S {
        self.0.get_mut()
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let sent = self.0.get_mut().write_all(bytes.as_ref());
        timeout(PATIENCE, sent).await.expect("the server reads")?;
        self.0.get_mut().flush().await
    }

    pub(super) async fn get(&mut self, target: &str) -> io::Result<Answer> {
        self.send(request("GET", target)).await;
        self.answer().await
    }

    /// As [`get`](Self::get), from a server that may not even take the request.
    pub(super) async fn try_get(&mut self, target: &str) -> io::Result<Answer> {
        self.try_send(request("GET", target)).await?;
        self.answer().await
    }

    /// Asks, and reads no further than the headers.
    pub(super) async fn begin(&mut self, target: &str) -> Answer {
        self.send(request("GET", target)).await;
        self.head_of_answer().await
    }

    pub(super) async fn head(&mut self, target: &str) -> Answer {
        self.send(request("HEAD", target)).await;
        self.head_of_answer().await
    }

    async fn head_of_answer(&mut self) -> Answer {
        let head = timeout(PATIENCE, self.read_head()).await;
        head.expect("the server answers").unwrap()
    }

    /// The next response, whole; an error when it is not.
    pub(super) async fn answer(&mut self) -> io::Result<Answer> {
        timeout(PATIENCE, self.read_answer())
            .await
            .expect("the server answers")
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.read_head().await?;
        if answer.status() >= 200 {
            let len = answer.header("content-length");
            answer.body = vec![0; len.map_or(0, |len| len.parse().unwrap())];
            self.0.read_exact(&mut answer.body).await?;
        }
        Ok(answer)
    }

    async fn read_head(&mut self) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let head = head.trim_end().split("\r\n").map(str::to_owned).collect();
        Ok(Answer { head, body: vec![] })
    }

    /// Whether the server has closed, and sent nothing more before.
    pub(super) async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await;
        // A reset is a close, too.
        read.expect("the server closes").is_err() || rest.is_empty()
    }
}

fn request(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: rig\r\n\r\n")
}
