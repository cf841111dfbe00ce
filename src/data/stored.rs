//! An object in a store as the source of an upload: staged data on its way to its stores, and
//! copies from one store to others.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Plane, ReadPlan, Source,
    readahead::{Readers, WINDOW_BYTES},
};

/// Reads what a plan says, ahead as far as buffers are free.
pub struct Stored {
    readers: Readers,
}

impl Stored {
    /// Nothing is opened before the first bytes are asked for.
    pub fn new(plane: Plane, plan: ReadPlan) -> Self {
        Self {
            readers: Readers::new(plane, plan, WINDOW_BYTES),
        }
    }
}

#[async_trait]
impl Source for Stored {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let chunk = self.readers.next().await.map_err(io::Error::other)?;
        Ok(chunk.map(|chunk| chunk.into_bytes()))
    }
}
