//! An upload that sends as much as a test says, when it says.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use crate::support::process::Fresnel;

/// Longer than anything waits here.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Upload {
    stream: TcpStream,
}

impl Upload {
    /// Sends the headers.
    pub(super) fn begin(node: &Fresnel, image: &str, len: usize) -> Self {
        Self::begin_at(node, image, "file", len)
    }

    /// The same for another part of the image: `stage`.
    pub(super) fn begin_at(node: &Fresnel, image: &str, part: &str, len: usize) -> Self {
        let mut stream = TcpStream::connect(node.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "PUT /v2/images/{image}/{part} HTTP/1.1\r\nHost: x\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {len}\r\n\r\n"
        )
        .unwrap();
        Self { stream }
    }

    /// Sends some of the body. A peer that is gone is what these tests are about.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let sent = self.stream.write_all(bytes);
        drop(sent);
    }

    /// The status of the answer; none when the connection ends without.
    pub(super) fn answer(self) -> Option<u16> {
        let mut line = String::new();
        BufReader::new(self.stream).read_line(&mut line).ok()?;
        line.split(' ').nth(1)?.parse().ok()
    }
}
