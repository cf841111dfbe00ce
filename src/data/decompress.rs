//! Unpacks what comes packed: gzip and zip, by their first bytes, while they pass (the import plugin
//! `image_decompression`). What is neither goes through as it is.
//!
//! Unpacked bytes are made a piece at a time, as they are asked for, so a bomb goes off in front of
//! the image's size limit, which whoever takes the bytes holds it to. Everything that a packed stream
//! says of itself is checked before it ends cleanly.

mod gzip;
mod zip;

use std::io;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::Source;

/// What one step unpacks at most.
const STEP_BYTES: usize = 256 * 1024;
/// The first bytes, by which a stream is known.
const SIGNATURES: [(usize, &[u8], Packing); 3] = [
    (0, b"PK\x03\x04", Packing::Zip),
    (2, b"-lh", Packing::Lha),
    (0, b"\x1f\x8b\x08", Packing::Gzip),
];
const SIGNATURE_END: usize = 5;

/// How a stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// gzip, of any number of members.
    Gzip,
    /// A zip archive, of one file.
    Zip,
    /// Known, and not unpacked.
    Lha,
}

/// Why a packed stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damage(&'static str);

/// Unpacks a stream that is pushed into it.
#[derive(Debug)]
pub struct Unpacker(Kind);

#[derive(Debug)]
enum Kind {
    Gzip(gzip::Gzip),
    Zip(zip::Zip),
}

impl Packing {
    /// What a stream is packed with, by its first [`Packing::LOOK_BYTES`] or all there are.
    pub fn of(head: &[u8]) -> Option<Self> {
        let is = |(at, magic, _): &&(usize, &[u8], Self)| {
            head.get(*at..).is_some_and(|rest| rest.starts_with(magic))
        };
        SIGNATURES.iter().find(is).map(|(_, _, packing)| *packing)
    }

    /// How many bytes [`Packing::of`] looks at.
    pub const LOOK_BYTES: usize = SIGNATURE_END;
}

impl Unpacker {
    /// For a stream of that kind, from its first byte.
    ///
    /// # Errors
    /// For [`Packing::Lha`].
    pub fn new(packing: Packing) -> Result<Self, Damage> {
        match packing {
            Packing::Gzip => Ok(Self(Kind::Gzip(gzip::Gzip::default()))),
            Packing::Zip => Ok(Self(Kind::Zip(zip::Zip::default()))),
            Packing::Lha => Err(Damage("No lhafile available.")),
        }
    }

    /// Takes from the front of `input` and adds to `out`, within its capacity. When it has done
    /// neither, it wants more input.
    ///
    /// # Errors
    /// What is wrong with the stream.
    pub fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Damage> {
        // From one part of the stream to the next.
        while match &mut self.0 {
            Kind::Gzip(gzip) => gzip.step(input, out)?,
            Kind::Zip(zip) => zip.step(input, out)?,
        } {}
        Ok(())
    }

    /// The stream ends here.
    ///
    /// # Errors
    /// When it cannot end here.
    pub fn finish(&mut self) -> Result<(), Damage> {
        match &mut self.0 {
            Kind::Gzip(gzip) => gzip.finish(),
            Kind::Zip(zip) => zip.finish(),
        }
    }
}

/// Inflates one step. True at the end of the deflate stream.
fn inflate(
    inflater: &mut Decompress,
    input: &mut &[u8],
    out: &mut Vec<u8>,
) -> Result<bool, Damage> {
    let before = inflater.total_in();
    let status = inflater.decompress_vec(input, out, FlushDecompress::None);
    let status = status.map_err(|_| Damage("the deflated data is damaged"))?;
    let taken = usize::try_from(inflater.total_in() - before).expect("it is within the input");
    *input = &input[taken..];
    Ok(status == Status::StreamEnd)
}

/// Moves bytes of the input to `held` until that has `len`; false while it has fewer.
fn hold(held: &mut Vec<u8>, input: &mut &[u8], len: usize) -> bool {
    let (taken, rest) = input.split_at(len.saturating_sub(held.len()).min(input.len()));
    held.extend_from_slice(taken);
    *input = rest;
    held.len() >= len
}

/// A source whose bytes are unpacked if they are packed.
#[derive(Debug)]
pub struct Unpacked<S> {
    source: S,
    /// Taken from the source and not yet used.
    input: Bytes,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not packed.
    Plain,
    Packed(Box<Unpacker>),
    Ended,
    /// An error was told, or the future of a step was dropped.
    Broken,
}

impl<S: Source> Unpacked<S> {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// The source's; [`Damage`] inside an `InvalidData` for what is known and not unpacked.
    pub async fn open(mut source: S) -> io::Result<Self> {
        let mut head = BytesMut::new();
        while head.len() < Packing::LOOK_BYTES {
            match source.next().await? {
                Some(bytes) => head.extend_from_slice(&bytes),
                None => break,
            }
        }
        let unpacker = Packing::of(&head).map(Unpacker::new).transpose();
        Ok(Self {
            source,
            input: head.freeze(),
            state: match unpacker.map_err(damaged)? {
                Some(unpacker) => State::Packed(Box::new(unpacker)),
                None => State::Plain,
            },
        })
    }

    /// Whether it is packed.
    pub fn is_packed(&self) -> bool {
        matches!(self.state, State::Packed(_))
    }

    /// The next unpacked bytes; `None` at the end.
    async fn unpack(&mut self, mut unpacker: Box<Unpacker>) -> io::Result<Option<Bytes>> {
        loop {
            let input = std::mem::take(&mut self.input);
            let left = input.len();
            let (back, rest, out) = stepped(unpacker, input).await?;
            unpacker = back;
            let idle = rest.len() == left && out.is_empty();
            self.input = rest;
            if !out.is_empty() {
                self.state = State::Packed(unpacker);
                return Ok(Some(out));
            }
            if !idle {
                continue;
            }
            match self.source.next().await? {
                // What is left is a few bytes that are not enough to go on.
                Some(bytes) if self.input.is_empty() => self.input = bytes,
                Some(bytes) => self.input = [&self.input[..], &bytes].concat().into(),
                None if self.input.is_empty() => {
                    unpacker.finish().map_err(damaged)?;
                    self.state = State::Ended;
                    return Ok(None);
                }
                None => return Err(damaged(Damage("the stream ends in the middle"))),
            }
        }
    }
}

/// One step, on a thread that may compute.
async fn stepped(
    mut unpacker: Box<Unpacker>,
    mut input: Bytes,
) -> io::Result<(Box<Unpacker>, Bytes, Bytes)> {
    let work = move || {
        let mut out = Vec::with_capacity(STEP_BYTES);
        let mut rest = &input[..];
        unpacker.step(&mut rest, &mut out)?;
        let taken = input.len() - rest.len();
        input.advance(taken);
        Ok((unpacker, input, Bytes::from(out)))
    };
    let stepped = tokio::task::spawn_blocking(work).await;
    stepped
        .expect("unpacking does not panic, and is not cancelled")
        .map_err(damaged)
}

fn damaged(damage: Damage) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, damage)
}

#[async_trait]
impl<S: Source> Source for Unpacked<S> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Plain => {
                let next = match self.input.is_empty() {
                    true => self.source.next().await?,
                    false => Some(std::mem::take(&mut self.input)),
                };
                self.state = State::Plain;
                Ok(next)
            }
            State::Packed(unpacker) => self.unpack(unpacker).await,
            State::Ended => {
                self.state = State::Ended;
                Ok(None)
            }
            State::Broken => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
