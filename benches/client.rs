//! The load: a client that costs as little as it can, the same for us and for every peer.
//! Uploads go from the page cache by sendfile; downloads are discarded in the kernel (`MSG_TRUNC`).

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// An answer without its body.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Header lines, their names in lower case.
    pub(crate) headers: Vec<String>,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.headers
            .iter()
            .find_map(|line| line.strip_prefix(&prefix))
    }

    /// Of the body; none where the server does not say it, and ends the connection after it.
    fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }
}

/// One request with a small body; returns the answer and its body.
pub(crate) fn ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<(Answer, String)> {
    ask_with(to, method, path, "", body)
}

/// The same with further header lines.
pub(crate) fn ask_with(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<(Answer, String)> {
    let mut socket = TcpStream::connect(to)?;
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nAccept: application/json\r\n\
         {kind}{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut reader = BufReader::new(socket);
    let answer = read_head(&mut reader)?;
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    Ok((answer, text))
}

/// Creates a raw image and returns its id.
pub(crate) fn create(to: SocketAddr) -> String {
    let body = r#"{"name":"bench","disk_format":"raw","container_format":"bare"}"#;
    create_with(to, "", body)
}

/// Creates an image, with further header lines, and returns its id.
pub(crate) fn create_with(to: SocketAddr, headers: &str, body: &str) -> String {
    let answer = ask_with(to, "POST", "/v2/images", headers, body);
    let (answer, text) = answer.expect("the server answers");
    assert_eq!(answer.status, 201, "{text}");
    let at = text.find(r#""id":"#).expect("an image has an id") + 5;
    text[at..]
        .split('"')
        .nth(1)
        .expect("an id is a string")
        .to_owned()
}

/// How an upload tells its size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing {
    /// `Content-Length`.
    Sized,
    /// Chunks of 1 MiB, as python-glanceclient sends them.
    Chunked,
}

/// What a service of ours has counted under this name, of all labels together or of those with this text.
pub(crate) fn metric(metrics: SocketAddr, name: &str, label: &str) -> f64 {
    let (_, page) = ask(metrics, "GET", "/metrics", "").expect("metrics are served");
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with(['{', ' ']) && rest.contains(label);
        rest.rsplit(' ')
            .next()
            .filter(|_| is_it)?
            .parse::<f64>()
            .ok()
    };
    page.lines().filter_map(of).sum()
}

/// Uploads `len` bytes of `file` and returns the seconds until the answer.
pub(crate) fn upload(
    to: SocketAddr,
    id: &str,
    file: &File,
    len: u64,
    framing: Framing,
) -> io::Result<f64> {
    upload_with(to, id, file, len, framing, "")
}

/// The same with further header lines.
pub(crate) fn upload_with(
    to: SocketAddr,
    id: &str,
    file: &File,
    len: u64,
    framing: Framing,
    headers: &str,
) -> io::Result<f64> {
    put(
        to,
        &format!("/v2/images/{id}/file"),
        file,
        len,
        framing,
        headers,
    )
}

/// Puts the first bytes of a file at that path and returns the seconds until the answer.
pub(crate) fn put(
    to: SocketAddr,
    path: &str,
    file: &File,
    len: u64,
    framing: Framing,
    headers: &str,
) -> io::Result<f64> {
    let begin = Instant::now();
    let mut socket = TcpStream::connect(to)?;
    let size = match framing {
        Framing::Sized => format!("Content-Length: {len}"),
        Framing::Chunked => "Transfer-Encoding: chunked".to_owned(),
    };
    write!(
        socket,
        "PUT {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\
         Content-Type: application/octet-stream\r\n{headers}{size}\r\n\r\n"
    )?;
    match framing {
        Framing::Sized => send(&socket, file, 0, len)?,
        Framing::Chunked => {
            const CHUNK: u64 = 1 << 20;
            for offset in (0..len).step_by(CHUNK as usize) {
                let piece = CHUNK.min(len - offset);
                write!(socket, "{piece:x}\r\n")?;
                send(&socket, file, offset, piece)?;
                socket.write_all(b"\r\n")?;
            }
            socket.write_all(b"0\r\n\r\n")?;
        }
    }
    let answer = read_head(&mut BufReader::new(socket))?;
    if answer.status != 204 && answer.status != 201 {
        return Err(io::Error::other(format!(
            "upload answered {}",
            answer.status
        )));
    }
    Ok(begin.elapsed().as_secs_f64())
}

/// Downloads `path`, discarding the bytes, and returns their number and the seconds it took.
/// `bytes_per_second` throttles the reading.
pub(crate) fn download(
    to: SocketAddr,
    path: &str,
    bytes_per_second: Option<u64>,
) -> io::Result<(u64, f64)> {
    let fetched = fetch(to, path, bytes_per_second)?;
    Ok((fetched.bytes, fetched.seconds))
}

/// What a download was like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetched {
    /// Of the body.
    pub(crate) bytes: u64,
    /// To the first of them.
    pub(crate) first_byte_seconds: f64,
    /// To the last.
    pub(crate) seconds: f64,
}

/// Downloads as [`download`] does, and tells when the first byte came.
pub(crate) fn fetch(
    to: SocketAddr,
    path: &str,
    bytes_per_second: Option<u64>,
) -> io::Result<Fetched> {
    fetch_with(to, path, bytes_per_second, "")
}

/// The same with further header lines.
pub(crate) fn fetch_with(
    to: SocketAddr,
    path: &str,
    bytes_per_second: Option<u64>,
    headers: &str,
) -> io::Result<Fetched> {
    let begin = Instant::now();
    let mut socket = TcpStream::connect(to)?;
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{headers}\r\n"
    )?;
    let mut reader = BufReader::with_capacity(4096, socket);
    let answer = read_head(&mut reader)?;
    if answer.status != 200 {
        return Err(io::Error::other(format!(
            "download answered {}",
            answer.status
        )));
    }
    let mut got = reader.buffer().len() as u64;
    let mut first_byte_seconds = (got > 0).then(|| begin.elapsed().as_secs_f64());
    let socket = reader.into_inner();
    let mut sink = vec![0_u8; 1 << 20];
    // Glance, while it fills its cache, says no length: then the chunks' frames count, too.
    while answer.length().is_none_or(|length| got < length) {
        let want = bytes_per_second.map_or(sink.len(), |rate| (rate / 10).max(1) as usize);
        let want = want.min(sink.len());
        let (_, n) = rustix::net::recv(&socket, &mut sink[..want], rustix::net::RecvFlags::TRUNC)?;
        match (n, answer.length()) {
            (0, None) => break,
            (0, Some(length)) => {
                let cut = format!("cut after {got} of {length} bytes");
                return Err(io::Error::other(cut));
            }
            _ => {}
        }
        got += n as u64;
        first_byte_seconds.get_or_insert_with(|| begin.elapsed().as_secs_f64());
        if let Some(rate) = bytes_per_second {
            let due = Duration::from_secs_f64(got as f64 / rate as f64);
            pause(due.saturating_sub(begin.elapsed()));
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    Ok(Fetched {
        bytes: got,
        first_byte_seconds: first_byte_seconds.unwrap_or(seconds),
        seconds,
    })
}

/// A load generator may sleep: nothing waits for it.
#[expect(
    clippy::disallowed_methods,
    reason = "a throttled client sleeps on a thread of its own"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn send(socket: &TcpStream, file: &File, mut offset: u64, len: u64) -> io::Result<()> {
    let end = offset + len;
    while offset < end {
        let left = (end - offset) as usize;
        rustix::fs::sendfile(socket, file, Some(&mut offset), left)?;
    }
    Ok(())
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Answer> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status in {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? <= 2 {
            return Ok(Answer { status, headers });
        }
        let (name, value) = line.trim_end().split_once(':').unwrap_or((&line, ""));
        headers.push(format!("{}:{value}", name.to_lowercase()));
    }
}
