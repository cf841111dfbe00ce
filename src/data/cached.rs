//! A download through the cache: what is there is sent from it, what is missing is fetched into it
//! once, beside all who read.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::spawn_blocking,
};
use tracing::warn;

use super::{Source, StoreError, digest::Engine};
use crate::{
    base::limits::MIB,
    buf::{Chunk, Plain},
    cache::{Cache, Fill, Flow, Key, Next, Proof, Reader},
    model::ByteRange,
    store::{self, Piece},
};

/// Pieces on their way from an origin to the thread that writes them: frames of 16 KiB, or whole buffers.
const PIECES_AHEAD: usize = 64;
/// Their bytes.
const BYTES_AHEAD: usize = 4 * MIB;
/// What is written at once, where so much has come.
const WRITE_BYTES: usize = MIB;
/// Bytes of a cached image that are hashed at a time.
const PROOF_BYTES: usize = MIB;
/// So many such are read ahead of those that are hashed.
const PROOF_AHEAD: usize = 1;

/// Where the bytes come from that the cache does not have.
#[async_trait]
pub trait Origin: Send + Sync + 'static {
    /// Opens a range of the image: the source gives exactly its bytes. `None` where the origin turns
    /// out to give no ranges; then [`Origin::seeks`] is false from now on, and it gives the whole image
    /// alone.
    async fn open(&self, range: ByteRange) -> Result<Option<Box<dyn Source>>, StoreError>;

    /// Whether it gives ranges, as far as is known.
    fn seeks(&self) -> bool;
}

/// What a download through the cache needs.
#[derive(Clone)]
pub struct Through {
    /// Where bytes are kept.
    pub cache: Cache,
    /// What proves them.
    pub engine: Engine,
    /// Where they come from.
    pub origin: Arc<dyn Origin>,
    /// What they are.
    pub key: Key,
    /// All of the image's bytes.
    pub size_bytes: u64,
}

/// Reads a range of an image that the cache may have in part.
pub struct CachedReader {
    through: Through,
    reader: Reader,
    /// Given before anything else: what showed that there is something to send.
    first: Option<Piece>,
    /// The rest, where it does not come through the cache.
    past: Option<Box<dyn Source>>,
}

impl CachedReader {
    /// Opens the range, and waits for its first bytes, so that what is wrong with the origin is known
    /// before the headers go out. `None` where such an image is not cached.
    ///
    /// # Errors
    /// The origin's, of whatever is missing at the beginning.
    pub async fn open(through: Through, range: ByteRange) -> Result<Option<Self>, StoreError> {
        let reader = through.cache.read(&through.key, through.size_bytes, range);
        let Some(reader) = reader.await else {
            return Ok(None);
        };
        let mut opened = Self {
            through,
            reader,
            first: None,
            past: None,
        };
        opened.first = opened.piece().await?;
        Ok(Some(opened))
    }

    async fn piece(&mut self) -> Result<Option<Piece>, StoreError> {
        loop {
            if let Some(source) = &mut self.past {
                return piece_of(source).await;
            }
            let seeks = self.through.origin.seeks();
            match self.reader.next(seeks).await {
                Next::Window { file, offset, len } => {
                    return Ok(Some(Piece::File { file, offset, len }));
                }
                Next::Missing(fill) => begin(&self.through, fill).await?,
                Next::Refused(rest) => self.past = Some(past(&self.through, rest).await?),
                Next::End => return Ok(None),
            }
        }
    }
}

/// Has a whole image in the cache, for nobody who waits, and proves it. False where it is not kept, or
/// finds no room.
///
/// # Errors
/// The origin's, of what is missing.
pub async fn prefetch(through: &Through) -> Result<bool, StoreError> {
    let Through {
        cache,
        engine,
        origin,
        key,
        size_bytes,
    } = through;
    let Some(mut reader) = cache.prefetch(key, *size_bytes).await else {
        return Ok(false);
    };
    loop {
        match reader.next(origin.seeks()).await {
            Next::Window { .. } => {}
            Next::Missing(fill) => begin(through, fill).await?,
            Next::Refused(_) => return Ok(false),
            Next::End => break,
        }
    }
    prove(cache, engine, key).await;
    Ok(true)
}

/// Proves what an earlier process had whole and had not proven.
pub async fn prove_all(cache: Cache, engine: Engine) {
    for key in cache.unproven() {
        prove(&cache, &engine, &key).await;
    }
}

/// Opens the origin here, so that its error is the reader's own; what follows is nobody's in
/// particular.
async fn begin(through: &Through, fill: Fill) -> Result<(), StoreError> {
    if let Some(source) = through.origin.open(fill.range()).await? {
        tokio::spawn(fetch(through.clone(), fill, source));
    }
    Ok(())
}

/// The origin itself, from there on.
async fn past(through: &Through, rest: ByteRange) -> Result<Box<dyn Source>, StoreError> {
    let origin = &through.origin;
    if origin.seeks()
        && let Some(source) = origin.open(rest).await?
    {
        return Ok(source);
    }
    let source = origin.open(ByteRange::whole(through.size_bytes)).await?;
    let source = source.ok_or_else(|| corrupt("the origin gives not even the whole image"))?;
    Ok(Box::new(Cut {
        source,
        before_bytes: rest.offset,
        left_bytes: rest.len,
    }))
}

#[async_trait]
impl store::Reader for CachedReader {
    async fn next(&mut self) -> store::Result<Option<Piece>> {
        match self.first.take() {
            Some(piece) => Ok(Some(piece)),
            None => self.piece().await,
        }
    }
}

async fn piece_of(source: &mut Box<dyn Source>) -> Result<Option<Piece>, StoreError> {
    let bytes = source.next().await.map_err(|error| {
        warn!(%error, "An origin broke off");
        corrupt("the origin broke off")
    })?;
    Ok(bytes.map(|bytes| Piece::Bytes(Chunk::new(bytes))))
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

/// Fetches what is missing, for whoever reads it. A thread writes what this task receives, so that
/// neither waits for the other more than it must.
async fn fetch(through: Through, fill: Fill, mut source: Box<dyn Source>) {
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let room = Arc::new(Semaphore::new(BYTES_AHEAD));
    let (image, pace) = (through.key.image().clone(), fill.pace());
    let writing = spawn_blocking(move || write(fill, pieces));
    loop {
        match source.next().await {
            Ok(Some(bytes)) => {
                let len = bytes.len();
                let taken = len.min(BYTES_AHEAD) as u32;
                let taken = room.clone().acquire_many_owned(taken).await;
                let taken = taken.expect("it is never closed");
                if sender.send((bytes, taken)).await.is_err() {
                    break;
                }
                pace.wait(len).await;
            }
            Ok(None) => break,
            Err(error) => {
                warn!(image.id = %image, %error, "Could not fetch an image into the cache");
                break;
            }
        }
    }
    drop(sender);
    drop(source);
    if let Ok(Err(error)) = writing.await {
        warn!(image.id = %image, %error, "The cache's disk takes no more of an image");
    }
    prove(&through.cache, &through.engine, &through.key).await;
}

/// A piece, and the room that it takes until it is written.
type Coming = (Bytes, OwnedSemaphorePermit);

/// Writes pieces as long as they are wanted. What has come together is written together.
fn write(mut fill: Fill, mut pieces: mpsc::Receiver<Coming>) -> std::io::Result<()> {
    while let Some((first, mut taken)) = pieces.blocking_recv() {
        let mut total = first.len();
        let mut together = vec![first];
        while total < WRITE_BYTES
            && let Ok((more, also)) = pieces.try_recv()
        {
            total += more.len();
            together.push(more);
            taken.merge(also);
        }
        if fill.write(&together)? == Flow::Done {
            break;
        }
    }
    Ok(())
}

/// Hashes an entry that has become whole; one that is another image is gone after this.
async fn prove(cache: &Cache, engine: &Engine, key: &Key) {
    let Some(proof) = cache.proof(key).await else {
        return;
    };
    let stream = engine.open(&[key.algorithm()]);
    let (sender, mut chunks) = mpsc::channel(PROOF_AHEAD);
    let reading = spawn_blocking(move || read(proof, &sender));
    while let Some(chunk) = chunks.recv().await {
        stream.feed(&chunk).await;
    }
    match reading.await {
        Ok(Ok(proof)) => {
            let found = stream.finish().await;
            drop(spawn_blocking(move || proof.end(&found[0])).await);
        }
        Ok(Err(error)) => warn!(image.id = %key.image(), %error, "Could not read a cached image"),
        // Its panic was told by the panic hook.
        Err(_) => {}
    }
}

/// All bytes of an entry, in order. Blocks.
fn read(proof: Proof, sender: &mpsc::Sender<Chunk<Plain>>) -> std::io::Result<Proof> {
    let (size_bytes, mut at) = (proof.size_bytes(), 0);
    while at < size_bytes {
        let mut bytes = vec![0; (size_bytes - at).min(PROOF_BYTES as u64) as usize];
        proof.read(&mut bytes, at)?;
        at += bytes.len() as u64;
        // Nobody hears it when the proof is given up.
        if sender.blocking_send(Chunk::new(bytes.into())).is_err() {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
    }
    Ok(proof)
}

/// Some of a source's bytes.
struct Cut {
    source: Box<dyn Source>,
    before_bytes: u64,
    left_bytes: u64,
}

#[async_trait]
impl Source for Cut {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        while self.left_bytes > 0 {
            let Some(mut bytes) = self.source.next().await? else {
                return Ok(None);
            };
            let passed = self.before_bytes.min(bytes.len() as u64) as usize;
            self.before_bytes -= passed as u64;
            drop(bytes.split_to(passed));
            let wanted = self.left_bytes.min(bytes.len() as u64) as usize;
            bytes.truncate(wanted);
            self.left_bytes -= wanted as u64;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
