//! A store in which everything rests encrypted: each object is a container of version 1, and whoever uses the
//! store sees plain bytes, their size and no container. An ordinary [`Store`] in front of another one.
//!
//! How many bytes are in an object is told by its length: behind the last sector there are as many zeroes as
//! that sector has bytes, none where it is full. Another reader of LUKS sees a sector more at most (qemu does).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Buf;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    Format, Refusal, Vault, luks1,
    read::{Decrypting, Sealed, unlock},
    seal::{Cipher, Seal, Sealer},
};
use crate::{
    base::{limits::MIB, secret::Passphrase},
    buf::{Admission, AtRest, Buffer, Chunk, Claim, Pool},
    data::{self, egress::Egress, from_stores::of_store},
    model::{Attempt, ByteRange, ImageId, StoreId},
    store::{Entry, Error, Finding, Intent, Published, Reader, Result, Stat, Store, Writer},
};

const FORMAT: Format = Format::Luks1;
const SECTOR_BYTES: u64 = luks1::SECTOR_BYTES as u64;
/// Buffers in which a store's bytes are encrypted and decrypted, beside those in which they come.
const MEMORY_BYTES: usize = 64 * MIB;

/// A store that encrypts.
#[derive(Debug)]
pub struct EncryptedStore {
    inner: Arc<dyn Store>,
    seal: Seal,
    vault: Vault,
    pool: Pool,
    admission_wait: Duration,
}

impl EncryptedStore {
    /// In front of a store in which there is nothing yet, or what was put there through such a one with the
    /// same passphrase. Buffers are waited for as long as `admission_wait`.
    pub fn new(
        inner: Arc<dyn Store>,
        passphrase: Passphrase,
        vault: Vault,
        admission_wait: Duration,
    ) -> Self {
        let gathers = vec![(inner.id().clone(), inner.gathers_bytes(None))];
        Self {
            pool: Pool::with_gathering(MEMORY_BYTES, gathers),
            seal: Seal {
                format: FORMAT,
                passphrase,
            },
            inner,
            vault,
            admission_wait,
        }
    }
}

/// Bytes of an object with so many plain ones.
fn object_bytes(plain_bytes: u64) -> u64 {
    let sealed = FORMAT.container_bytes(plain_bytes);
    sealed.saturating_add(plain_bytes % SECTOR_BYTES)
}

/// How many plain bytes are in an object of so many; none where it is no such object.
fn plain_bytes(object_bytes: u64) -> Option<u64> {
    let behind_head = object_bytes.checked_sub(FORMAT.head_bytes())?;
    let zeroes = behind_head % SECTOR_BYTES;
    let sectors = behind_head - zeroes;
    match zeroes {
        0 => Some(sectors),
        _ => Some(sectors.checked_sub(SECTOR_BYTES)? + zeroes),
    }
}

#[async_trait]
impl Store for EncryptedStore {
    fn id(&self) -> &StoreId {
        self.inner.id()
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn intend(
        &self,
        image: &ImageId,
        attempt: Attempt,
        size_bytes: Option<u64>,
    ) -> Result<Intent> {
        let size_bytes = size_bytes.map(object_bytes);
        self.inner.intend(image, attempt, size_bytes).await
    }

    async fn writer(&self, intent: &Intent, size_bytes: Option<u64>) -> Result<Box<dyn Writer>> {
        // First: nobody waits for a derivation with buffers in hand.
        let begun = Cipher::begin(&self.seal, &self.vault).await;
        let (cipher, head) = begun.map_err(of_store)?;
        let (gathers, wait) = (self.gathers_bytes(size_bytes), self.admission_wait);
        let memory = self.pool.admit_gathering(self.id(), gathers, wait).await;
        let memory = memory.map_err(|_| Error::NoBuffers)?;
        let inner = self.inner.writer(intent, size_bytes.map(object_bytes));
        Ok(Box::new(EncryptingWriter {
            inner: inner.await?,
            memory,
            head: Some(head),
            cipher: Some(cipher),
            buffer: None,
            plain_bytes: 0,
        }))
    }

    fn gathers_bytes(&self, size_bytes: Option<u64>) -> usize {
        self.inner.gathers_bytes(size_bytes.map(object_bytes))
    }

    async fn reader(&self, url: &str, range: ByteRange, memory: Claim) -> Result<Box<dyn Reader>> {
        // Beyond its last byte an object has zeroes, which are not the image's.
        if range.end() > self.size(url).await? {
            return Err(Error::Corrupt(url.to_owned()));
        }
        let object = Object {
            store: &*self.inner,
            url,
            memory,
        };
        let volume = unlock(&object, &self.vault, &self.seal.passphrase).await;
        let volume = volume.map_err(|error| unreadable(url, error))?;
        // Before those of the reader below: nobody waits for these with others in hand.
        let claim = self.pool.claim(self.id(), self.admission_wait);
        let decrypted = claim.admit().await.map_err(|_| Error::NoBuffers)?;
        let opened = Decrypting::open(&object, volume, decrypted, range).await;
        Ok(Box::new(opened.map_err(of_store)?))
    }

    async fn size(&self, url: &str) -> Result<u64> {
        let bytes = plain_bytes(self.inner.size(url).await?);
        bytes.ok_or_else(|| Error::Corrupt(url.to_owned()))
    }

    async fn delete(&self, url: &str) -> Result<()> {
        self.inner.delete(url).await
    }

    async fn discard(&self, intent: &Intent) -> Result<()> {
        self.inner.discard(intent).await
    }

    fn object(&self, url: &str) -> Option<String> {
        self.inner.object(url)
    }

    fn owns(&self, url: &str) -> bool {
        self.inner.owns(url)
    }

    async fn in_use(&self, url: &str) -> Result<bool> {
        self.inner.in_use(url).await
    }

    async fn check(&self) -> Vec<Finding> {
        self.inner.check().await
    }

    async fn list(&self, found: mpsc::Sender<Entry>) -> Result<()> {
        self.inner.list(found).await
    }

    /// Of an object its plain bytes, of a draft what is there of it.
    async fn stat(&self, entry: &Entry) -> Result<Stat> {
        let stat = self.inner.stat(entry).await?;
        Ok(Stat {
            size_bytes: match entry {
                Entry::Object(url) => {
                    plain_bytes(stat.size_bytes).ok_or_else(|| Error::Corrupt(url.clone()))?
                }
                Entry::Draft(_) => stat.size_bytes,
            },
            ..stat
        })
    }
}

fn corrupt(object: &str, refusal: &Refusal) -> Error {
    Error::Corrupt(format!("{object} ({refusal})"))
}

/// What opening the container may say.
fn unreadable(url: &str, error: data::Error) -> Error {
    match error {
        data::Error::Locked(refusal) => corrupt(url, &refusal),
        other => of_store(other),
    }
}

/// One object of the store behind.
struct Object<'a> {
    store: &'a dyn Store,
    url: &'a str,
    memory: Claim,
}

#[async_trait]
impl Sealed for Object<'_> {
    async fn open(&self, range: ByteRange) -> data::Result<Egress> {
        let reader = self.store.reader(self.url, range, self.memory.clone());
        let store = self.store.id().clone();
        Ok(Egress::new(reader.await?, store, range.len))
    }
}

/// Encrypts what it is given, in buffers of its own: those that come may have other readers.
struct EncryptingWriter {
    inner: Box<dyn Writer>,
    memory: Admission,
    /// What comes before the payload, until it is written: the first byte may only come once the caller knows
    /// the object's name.
    head: Option<Vec<u8>>,
    /// Away while it works.
    cipher: Option<Cipher>,
    buffer: Option<Buffer>,
    plain_bytes: u64,
}

impl EncryptingWriter {
    /// An empty buffer. Nobody waits for one while the store behind gathers: what it holds back may be all that
    /// there is.
    async fn free_buffer(&mut self) -> Result<Buffer> {
        if let Some(buffer) = self.memory.try_buffer() {
            return Ok(buffer);
        }
        self.inner.spill().await?;
        Ok(self.memory.buffer().await)
    }

    async fn write_head(&mut self) -> Result<()> {
        let Some(head) = self.head.take() else {
            return Ok(());
        };
        let (mut rest, mut left_bytes) = (&head[..], FORMAT.head_bytes());
        while left_bytes > 0 {
            let mut buffer = self.free_buffer().await?;
            rest = &rest[buffer.fill(rest)..];
            let buffer = Sealer::fill(buffer).await;
            left_bytes -= buffer.len() as u64;
            self.inner.write(buffer.freeze()).await?;
        }
        Ok(())
    }

    /// Encrypts on a thread that may compute.
    async fn pass_on(&mut self, mut buffer: Buffer) -> Result<()> {
        let cipher = self.cipher.take();
        let mut cipher = cipher.expect("it came back from the last one");
        let sealed = spawn_blocking(move || {
            cipher.seal(&mut buffer);
            (cipher, buffer)
        });
        let sealed = sealed.await;
        let (cipher, buffer) = sealed.expect("encrypting does not panic, and is not cancelled");
        self.cipher = Some(cipher);
        self.inner.write(buffer.freeze()).await
    }

    /// The rest, and the zeroes that say how many bytes of the last sector count.
    async fn end(&mut self) -> Result<()> {
        self.write_head().await?;
        if let Some(buffer) = self.buffer.take() {
            self.pass_on(buffer).await?;
        }
        let zeroes = [0; SECTOR_BYTES as usize];
        let zeroes = &zeroes[..(self.plain_bytes % SECTOR_BYTES) as usize];
        if zeroes.is_empty() {
            return Ok(());
        }
        let mut buffer = self.free_buffer().await?;
        buffer.fill(zeroes);
        self.inner.write(buffer.freeze()).await
    }
}

#[async_trait]
impl Writer for EncryptingWriter {
    async fn write(&mut self, chunk: Chunk<AtRest>) -> Result<()> {
        self.write_head().await?;
        self.plain_bytes += chunk.len() as u64;
        let mut bytes = chunk.into_bytes();
        while !bytes.is_empty() {
            let mut buffer = match self.buffer.take() {
                Some(buffer) => buffer,
                None => self.free_buffer().await?,
            };
            bytes.advance(buffer.fill(&bytes));
            match buffer.is_full() {
                true => self.pass_on(buffer).await?,
                false => self.buffer = Some(buffer),
            }
        }
        Ok(())
    }

    /// What fills no buffer stays: it is one of those that this writer was admitted with.
    async fn spill(&mut self) -> Result<()> {
        self.inner.spill().await
    }

    fn object(&self) -> Option<&str> {
        self.inner.object()
    }

    async fn commit(mut self: Box<Self>) -> Result<Published> {
        let ended = self.end().await;
        let Self {
            inner, plain_bytes, ..
        } = *self;
        if let Err(error) = ended {
            // What an attempt leaves is found by its journal; this only spares the wait.
            drop(inner.abort().await);
            return Err(error);
        }
        let published = inner.commit().await?;
        Ok(Published {
            size_bytes: plain_bytes,
            ..published
        })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objects_length_tells_how_many_bytes_are_in_it() {
        let all = (0..2000).chain([1 << 20, (1 << 20) + 1, (1 << 40) - 1]);
        for bytes in all {
            assert_eq!(plain_bytes(object_bytes(bytes)), Some(bytes));
        }
        assert_eq!(object_bytes(u64::MAX), u64::MAX);
        let head = FORMAT.head_bytes();
        for none in [0, 511, head - 1, head + 1, head + 511] {
            assert_eq!(plain_bytes(none), None, "{none}");
        }
    }
}
