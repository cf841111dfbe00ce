//! Objects in memory: the model that other stores are compared with, and a store for tests.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{Entry, Error, Intent, Piece, Published, Reader, Result, Stat, Store, Writer};
use crate::{
    buf::{Admission, AtRest, Chunk, Claim},
    model::{Attempt, ByteRange, ImageId, StoreId},
};

/// A store in the process's memory.
#[derive(Debug)]
pub struct MemoryStore {
    id: StoreId,
    objects: Arc<Mutex<Objects>>,
}

/// What the store holds.
#[derive(Debug, Default)]
struct Objects {
    drafts: HashMap<Attempt, (Intent, Vec<u8>)>,
    published: HashMap<String, (Attempt, Bytes)>,
    held: HashSet<String>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(id: StoreId) -> Self {
        Self {
            id,
            objects: Arc::default(),
        }
    }

    /// Whether nothing is left in it, published or not.
    pub fn is_empty(&self) -> bool {
        let objects = self.objects.lock();
        objects.drafts.is_empty() && objects.published.is_empty()
    }

    /// From now on something depends on the object.
    pub fn hold(&self, url: &str) {
        self.objects.lock().held.insert(url.to_owned());
    }

    fn url(&self, image: &ImageId) -> String {
        format!("memory://{}/{image}", self.id)
    }

    /// What an object has.
    ///
    /// # Errors
    /// [`Error::BadAddress`], [`Error::NotFound`].
    pub fn bytes(&self, url: &str) -> Result<Bytes> {
        if !self.owns(url) {
            return Err(Error::BadAddress(url.to_owned()));
        }
        let objects = self.objects.lock();
        let object = objects.published.get(url);
        let (_, bytes) = object.ok_or_else(|| Error::NotFound(url.to_owned()))?;
        Ok(bytes.clone())
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn id(&self) -> &StoreId {
        &self.id
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn intend(
        &self,
        image: &ImageId,
        attempt: Attempt,
        _size_bytes: Option<u64>,
    ) -> Result<Intent> {
        Ok(Intent::new(
            image.clone(),
            attempt,
            format!("{image}.{attempt}"),
        ))
    }

    async fn writer(&self, intent: &Intent, _size_bytes: Option<u64>) -> Result<Box<dyn Writer>> {
        let url = self.url(&intent.image);
        let mut objects = self.objects.lock();
        if objects.published.contains_key(&url) || objects.drafts.contains_key(&intent.attempt) {
            return Err(Error::AlreadyExists(url));
        }
        objects
            .drafts
            .insert(intent.attempt, (intent.clone(), Vec::new()));
        Ok(Box::new(MemoryWriter {
            objects: self.objects.clone(),
            attempt: intent.attempt,
            url,
        }))
    }

    async fn reader(&self, url: &str, range: ByteRange, memory: Claim) -> Result<Box<dyn Reader>> {
        let mut bytes = self.bytes(url)?;
        if (bytes.len() as u64) < range.end() {
            return Err(Error::Corrupt(url.to_owned()));
        }
        let rest = bytes.split_off(range.offset as usize);
        Ok(Box::new(MemoryReader {
            rest: rest.slice(..range.len as usize),
            memory: memory.admit().await.map_err(|_| Error::NoBuffers)?,
        }))
    }

    async fn size(&self, url: &str) -> Result<u64> {
        Ok(self.bytes(url)?.len() as u64)
    }

    async fn delete(&self, url: &str) -> Result<()> {
        self.bytes(url)?;
        let mut objects = self.objects.lock();
        if objects.held.contains(url) {
            return Err(Error::Busy(url.to_owned()));
        }
        objects.published.remove(url);
        Ok(())
    }

    async fn in_use(&self, url: &str) -> Result<bool> {
        Ok(self.objects.lock().held.contains(url))
    }

    async fn discard(&self, intent: &Intent) -> Result<()> {
        let url = self.url(&intent.image);
        let mut objects = self.objects.lock();
        objects.drafts.remove(&intent.attempt);
        let published = objects.published.get(&url);
        if published.is_some_and(|(attempt, _)| *attempt == intent.attempt) {
            objects.published.remove(&url);
        }
        Ok(())
    }

    async fn list(&self, found: mpsc::Sender<Entry>) -> Result<()> {
        let entries: Vec<Entry> = {
            let objects = self.objects.lock();
            let published = objects.published.keys().cloned().map(Entry::Object);
            let drafts = objects.drafts.values();
            let drafts = drafts.map(|(intent, _)| Entry::Draft(intent.clone()));
            published.chain(drafts).collect()
        };
        for entry in entries {
            if found.send(entry).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn stat(&self, entry: &Entry) -> Result<Stat> {
        let len = match entry {
            Entry::Object(url) => self.bytes(url)?.len(),
            Entry::Draft(intent) => {
                let objects = self.objects.lock();
                let draft = objects.drafts.get(&intent.attempt);
                let (_, bytes) = draft.ok_or_else(|| Error::NotFound(intent.object.clone()))?;
                bytes.len()
            }
        };
        Ok(Stat {
            size_bytes: len as u64,
            modified: None,
        })
    }

    fn object(&self, url: &str) -> Option<String> {
        url.strip_prefix("memory://")
            .and_then(|rest| rest.strip_prefix(self.id.as_str()))
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|image| !image.is_empty() && !image.contains('/'))
            .map(|_| url.to_owned())
    }
}

#[derive(Debug)]
struct MemoryWriter {
    objects: Arc<Mutex<Objects>>,
    attempt: Attempt,
    url: String,
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn write(&mut self, chunk: Chunk<AtRest>) -> Result<()> {
        let mut objects = self.objects.lock();
        let draft = objects.drafts.get_mut(&self.attempt);
        let (_, bytes) = draft.ok_or_else(|| Error::NotFound(self.url.clone()))?;
        bytes.extend_from_slice(chunk.bytes());
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<Published> {
        let mut objects = self.objects.lock();
        let draft = objects.drafts.remove(&self.attempt);
        let (_, bytes) = draft.ok_or_else(|| Error::NotFound(self.url.clone()))?;
        let bytes = Bytes::from(bytes);
        if objects.published.contains_key(&self.url) {
            return Err(Error::AlreadyExists(self.url.clone()));
        }
        let size_bytes = bytes.len() as u64;
        objects
            .published
            .insert(self.url.clone(), (self.attempt, bytes));
        Ok(Published {
            url: self.url.clone(),
            size_bytes,
        })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.objects.lock().drafts.remove(&self.attempt);
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryReader {
    rest: Bytes,
    memory: Admission,
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self) -> Result<Option<Piece>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut buffer = self.memory.buffer().await;
        let len = buffer.fill(&self.rest);
        let _ = self.rest.split_to(len);
        Ok(Some(Piece::Bytes(buffer.freeze::<AtRest>())))
    }
}
