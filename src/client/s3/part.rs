//! A part of an object: pieces of memory that go out as they lie.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use openssl::{base64, hash::MessageDigest};
use tokio::task::spawn_blocking;

/// Bytes in pieces, shared by reference: a request that is repeated sends the same ones.
#[derive(Clone, Debug)]
pub struct Part {
    pieces: Arc<[Bytes]>,
    len: u64,
}

/// What is told of a part's content, in Base64.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) crc32: Option<String>,
    pub(super) md5: Option<String>,
}

/// A part on its way.
#[derive(Debug)]
pub(super) struct PartBody {
    part: Part,
    next: usize,
    left: u64,
    /// Bytes that the connection has asked for.
    sent: Arc<AtomicU64>,
}

impl Part {
    /// Takes pieces over, in order.
    pub fn new(pieces: Vec<Bytes>) -> Self {
        Self {
            len: pieces.iter().map(|piece| piece.len() as u64).sum(),
            pieces: pieces.into(),
        }
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) async fn sums(&self, crc32: bool, md5: bool) -> Sums {
        if !crc32 && !md5 {
            return Sums::default();
        }
        let part = self.clone();
        let summed = spawn_blocking(move || Sums {
            crc32: crc32.then(|| part.crc32()),
            md5: md5.then(|| part.md5()),
        });
        summed.await.expect("adding up does not panic")
    }

    pub(super) fn body(&self, sent: Arc<AtomicU64>) -> PartBody {
        PartBody {
            part: self.clone(),
            next: 0,
            left: self.len,
            sent,
        }
    }

    fn crc32(&self) -> String {
        let mut crc = crc32fast::Hasher::new();
        self.pieces.iter().for_each(|piece| crc.update(piece));
        base64::encode_block(&crc.finalize().to_be_bytes())
    }

    fn md5(&self) -> String {
        let digest = || {
            let mut hasher = openssl::hash::Hasher::new(MessageDigest::md5())?;
            for piece in self.pieces.iter() {
                hasher.update(piece)?;
            }
            hasher.finish()
        };
        base64::encode_block(&digest().expect("OpenSSL has MD5"))
    }
}

impl Sums {
    /// Makes them those of other content.
    pub(super) fn damage(&mut self) {
        self.crc32 = self.crc32.take().map(|_| base64::encode_block(&[0x5a; 4]));
        self.md5 = self.md5.take().map(|_| base64::encode_block(&[0x5a; 16]));
    }
}

impl Body for PartBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(piece) = self.part.pieces.get(self.next).cloned() else {
            return Poll::Ready(None);
        };
        self.next += 1;
        self.left -= piece.len() as u64;
        self.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.next == self.part.pieces.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sums_are_those_of_the_pieces_together() {
        let part = Part::new(vec!["1234".into(), Bytes::new(), "56789".into()]);
        let sums = part.sums(true, true).await;
        // Of "123456789": the check value of CRC-32, and `md5sum`'s.
        assert_eq!(sums.crc32.as_deref(), Some("y/Q5Jg=="));
        assert_eq!(sums.md5.as_deref(), Some("JfnnlDI7RTiF9RgfG2JNCw=="));
        assert_eq!(part.len(), 9);
    }
}
