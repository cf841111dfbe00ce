//! The process's one pool of buffers for all transfers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Chunk;
use crate::{
    base::limits::{ADMISSION_CHUNKS, CHUNK_BYTES},
    model::StoreId,
};

/// All buffers of the process.
#[derive(Clone, Debug)]
pub struct Pool {
    free: Arc<Semaphore>,
}

/// No buffers within the wait.
#[derive(Debug, thiserror::Error)]
#[error("no buffers became free in time")]
pub struct Exhausted;

impl Pool {
    /// At most `limit_bytes` in flight, shared by `stores`.
    pub fn new(limit_bytes: usize, _stores: &[StoreId]) -> Self {
        Self {
            free: Arc::new(Semaphore::new(limit_bytes / CHUNK_BYTES)),
        }
    }

    /// Waits, in order of arrival, for the buffers that a transfer starts with.
    pub async fn admit(&self, _store: &StoreId, wait: Duration) -> Result<Admission, Exhausted> {
        let reserve = self
            .free
            .clone()
            .acquire_many_owned(ADMISSION_CHUNKS as u32);
        let permit = tokio::time::timeout(wait, reserve)
            .await
            .map_err(|_| Exhausted)?;
        drop(permit.map_err(|_| Exhausted)?);
        Ok(Admission {
            free: self.free.clone(),
        })
    }
}

/// A transfer's right to buffers.
#[derive(Clone, Debug)]
pub struct Admission {
    free: Arc<Semaphore>,
}

impl Admission {
    /// An empty buffer, as soon as there is one.
    pub async fn buffer(&self) -> Buffer {
        let permit = self
            .free
            .clone()
            .acquire_owned()
            .await
            .expect("the pool is never closed");
        Buffer {
            memory: Vec::with_capacity(CHUNK_BYTES),
            _permit: permit,
        }
    }

    /// An empty buffer, if there is one.
    pub fn try_buffer(&self) -> Option<Buffer> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        Some(Buffer {
            memory: Vec::with_capacity(CHUNK_BYTES),
            _permit: permit,
        })
    }
}

/// Memory for one chunk, exclusively owned while it is filled.
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl Buffer {
    /// Copies as much as fits, and says how much that was.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(CHUNK_BYTES - self.memory.len());
        self.memory.extend_from_slice(&bytes[..len]);
        len
    }

    /// Bytes filled.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether nothing is filled.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    /// Whether nothing more fits.
    pub fn is_full(&self) -> bool {
        self.memory.len() == CHUNK_BYTES
    }

    /// Shares what was filled; the memory returns to the pool with the last reference.
    pub fn freeze<State>(self) -> Chunk<State> {
        Chunk::new(Bytes::from_owner(self))
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}
