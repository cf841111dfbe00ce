//! The body of an answer.

use std::{io, time::Duration};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{Answer, connection::Connection};

/// Bytes from the web, as they come. Of memory it holds what the connection has read and nobody has
/// asked for: at most two pieces of [`super::connection::READ_BYTES_MAX`].
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    /// Bytes before the first that was asked for.
    skip: u64,
    length: Option<u64>,
    /// Bytes still to be handed out; none where no length was named.
    left: Option<u64>,
    patience: Duration,
    _connection: Connection,
}

impl Body {
    pub(super) fn new(answer: Answer, skip: u64, length: Option<u64>, patience: Duration) -> Self {
        Self {
            incoming: answer.response.into_body(),
            skip,
            length,
            left: length,
            patience,
            _connection: answer.connection,
        }
    }

    /// Bytes in all, where the server names them.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next bytes, of any number; `None` after the last. Whoever drops the future loses
    /// nothing.
    ///
    /// # Errors
    /// When the body breaks off, or nothing comes in time: it never ends early without one.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.left != Some(0) {
            let frame = timeout(self.patience, self.incoming.frame()).await;
            let frame = frame.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            let Some(frame) = frame else {
                return match self.left {
                    None if self.skip == 0 => Ok(None),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            };
            let frame = frame.map_err(io::Error::other)?;
            let Ok(mut bytes) = frame.into_data() else {
                continue;
            };
            let skipped = self.skip.min(bytes.len() as u64);
            bytes.advance(skipped as usize);
            self.skip -= skipped;
            if let Some(left) = &mut self.left {
                let len = (*left).min(bytes.len() as u64);
                bytes.truncate(len as usize);
                *left -= len;
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
