//! A data plane on memory, a sender that does what it is told, and a steward that anybody can
//! make stop.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use fresnel::{
    base::limits::MIB,
    buf::Pool,
    data::{
        self, DeclaredSize, Encryption, Expect, Known, Plane, ReadPlan, Receipt, Result, Settings,
        Source, Steward, StopReason, Target, WritePlan, digest::Engine, egress, encrypt::Vault,
        ingress,
    },
    model::{Attempt, ByteRange, HashAlgorithm, ImageId, StoreId},
    store::{Piece, Registry, Store},
};
use tokio::sync::{oneshot, watch};

/// A plane over some stores, and one image on its way into them.
pub(super) struct Rig {
    pub(super) plane: Plane,
    pub(super) plan: WritePlan,
    pub(super) steward: TestSteward,
}

impl Rig {
    /// Every store is a required target.
    pub(super) async fn new(stores: Vec<Arc<dyn Store>>) -> Self {
        let ids: Vec<StoreId> = stores.iter().map(|store| store.id().clone()).collect();
        let registry = Registry::new(stores, ids[0].clone());
        let image = ImageId::random();
        let mut targets = Vec::new();
        for store in registry.iter() {
            let intent = store.intend(&image, Attempt::random(), None).await;
            targets.push(Target {
                store: store.id().clone(),
                intent: intent.unwrap(),
                required: true,
            });
        }
        Self {
            plane: Plane {
                stores: registry,
                pool: Pool::new(8 * MIB, &ids),
                engine: Engine::new(2).unwrap(),
                vault: Vault::default(),
                settings: Settings::default(),
            },
            plan: WritePlan {
                image,
                size: DeclaredSize::Unknown,
                limit_bytes: u64::MAX,
                targets,
                os_hash_algo: Some(HashAlgorithm::Sha512),
                more_digests: Vec::new(),
                expect: Some(raw()),
                known: Known::default(),
                signature: None,
                encryption: Encryption::None,
            },
            steward: TestSteward::default(),
        }
    }

    pub(super) async fn ingest(&self, mut source: impl Source) -> Result<Vec<Receipt>> {
        ingress::ingest(&self.plane, &self.plan, &mut source, &self.steward).await
    }

    /// What control does after a failure.
    pub(super) async fn discard(&self) {
        for target in &self.plan.targets {
            let store = self.plane.stores.get(&target.store).unwrap();
            store.discard(&target.intent).await.unwrap();
        }
    }

    pub(super) async fn read(&self, receipt: &Receipt, range: ByteRange) -> Result<Vec<u8>> {
        let plan = ReadPlan {
            image: self.plan.image.clone(),
            locations: vec![(receipt.store.clone(), receipt.url.clone())],
            range,
        };
        read(&self.plane, &plan).await
    }
}

/// All bytes of a download.
pub(super) async fn read(plane: &Plane, plan: &ReadPlan) -> Result<Vec<u8>> {
    let mut egress = egress::open(plane, plan).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = egress.next().await? {
        match piece {
            Piece::Bytes(chunk) => bytes.extend_from_slice(chunk.bytes()),
            Piece::File { file, offset, len } => {
                use std::os::unix::fs::FileExt;
                let start = bytes.len();
                bytes.resize(start + len as usize, 0);
                file.read_exact_at(&mut bytes[start..], offset).unwrap();
            }
        }
    }
    Ok(bytes)
}

pub(super) fn raw() -> Expect {
    Expect {
        disk_format: "raw".to_owned(),
        container_format: "bare".to_owned(),
        require_match: true,
        gpt_safety_checks_nonfatal: Vec::new(),
        encrypted: None,
    }
}

/// Bytes that are no format, and differ wherever they are.
pub(super) fn content(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}

/// What a sender does next.
#[derive(Debug)]
pub(super) enum Act {
    Send(Bytes),
    /// The connection breaks.
    Break,
    /// The steward is told, and the sender says nothing more.
    Stop(watch::Sender<Option<StopReason>>, StopReason),
    Pause(Duration),
    /// What was sent before was taken.
    Tell(oneshot::Sender<()>),
    Await(oneshot::Receiver<()>),
    Hang,
}

/// A sender with a script; a clean end after its last act.
pub(super) struct Sender(VecDeque<Act>);

impl Sender {
    pub(super) fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self(acts.into_iter().collect())
    }

    /// Sends `content` in pieces of these lengths, over and over.
    pub(super) fn of(content: &[u8], pieces: &[usize]) -> Self {
        Self::new(cut(content, pieces).into_iter().map(Act::Send))
    }
}

pub(super) fn cut(content: &[u8], pieces: &[usize]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(content);
    let mut lens = pieces.iter().cycle();
    let mut cut = Vec::new();
    while !rest.is_empty() {
        let len = lens
            .next()
            .map_or(rest.len(), |len| (*len).clamp(1, rest.len()));
        cut.push(rest.split_to(len));
    }
    cut
}

#[async_trait]
impl Source for Sender {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.0.pop_front() {
                None => return Ok(None),
                Some(Act::Send(bytes)) => return Ok(Some(bytes)),
                Some(Act::Break) => return Err(io::ErrorKind::ConnectionReset.into()),
                Some(Act::Pause(time)) => tokio::time::sleep(time).await,
                Some(Act::Tell(sender)) => sender.send(()).unwrap(),
                Some(Act::Await(receiver)) => receiver.await.unwrap(),
                Some(Act::Hang) => std::future::pending().await,
                Some(Act::Stop(steward, reason)) => {
                    steward.send_replace(Some(reason));
                    std::future::pending().await
                }
            }
        }
    }
}

pub(super) struct TestSteward {
    pub(super) stop: watch::Sender<Option<StopReason>>,
}

impl Default for TestSteward {
    fn default() -> Self {
        Self {
            stop: watch::Sender::new(None),
        }
    }
}

#[async_trait]
impl Steward for TestSteward {
    async fn advance(&self, _received_bytes: u64) -> Result<(), StopReason> {
        Ok(())
    }

    fn received(&self, _received_bytes: u64) {}

    async fn opened(&self, _attempt: Attempt, _object: &str) -> Result<(), StopReason> {
        Ok(())
    }

    async fn publishable(&self) -> Result<(), StopReason> {
        Ok(())
    }

    async fn stored(&self, _receipt: &Receipt) {}

    async fn stopped(&self) -> StopReason {
        let mut stop = self.stop.subscribe();
        stop.wait_for(Option::is_some).await.unwrap().unwrap()
    }
}

/// Runs one case of a property test.
pub(super) fn run<T>(case: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(case)
}

/// The data plane's error, in one word.
pub(super) fn word(error: &data::Error) -> &'static str {
    match error {
        data::Error::Busy => "busy",
        data::Error::Changed(_) => "changed",
        data::Error::Client(_) => "client",
        data::Error::Container(_) => "container",
        data::Error::Locked(_) => "locked",
        data::Error::Range(_) => "range",
        data::Error::Format(_) => "format",
        data::Error::Lost(_) => "lost",
        data::Error::SizeExceeded { .. } => "exceeded",
        data::Error::SizeMismatch { .. } => "short",
        data::Error::Stopped(_) => "stopped",
        data::Error::Store(_) => "store",
        data::Error::TooSlow => "slow",
        data::Error::TooLarge { .. } => "large",
        data::Error::Signature(_) => "signature",
    }
}
