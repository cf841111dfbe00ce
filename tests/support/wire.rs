//! HTTP/1.1 by hand: sends exactly what a test says, and shows exactly what came back.

use std::{
    fmt::Display,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

const WAIT_LIMIT: Duration = Duration::from_secs(60);
/// How long a client waits for `100 Continue` before it sends the body anyway (curl's second).
const CONTINUE_LIMIT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, as they go on the wire.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Payload,
}

#[derive(Clone, Debug)]
pub(crate) enum Payload {
    None,
    /// Sent with its `Content-Length`, unless a header says another.
    Sized(Vec<u8>),
    /// Sent in chunks of this size.
    Chunked(Vec<u8>, usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Payload::None,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Payload::Sized(bytes.into());
        self
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn head(&self, host: impl Display) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            head += &format!("Host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        match &self.body {
            Payload::Sized(bytes) if !self.has("content-length") => {
                head += &format!("Content-Length: {}\r\n", bytes.len());
            }
            Payload::Chunked(..) => head += "Transfer-Encoding: chunked\r\n",
            Payload::Sized(_) | Payload::None => {}
        }
        head + "\r\n"
    }
}

impl Response {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter();
        let found = named.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// One request on one connection.
///
/// # Errors
/// When there is no whole answer. A peer that answers early and stops reading is no error.
pub(crate) fn exchange(address: SocketAddr, request: &Request) -> io::Result<Response> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WAIT_LIMIT))?;
    stream.set_write_timeout(Some(WAIT_LIMIT))?;
    let mut writer = &stream;
    writer.write_all(request.head(address).as_bytes())?;
    let mut reader = BufReader::new(&stream);
    if request.has("expect")
        && let Some((status, headers)) = read_early_head(&mut reader)?
        && status != 100
    {
        return read_rest(&mut reader, request, (status, headers));
    }
    // An early answer makes the rest of the body unwanted; the answer tells why.
    let sent = send_body(&mut writer, &request.body);
    let head = read_head(&mut reader).or_else(|error| sent.and(Err(error)))?;
    read_rest(&mut reader, request, head)
}

/// The same on a socket of this host's files, for a request that waits for nothing.
pub(crate) fn exchange_locally(socket: &Path, request: &Request) -> io::Result<Response> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(WAIT_LIMIT))?;
    let mut writer = &stream;
    writer.write_all(request.head("localhost").as_bytes())?;
    send_body(&mut writer, &request.body)?;
    let mut reader = BufReader::new(&stream);
    let head = read_head(&mut reader)?;
    read_rest(&mut reader, request, head)
}

/// The body, which an answer to HEAD does not have whatever its headers say.
fn read_rest(reader: &mut impl BufRead, request: &Request, head: Head) -> io::Result<Response> {
    let (status, headers) = head;
    let body = match request.method.as_str() {
        "HEAD" => Vec::new(),
        _ => read_body(reader, status, &headers)?,
    };
    Ok(Response {
        status,
        headers,
        body,
    })
}

/// An upload that the test holds in its hands: begun, sent in pieces, then ended or dropped.
#[derive(Debug)]
pub(crate) struct Upload(TcpStream);

impl Upload {
    /// Begins a chunked upload to `target`.
    pub(crate) fn begin(address: SocketAddr, target: &str) -> io::Result<Self> {
        Self::begin_with(address, target, &[])
    }

    /// The same with further headers.
    pub(crate) fn begin_with(
        address: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(WAIT_LIMIT))?;
        let mut request =
            Request::new("PUT", target).header("content-type", "application/octet-stream");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body = Payload::Chunked(Vec::new(), 1);
        stream.write_all(request.head(address).as_bytes())?;
        Ok(Self(stream))
    }

    /// Sends one chunk.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_chunk(&mut self.0, bytes)
    }

    /// Ends the body and reads the answer.
    pub(crate) fn finish(mut self) -> io::Result<Response> {
        self.0.write_all(b"0\r\n\r\n")?;
        let mut reader = BufReader::new(&self.0);
        let (status, headers) = read_head(&mut reader)?;
        let body = read_body(&mut reader, status, &headers)?;
        Ok(Response {
            status,
            headers,
            body,
        })
    }
}

fn write_chunk(writer: &mut impl Write, chunk: &[u8]) -> io::Result<()> {
    write!(writer, "{:x}\r\n", chunk.len())?;
    writer.write_all(chunk)?;
    writer.write_all(b"\r\n")
}

fn send_body(writer: &mut impl Write, body: &Payload) -> io::Result<()> {
    match body {
        Payload::None => Ok(()),
        Payload::Sized(bytes) => writer.write_all(bytes),
        Payload::Chunked(bytes, size) => {
            for chunk in bytes.chunks(*size) {
                write_chunk(writer, chunk)?;
            }
            writer.write_all(b"0\r\n\r\n")
        }
    }
}

/// The answer to `Expect: 100-continue`; a server that does not know it says nothing.
fn read_early_head(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Head>> {
    reader.get_ref().set_read_timeout(Some(CONTINUE_LIMIT))?;
    let early = match reader.fill_buf() {
        Ok(_) => Some(read_head(reader)?),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => return Err(error),
    };
    reader.get_ref().set_read_timeout(Some(WAIT_LIMIT))?;
    Ok(early)
}

type Head = (u16, Vec<(String, String)>);

fn read_head(reader: &mut impl BufRead) -> io::Result<Head> {
    let status_line = read_line(reader)?;
    let status = status_line.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| malformed(&status_line))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_body(
    reader: &mut impl BufRead,
    status: u16,
    headers: &[(String, String)],
) -> io::Result<Vec<u8>> {
    let named = |name: &str| {
        let mut all = headers.iter();
        let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    let mut body = Vec::new();
    if status == 204 || status == 304 {
        return Ok(body);
    }
    if named("transfer-encoding") == Some("chunked") {
        loop {
            let line = read_line(reader)?;
            let size = usize::from_str_radix(&line, 16).map_err(|_| malformed(&line))?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(body);
            }
        }
    }
    if let Some(length) = named("content-length") {
        let length = length.parse().map_err(|_| malformed(length))?;
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    } else {
        reader.read_to_end(&mut body)?;
    }
    Ok(body)
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn malformed(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {text}"))
}
