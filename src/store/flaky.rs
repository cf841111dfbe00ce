//! A store that fails once, at a chosen operation: what stands on stores is tested with it, one
//! operation after the other.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Entry, Error, Intent, Piece, Published, Reader, Result, Stat, Store, Writer};
use crate::{
    buf::{AtRest, Chunk, Claim},
    model::{Attempt, ByteRange, ImageId, StoreId},
};

/// Which operation fails, counted from 0 over the store and its writers and readers, and how.
/// What fails is [`Error::Unavailable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing.
    Before(usize),
    /// It does what it should, but its answer is lost.
    After(usize),
}

/// Another store, with a fault.
#[derive(Debug)]
pub struct Flaky {
    inner: Arc<dyn Store>,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Faults {
    store: StoreId,
    fault: Fault,
    operations: AtomicUsize,
}

impl Flaky {
    /// `inner`, but for the fault.
    pub fn new(inner: Arc<dyn Store>, fault: Fault) -> Self {
        let faults = Faults {
            store: inner.id().clone(),
            fault,
            operations: AtomicUsize::new(0),
        };
        Self {
            inner,
            faults: Arc::new(faults),
        }
    }

    /// Operations begun so far: when it is not more than the fault's, nothing has failed.
    pub fn operations(&self) -> usize {
        self.faults.operations.load(Ordering::Relaxed)
    }
}

impl Faults {
    async fn pass<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.operations.fetch_add(1, Ordering::Relaxed);
        if self.fault == Fault::Before(number) {
            return Err(Error::Unavailable(self.store.clone()));
        }
        let result = operation.await;
        if self.fault == Fault::After(number) {
            return Err(Error::Unavailable(self.store.clone()));
        }
        result
    }
}

#[async_trait]
impl Store for Flaky {
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
        let intent = self.inner.intend(image, attempt, size_bytes);
        self.faults.pass(intent).await
    }

    async fn writer(&self, intent: &Intent, size_bytes: Option<u64>) -> Result<Box<dyn Writer>> {
        let writer = self.inner.writer(intent, size_bytes);
        Ok(Box::new(FlakyWriter {
            inner: self.faults.pass(writer).await?,
            faults: self.faults.clone(),
        }))
    }

    fn gathers_bytes(&self, size_bytes: Option<u64>) -> usize {
        self.inner.gathers_bytes(size_bytes)
    }

    async fn reader(&self, url: &str, range: ByteRange, memory: Claim) -> Result<Box<dyn Reader>> {
        let reader = self.inner.reader(url, range, memory);
        Ok(Box::new(FlakyReader {
            inner: self.faults.pass(reader).await?,
            faults: self.faults.clone(),
        }))
    }

    async fn size(&self, url: &str) -> Result<u64> {
        self.faults.pass(self.inner.size(url)).await
    }

    async fn delete(&self, url: &str) -> Result<()> {
        self.faults.pass(self.inner.delete(url)).await
    }

    async fn discard(&self, intent: &Intent) -> Result<()> {
        self.faults.pass(self.inner.discard(intent)).await
    }

    fn object(&self, url: &str) -> Option<String> {
        self.inner.object(url)
    }

    fn owns(&self, url: &str) -> bool {
        self.inner.owns(url)
    }

    async fn in_use(&self, url: &str) -> Result<bool> {
        self.faults.pass(self.inner.in_use(url)).await
    }

    async fn list(&self, found: mpsc::Sender<Entry>) -> Result<()> {
        self.faults.pass(self.inner.list(found)).await
    }

    async fn stat(&self, entry: &Entry) -> Result<Stat> {
        self.faults.pass(self.inner.stat(entry)).await
    }
}

struct FlakyWriter {
    inner: Box<dyn Writer>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Writer for FlakyWriter {
    async fn write(&mut self, chunk: Chunk<AtRest>) -> Result<()> {
        self.faults.pass(self.inner.write(chunk)).await
    }

    // Not counted: when it is called depends on who else needs memory.
    async fn spill(&mut self) -> Result<()> {
        self.inner.spill().await
    }

    fn object(&self) -> Option<&str> {
        self.inner.object()
    }

    async fn commit(self: Box<Self>) -> Result<Published> {
        self.faults.pass(self.inner.commit()).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.faults.pass(self.inner.abort()).await
    }
}

struct FlakyReader {
    inner: Box<dyn Reader>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Reader for FlakyReader {
    async fn next(&mut self) -> Result<Option<Piece>> {
        self.faults.pass(self.inner.next()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{conformance, memory::MemoryStore};

    /// Whatever fails, and however: discard cleans up after it.
    #[tokio::test]
    async fn an_upload_that_fails_anywhere_is_discarded() {
        for fault in [Fault::Before, Fault::After] {
            for number in 0.. {
                let memory = Arc::new(MemoryStore::new(StoreId::new("memory")));
                let store = Flaky::new(memory.clone(), fault(number));
                let image = ImageId::random();
                let intent = memory.intend(&image, Attempt::random(), None);
                let intent = intent.await.unwrap();
                let published = upload(&store, &intent).await;
                if store.operations() <= number {
                    assert_eq!((number, published.unwrap().size_bytes), (3, 5));
                    break;
                }
                assert!(matches!(published, Err(Error::Unavailable(_))));
                memory.discard(&intent).await.unwrap();
                assert!(memory.is_empty());
            }
        }
    }

    #[tokio::test]
    async fn without_its_fault_it_conforms() {
        let memory = Arc::new(MemoryStore::new(StoreId::new("memory")));
        conformance::all(&Flaky::new(memory, Fault::Before(usize::MAX))).await;
    }

    async fn upload(store: &Flaky, intent: &Intent) -> Result<Published> {
        let mut writer = store.writer(intent, None).await?;
        writer.write(Chunk::new("bytes".into())).await?;
        writer.commit().await
    }
}
