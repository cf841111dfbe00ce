//! The upload: one loop from a [`Source`] to the stores.
//!
//! Back-pressure has no mechanism of its own: while there is no buffer, or a hash lane or a writer
//! is full, the loop does not ask the source, and TCP does the rest.

mod sealing;

use std::{io, time::Duration};

use bytes::{Buf, Bytes};
use futures_util::future::join_all;
use tokio::{
    pin, select,
    task::spawn_blocking,
    time::{self, Instant},
};
use tracing::warn;

use super::{
    DeclaredSize, Encryption, Error, Plane, Receipt, Result, Source, Steward, Target, WritePlan,
    digest,
    encrypt::{self, Probe},
    inspect::Inspection,
    signature::Signature,
};
use crate::{
    base::{limits::MIB, pace::Pace},
    buf::{Admission, AtRest, Buffer, Chunk},
    model::{Digests, HashAlgorithm},
    store::{self, Writer},
};

use sealing::Sealing;

pub use crate::base::pace::PACE_WINDOW;

/// After this much silence, a buffer that was borrowed for a sender is written as it is.
const STALL: Duration = Duration::from_secs(2);
/// The steward hears of progress at most this often, or every [`REPORT_BYTES`].
const REPORT_EVERY: Duration = Duration::from_secs(1);
const REPORT_BYTES: u64 = 64 * MIB as u64;

/// Moves all bytes of `source` into the targets of `plan` and publishes them there.
///
/// Stops at once when the steward says so, whatever it waits for. After an error nothing is open
/// any more and unpublished bytes are removed; what a commit may have published meanwhile, the
/// caller discards ([`crate::store::Store::discard`]), because only control knows whether the
/// attempt is still its own.
///
/// # Errors
/// Every variant of [`Error`]; see there.
pub async fn ingest(
    plane: &Plane,
    plan: &WritePlan,
    source: &mut dyn Source,
    steward: &dyn Steward,
) -> Result<Vec<Receipt>> {
    let lines = plan.targets.iter();
    let mut lines: Vec<Line> = lines.map(|target| Line::new(target, steward)).collect();
    let outcome = select! {
        biased;
        reason = steward.stopped() => Err(Error::Stopped(reason)),
        outcome = Box::pin(carry(plane, plan, source, steward, &mut lines)) => outcome,
    };
    if outcome.is_err() {
        join_all(lines.iter_mut().map(Line::abort)).await;
    }
    outcome
}

/// The upload, as if nobody could stop it.
async fn carry(
    plane: &Plane,
    plan: &WritePlan,
    source: &mut dyn Source,
    steward: &dyn Steward,
    lines: &mut [Line<'_>],
) -> Result<Vec<Receipt>> {
    if let DeclaredSize::Exact(bytes) = plan.stored_size() {
        plan.within_limit(bytes)?;
    }
    let gathers = |target: &&Target| plan.gathers_bytes(plane, target);
    // Admitted with the memory of the store that must gather the most, of equal ones the first.
    let hungriest = plan.targets.iter().rev().max_by_key(gathers);
    let hungriest = hungriest.expect("a plan has a target");
    // First: nobody waits for a derivation with buffers in hand.
    let sealing = Sealing::begin(plane, plan).await?;
    let (gathered, wait) = (gathers(&hungriest), plane.settings.admission_wait);
    let admission = plane.pool.admit_gathering(&hungriest.store, gathered, wait);
    let admission = admission.await.map_err(|_| Error::Busy)?;
    let mut intake = Intake::new(plane, plan, admission, sealing);
    for line in lines.iter_mut() {
        line.open(plane, plan).await?;
        if let Some(object) = line.object() {
            steward.opened(line.target.intent.attempt, object).await?;
        }
    }
    intake.write_head(lines).await?;
    while let Some(mut bytes) = intake.receive(source, lines).await? {
        let counted = intake.count(bytes.len() as u64);
        steward.received(intake.received_bytes);
        counted?;
        if intake.is_report_due() {
            intake.report(steward).await?;
        }
        while let Some(buffer) = intake.pack(&mut bytes, lines).await? {
            intake.pass_on(buffer, lines).await?;
        }
    }
    intake.flush(lines).await?;
    intake.report(steward).await?;
    let sums = intake.finish().await?;
    plan.holds(sums.digests.as_ref())?;
    steward.publishable().await?;
    publish(lines, &sums).await
}

/// What an upload's bytes came to.
struct Sums {
    size_bytes: u64,
    digests: Option<Digests>,
    more_digests: Vec<String>,
    virtual_size_bytes: Option<u64>,
    plain: Option<encrypt::Plain>,
}

/// The receiving side: counts, packs into buffers, encrypts, hashes.
struct Intake<'a> {
    plan: &'a WritePlan,
    admission: Admission,
    /// A store has to gather: what is short only takes room there.
    gathers: bool,
    buffer: Option<Buffer>,
    inspection: Option<Inspection>,
    /// Of bytes that must be a container.
    probe: Option<Probe>,
    /// Of bytes that become one.
    sealing: Option<Sealing>,
    digests: digest::Stream,
    lag: Duration,
    pace: Pace,
    received_bytes: u64,
    stored_bytes: u64,
    reported_bytes: u64,
    reported_at: Instant,
}

impl<'a> Intake<'a> {
    fn new(
        plane: &Plane,
        plan: &'a WritePlan,
        admission: Admission,
        sealing: Option<Sealing>,
    ) -> Self {
        let probe = match &plan.encryption {
            Encryption::Check(check) => Some(Probe::new(check.clone(), plane.vault.clone())),
            Encryption::None | Encryption::Seal(_) => None,
        };
        Self {
            plan,
            admission,
            gathers: (plan.targets.iter()).any(|target| plan.gathers_bytes(plane, target) > 0),
            buffer: None,
            inspection: plan.expect.as_ref().map(Inspection::new),
            probe,
            sealing,
            digests: plane.engine.open(&plan.algorithms()),
            lag: plane.settings.lag_max,
            pace: Pace::new(plane.settings.min_rate_bytes_per_second),
            received_bytes: 0,
            stored_bytes: 0,
            reported_bytes: 0,
            reported_at: Instant::now(),
        }
    }

    /// The sender's next bytes. Meanwhile a borrowed buffer is not kept waiting for long.
    async fn receive(
        &mut self,
        source: &mut dyn Source,
        lines: &mut [Line<'_>],
    ) -> Result<Option<Bytes>> {
        let next = source.next();
        pin!(next);
        loop {
            let asked_at = Instant::now();
            let received = select! {
                biased;
                received = &mut next => Some(received.map_err(Error::Client)?),
                () = time::sleep(STALL) => None,
            };
            let bytes = received.as_ref().and_then(Option::as_ref);
            self.pace
                .waited(asked_at.elapsed(), bytes.map_or(0, Bytes::len))?;
            if let Some(received) = received {
                return Ok(received);
            }
            if self.admission.is_borrowing() {
                if !self.gathers {
                    self.flush_sectors(lines).await?;
                }
                spill(lines).await?;
            }
        }
    }

    /// Holds the sender to what it declared and to the limit.
    fn count(&mut self, bytes: u64) -> Result<()> {
        self.received_bytes += bytes;
        self.plan
            .within_limit(self.head_bytes() + self.received_bytes)?;
        match self.plan.size {
            DeclaredSize::Exact(expected_bytes) if expected_bytes < self.received_bytes => {
                Err(Error::SizeExceeded {
                    expected_bytes,
                    received_bytes: self.received_bytes,
                })
            }
            DeclaredSize::Exact(_) | DeclaredSize::Hint(_) | DeclaredSize::Unknown => Ok(()),
        }
    }

    fn is_report_due(&self) -> bool {
        self.received_bytes - self.reported_bytes >= REPORT_BYTES
            || self.reported_at.elapsed() >= REPORT_EVERY
    }

    async fn report(&mut self, steward: &dyn Steward) -> Result<()> {
        self.reported_bytes = self.received_bytes;
        self.reported_at = Instant::now();
        Ok(steward
            .advance(self.head_bytes() + self.received_bytes)
            .await?)
    }

    /// Takes from `bytes` into the buffer; gives it each time that it is full.
    async fn pack(&mut self, bytes: &mut Bytes, lines: &mut [Line<'_>]) -> Result<Option<Buffer>> {
        while !bytes.is_empty() {
            let mut buffer = match self.buffer.take() {
                Some(buffer) => buffer,
                None => self.free_buffer(lines).await?,
            };
            bytes.advance(buffer.fill(bytes));
            if buffer.is_full() {
                return Ok(Some(buffer));
            }
            self.buffer = Some(buffer);
        }
        Ok(None)
    }

    /// An empty buffer. Nobody waits for one while a writer gathers: what it holds back may be all
    /// that there is.
    async fn free_buffer(&mut self, lines: &mut [Line<'_>]) -> Result<Buffer> {
        if let Some(buffer) = self.admission.try_buffer() {
            return Ok(buffer);
        }
        spill(lines).await?;
        Ok(self.admission.buffer().await)
    }

    async fn flush(&mut self, lines: &mut [Line<'_>]) -> Result<()> {
        match self.buffer.take() {
            Some(buffer) => self.pass_on(buffer, lines).await,
            None => Ok(()),
        }
    }

    /// Hands on what was received, and keeps what fills no sector.
    async fn flush_sectors(&mut self, lines: &mut [Line<'_>]) -> Result<()> {
        let sector_bytes = self.sealing.as_ref().map_or(1, Sealing::sector_bytes);
        let Some(mut buffer) = self.buffer.take() else {
            return Ok(());
        };
        let rest = buffer.split_off(buffer.len() - buffer.len() % sector_bytes);
        if !buffer.is_empty() {
            self.pass_on(buffer, lines).await?;
        }
        if !rest.is_empty() {
            let mut buffer = self.free_buffer(lines).await?;
            buffer.fill(&rest);
            self.buffer = Some(buffer);
        }
        Ok(())
    }

    /// Looks at what arrived, encrypts it where it is to be, and stores it.
    async fn pass_on(&mut self, mut buffer: Buffer, lines: &mut [Line<'_>]) -> Result<()> {
        if let Some(inspection) = &mut self.inspection {
            inspection.feed(&buffer);
        }
        if let Some(probe) = &mut self.probe {
            probe.feed(&buffer).await;
        }
        if let Some(sealing) = &mut self.sealing {
            buffer = sealing.seal(buffer).await;
        }
        self.store(buffer.freeze(), lines).await
    }

    /// Hands a chunk to the digests and to every writer, side by side.
    async fn store(&mut self, chunk: Chunk<AtRest>, lines: &mut [Line<'_>]) -> Result<()> {
        self.stored_bytes += chunk.len() as u64;
        let hashed = Chunk::new(chunk.bytes().clone());
        let alone = lines.iter().filter(|line| line.writer.is_some()).count() == 1;
        let lag = (!alone).then_some(self.lag);
        let writes = lines.iter_mut();
        let writes = join_all(writes.map(|line| line.write(chunk.clone(), lag)));
        let ((), written) = tokio::join!(self.digests.feed(&hashed), writes);
        written.into_iter().collect::<Result<(), _>>()?;
        some_line_left(lines)
    }

    async fn finish(self) -> Result<Sums> {
        if let DeclaredSize::Exact(expected_bytes) = self.plan.size
            && self.received_bytes < expected_bytes
        {
            return Err(Error::SizeMismatch {
                expected_bytes,
                received_bytes: self.received_bytes,
            });
        }
        let algorithms = self.plan.algorithms().into_iter();
        let found: Vec<_> = algorithms.zip(self.digests.finish().await).collect();
        let of = |algorithm| {
            let found = found.iter().find(|(known, _)| *known == algorithm);
            let (_, digest) = found.expect("what the plan needs was opened");
            digest.clone()
        };
        let head_bytes = self.sealing.as_ref().map(Sealing::head_bytes);
        let (plain, signed) = self.sealing.map(Sealing::finish).unzip();
        // Before the content is judged, as in Glance.
        if let Some(signature) = self.plan.signature.clone() {
            let signed = signed.flatten();
            let signed = signed.unwrap_or_else(|| of(signature.digest()));
            verify(signature, signed).await?;
        }
        let payload_bytes = match self.probe {
            Some(probe) => probe.finish(self.stored_bytes).map_err(Error::Container)?,
            None => head_bytes.map(|head| self.stored_bytes - head),
        };
        let verdict = self.inspection.map(Inspection::finish).transpose()?;
        for warning in verdict.iter().flat_map(|verdict| &verdict.warnings) {
            warn!(image.id = %self.plan.image, %warning, "Accepted an image with a warning");
        }
        let digests = self.plan.os_hash_algo.map(|os_hash_algo| Digests {
            checksum: of(HashAlgorithm::Md5),
            os_hash_algo,
            os_hash_value: of(os_hash_algo),
        });
        let more_digests = self
            .plan
            .more_digests
            .iter()
            .map(|algorithm| of(*algorithm));
        let more_digests = more_digests.collect();
        let virtual_size_bytes = verdict.and_then(|verdict| verdict.virtual_size_bytes);
        Ok(Sums {
            size_bytes: self.stored_bytes,
            digests,
            more_digests,
            virtual_size_bytes: payload_bytes
                .filter(|bytes| *bytes > 0)
                .or(virtual_size_bytes),
            plain,
        })
    }
}

/// One target's way through the upload.
struct Line<'a> {
    target: &'a Target,
    steward: &'a dyn Steward,
    /// None before it is opened, and once it is committed, aborted or lost.
    writer: Option<Box<dyn Writer>>,
    lost: Option<Error>,
}

impl<'a> Line<'a> {
    fn new(target: &'a Target, steward: &'a dyn Steward) -> Self {
        Self {
            target,
            steward,
            writer: None,
            lost: None,
        }
    }

    async fn open(&mut self, plane: &Plane, plan: &WritePlan) -> Result<()> {
        let (intent, size) = (&self.target.intent, plan.stored_size());
        let opened = match plane.stores.get(&self.target.store) {
            Some(store) => match store.writer(intent, size.hint()).await {
                // Of a hint that has no room, only the bytes that come will tell.
                Err(store::Error::Full(_)) if matches!(size, DeclaredSize::Hint(_)) => {
                    store.writer(intent, None).await
                }
                opened => opened,
            },
            None => Err(store::Error::Unavailable(self.target.store.clone())),
        };
        match opened {
            Ok(writer) => {
                self.writer = Some(writer);
                Ok(())
            }
            Err(error) => self.lose(error),
        }
    }

    /// What it really writes, where that was not known before.
    fn object(&self) -> Option<&str> {
        self.writer.as_ref()?.object()
    }

    /// A writer accepts a chunk at once while its window has room. One that has had none for as
    /// long as `lag`, while others wait for it, is lost if the upload can do without.
    async fn write(&mut self, chunk: Chunk<AtRest>, lag: Option<Duration>) -> Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let written = match lag.filter(|_| !self.target.required) {
            None => writer.write(chunk).await,
            Some(lag) => {
                let in_time = time::timeout(lag, writer.write(chunk)).await;
                in_time.unwrap_or_else(|_| Err(self.too_slow()))
            }
        };
        self.went(written).await
    }

    fn too_slow(&self) -> store::Error {
        store::Error::Backend {
            store: self.target.store.clone(),
            source: io::Error::new(io::ErrorKind::TimedOut, "the store does not keep up"),
        }
    }

    async fn spill(&mut self) -> Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let spilled = writer.spill().await;
        self.went(spilled).await
    }

    async fn went(&mut self, outcome: Result<(), store::Error>) -> Result<()> {
        let Err(error) = outcome else {
            return Ok(());
        };
        self.abort().await;
        self.lose(error)
    }

    /// Publishes, and says so at once: others may take longer.
    async fn commit(&mut self, sums: &Sums) -> Result<Option<Receipt>> {
        let Some(writer) = self.writer.take() else {
            return Ok(None);
        };
        let published = match writer.commit().await {
            Ok(published) => published,
            Err(error) => return self.lose(error).map(|()| None),
        };
        let receipt = Receipt {
            store: self.target.store.clone(),
            url: published.url,
            size_bytes: sums.size_bytes,
            digests: sums.digests.clone(),
            more_digests: sums.more_digests.clone(),
            virtual_size_bytes: sums.virtual_size_bytes,
            plain: sums.plain.clone(),
        };
        self.steward.stored(&receipt).await;
        Ok(Some(receipt))
    }

    async fn abort(&mut self) {
        if let Some(writer) = self.writer.take()
            && let Err(error) = writer.abort().await
        {
            let store = &self.target.store;
            let object = &self.target.intent.object;
            warn!(store.id = %store, object, %error, "Could not remove a failed upload's bytes; the sweep will");
        }
    }

    /// A target that is not required may be lost without the upload.
    fn lose(&mut self, error: store::Error) -> Result<()> {
        let error = Error::Store(error);
        self.steward.lost(&self.target.store, &error);
        if self.target.required {
            return Err(error);
        }
        let store = &self.target.store;
        warn!(store.id = %store, %error, "Upload goes on without a store");
        self.lost = Some(error);
        Ok(())
    }
}

/// No writer keeps what it could hand on.
async fn spill(lines: &mut [Line<'_>]) -> Result<()> {
    let spilled = join_all(lines.iter_mut().map(Line::spill)).await;
    spilled.into_iter().collect::<Result<(), _>>()?;
    some_line_left(lines)
}

/// Publishes every line that is left.
async fn publish(lines: &mut [Line<'_>], sums: &Sums) -> Result<Vec<Receipt>> {
    let commits = join_all(lines.iter_mut().map(|line| line.commit(sums))).await;
    let mut receipts = Vec::new();
    for committed in commits {
        receipts.extend(committed?);
    }
    some_line_left(lines)?;
    Ok(receipts)
}

/// An upload that has lost its last store has failed, required or not.
fn some_line_left(lines: &mut [Line<'_>]) -> Result<()> {
    if lines.iter().any(|line| line.lost.is_none()) {
        return Ok(());
    }
    let lost = lines.iter_mut().find_map(|line| line.lost.take());
    Err(lost.expect("every line is lost"))
}

/// On a thread that may compute.
async fn verify(signature: Signature, digest: String) -> Result<()> {
    let verified = spawn_blocking(move || signature.verify(&digest)).await;
    let verified = verified.expect("verifying does not panic, and is not cancelled");
    verified.map_err(Error::Signature)
}

impl WritePlan {
    /// What is known of the size of what is stored.
    fn stored_size(&self) -> DeclaredSize {
        self.encryption.stored(self.size)
    }

    fn gathers_bytes(&self, plane: &Plane, target: &Target) -> usize {
        let store = plane.stores.get(&target.store);
        store.map_or(0, |store| store.gathers_bytes(self.stored_size().hint()))
    }

    /// The digests of what is stored that are needed, each once. A signature is of what is sent.
    fn algorithms(&self) -> Vec<HashAlgorithm> {
        let signed = match self.encryption {
            Encryption::None | Encryption::Check(_) => self.signature.as_ref(),
            Encryption::Seal(_) => None,
        };
        let signed = signed.map(Signature::digest);
        let md5 = self.os_hash_algo.map(|_| HashAlgorithm::Md5);
        let mut needed = Vec::new();
        let known = [md5, self.os_hash_algo, signed].into_iter().flatten();
        for algorithm in known.chain(self.more_digests.iter().copied()) {
            if !needed.contains(&algorithm) {
                needed.push(algorithm);
            }
        }
        needed
    }

    fn holds(&self, digests: Option<&Digests>) -> Result<()> {
        let Some(digests) = digests else {
            return Ok(());
        };
        let is = |known: &Option<String>, found: &String| known.as_ref().is_none_or(|k| k == found);
        let holds = is(&self.known.checksum, &digests.checksum)
            && is(&self.known.os_hash_value, &digests.os_hash_value);
        holds
            .then_some(())
            .ok_or_else(|| Error::Changed(self.image.clone()))
    }

    fn within_limit(&self, bytes: u64) -> Result<()> {
        if bytes <= self.limit_bytes {
            return Ok(());
        }
        Err(Error::TooLarge {
            limit_bytes: self.limit_bytes,
        })
    }
}
