//! The least HTTP client that can show the path: one request a connection, blocking.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::base::limits::MIB;

/// Talks to one service.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Creates a raw image and returns its id.
    pub(super) fn create(&self) -> anyhow::Result<String> {
        let body = json!({"name": "demo", "disk_format": "raw", "container_format": "bare"});
        let body = body.to_string();
        let mut socket = self.open("POST", "", "application/json", body.len() as u64)?;
        socket.write_all(body.as_bytes())?;
        let image = json_body(socket, 201)?;
        Ok(image["id"]
            .as_str()
            .context("the image has no id")?
            .to_owned())
    }

    pub(super) fn show(&self, id: &str) -> anyhow::Result<Value> {
        json_body(self.open("GET", &format!("/{id}"), "", 0)?, 200)
    }

    pub(super) fn delete(&self, id: &str) -> anyhow::Result<()> {
        let (status, _) = answer(self.open("DELETE", &format!("/{id}"), "", 0)?)?;
        ensure!(status == 204, "DELETE answered {status}");
        Ok(())
    }

    /// Uploads `len` bytes, a MiB of `content` at a time.
    pub(super) fn upload(
        &self,
        id: &str,
        len: u64,
        content: impl Fn(u64) -> Vec<u8>,
    ) -> anyhow::Result<()> {
        let path = format!("/{id}/file");
        let mut socket = self.open("PUT", &path, "application/octet-stream", len)?;
        for offset in (0..len).step_by(MIB) {
            socket.write_all(&content(offset))?;
        }
        let (status, _) = answer(socket)?;
        ensure!(status == 204, "PUT answered {status}");
        Ok(())
    }

    /// Downloads, and shows every piece to `check`.
    pub(super) fn download(
        &self,
        id: &str,
        mut check: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (status, mut body) = answer(self.open("GET", &format!("/{id}/file"), "", 0)?)?;
        ensure!(status == 200, "GET answered {status}");
        let mut buffer = vec![0; MIB];
        loop {
            match body.read(&mut buffer)? {
                0 => return Ok(()),
                len => check(&buffer[..len])?,
            }
        }
    }

    fn open(&self, method: &str, path: &str, kind: &str, len: u64) -> anyhow::Result<TcpStream> {
        let mut socket = TcpStream::connect(self.address).context("the service is gone")?;
        let kind = if kind.is_empty() {
            String::new()
        } else {
            format!("Content-Type: {kind}\r\n")
        };
        write!(
            socket,
            "{method} /v2/images{path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\
             {kind}Content-Length: {len}\r\n\r\n"
        )?;
        Ok(socket)
    }
}

fn json_body(socket: TcpStream, expected: u16) -> anyhow::Result<Value> {
    let (status, mut body) = answer(socket)?;
    let mut text = String::new();
    body.read_to_string(&mut text)?;
    ensure!(status == expected, "the service answered {status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// The status, and the body to be read.
fn answer(socket: TcpStream) -> anyhow::Result<(u16, BufReader<TcpStream>)> {
    let mut reader = BufReader::with_capacity(64 * 1024, socket);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let Some(status) = line.split(' ').nth(1).and_then(|code| code.parse().ok()) else {
        bail!("no answer from the service");
    };
    loop {
        line.clear();
        if reader.read_line(&mut line)? <= "\r\n".len() {
            return Ok((status, reader));
        }
    }
}
