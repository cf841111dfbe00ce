//! An image's bytes on their way, hashed while they pass.

use std::io;

use anyhow::Context;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use serde_json::Value;

use super::Progress;
use crate::{
    buf::Chunk,
    data::digest::{self, Engine},
    model::HashAlgorithm,
};

/// Some of them.
pub(super) type Piece = io::Result<Bytes>;

/// Bytes that are compared with what is said of them.
pub(super) struct Checked {
    bytes: BoxStream<'static, Piece>,
    sums: Option<digest::Stream>,
    expected: String,
    image: String,
    size_bytes: u64,
    passed_bytes: u64,
    progress: Progress,
    /// The last piece, which is handed on when it is known whether all are right.
    held: Option<Bytes>,
}

impl Checked {
    /// By the image's `os_hash_value`, or its `checksum`.
    ///
    /// # Errors
    /// When neither is known.
    pub(super) fn new(
        bytes: BoxStream<'static, Piece>,
        image: &Value,
        engine: &Engine,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let algorithm = image["os_hash_algo"].as_str();
        let algorithm = algorithm.and_then(|name| name.parse::<HashAlgorithm>().ok());
        let (algorithm, expected) = match (algorithm, image["os_hash_value"].as_str()) {
            (Some(algorithm), Some(value)) => (algorithm, value),
            _ => {
                let checksum = image["checksum"].as_str();
                let checksum = checksum.context("nothing says what its data hashes to")?;
                (HashAlgorithm::Md5, checksum)
            }
        };
        Ok(Self {
            bytes,
            sums: Some(engine.open(&[algorithm])),
            expected: expected.to_owned(),
            image: super::id_of(image).to_owned(),
            size_bytes: super::size_of(image),
            passed_bytes: 0,
            progress: progress.clone(),
            held: None,
        })
    }

    /// The bytes; an error in the place of the last piece when they are not what is said.
    pub(super) fn stream(self) -> impl Stream<Item = Piece> + Send + 'static {
        stream::unfold(self, |mut checked| async move {
            let piece = checked.next().await?;
            Some((piece, checked))
        })
    }

    async fn next(&mut self) -> Option<Piece> {
        loop {
            let Some(piece) = self.bytes.next().await else {
                return self.end().await;
            };
            let piece = match piece {
                Ok(piece) if piece.is_empty() => continue,
                Ok(piece) => piece,
                Err(error) => return Some(Err(error)),
            };
            if let Some(sums) = &self.sums {
                sums.feed(&Chunk::new(piece.clone())).await;
            }
            self.passed_bytes += piece.len() as u64;
            (self.progress)(&self.image, self.passed_bytes, self.size_bytes);
            if let Some(before) = self.held.replace(piece) {
                return Some(Ok(before));
            }
        }
    }

    async fn end(&mut self) -> Option<Piece> {
        let found = self.sums.take()?.finish().await;
        if found.first() == Some(&self.expected) {
            return self.held.take().map(Ok);
        }
        let text = "the data is not what the source says of it: its hash differs";
        Some(Err(io::Error::other(text)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::TryStreamExt;
    use serde_json::json;

    use super::*;

    async fn passed(pieces: &[&'static [u8]], checksum: &str) -> io::Result<Vec<u8>> {
        let pieces: Vec<Piece> = pieces.iter().map(|p| Ok(Bytes::from_static(p))).collect();
        let bytes = Box::pin(stream::iter(pieces));
        let image = json!({"id": "x", "checksum": checksum});
        let engine = Engine::new(1).unwrap();
        let progress: Progress = Arc::new(|_, _, _| {});
        let checked = Checked::new(bytes, &image, &engine, &progress).unwrap();
        let pieces: Vec<Bytes> = checked.stream().try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn the_last_piece_passes_only_when_all_are_right() {
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        assert_eq!(passed(&[b"a", b"", b"bc"], md5).await.unwrap(), b"abc");
        assert!(passed(&[b"a", b"bd"], md5).await.is_err());
        assert!(passed(&[], md5).await.is_err());
        let nothing = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(passed(&[], nothing).await.unwrap(), b"");
    }
}
