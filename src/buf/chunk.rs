//! A piece of an image in memory, typed by what it is fit for.

use std::marker::PhantomData;

use bytes::Bytes;

/// Bytes as a client sends and receives them.
#[derive(Clone, Copy, Debug)]
pub enum Plain {}

/// Bytes as a store keeps them.
#[derive(Clone, Copy, Debug)]
pub enum AtRest {}

/// At most [`CHUNK_BYTES`](crate::base::limits::CHUNK_BYTES) of an image, shared by reference.
///
/// Only the encryption stage turns a `Chunk<Plain>` into a `Chunk<AtRest>`, so plain bytes cannot
/// be handed to a store that must not see them.
#[derive(Debug)]
pub struct Chunk<State> {
    bytes: Bytes,
    state: PhantomData<fn() -> State>,
}

impl<State> Clone for Chunk<State> {
    fn clone(&self) -> Self {
        Self::new(self.bytes.clone())
    }
}

impl<State> Chunk<State> {
    /// Takes the bytes as they are; what they are fit for is the caller's claim.
    pub fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            state: PhantomData,
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes, without their type.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Whether all bytes are 0: a store may leave them out. Data is told by its first page.
pub fn is_zero(bytes: &[u8]) -> bool {
    const ZEROES: [u8; 4096] = [0; 4096];
    bytes
        .chunks(ZEROES.len())
        .all(|piece| *piece == ZEROES[..piece.len()])
}
