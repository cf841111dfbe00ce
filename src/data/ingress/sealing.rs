//! The part of an upload that makes a container of plain bytes.

use super::{Intake, Line};
use crate::{
    buf::Buffer,
    data::{
        Encryption, Plane, Result, WritePlan,
        encrypt::{Format, Plain, Sealer},
        signature::Signature,
    },
};

/// A container that is being made.
pub(super) struct Sealing {
    format: Format,
    /// What is still to be written before the payload, which does not follow at once.
    head: Vec<u8>,
    /// Away while it works.
    sealer: Option<Sealer>,
}

impl Sealing {
    /// None where the bytes are stored as they come. Takes a derivation.
    pub(super) async fn begin(plane: &Plane, plan: &WritePlan) -> Result<Option<Self>> {
        let Encryption::Seal(seal) = &plan.encryption else {
            return Ok(None);
        };
        let signed = plan.signature.as_ref().map(Signature::digest);
        let (sealer, head) = Sealer::begin(seal, &plane.vault, signed).await?;
        Ok(Some(Self {
            format: seal.format,
            head,
            sealer: Some(sealer),
        }))
    }

    pub(super) fn sector_bytes(&self) -> usize {
        self.sealer.as_ref().map_or(1, Sealer::sector_bytes)
    }

    pub(super) fn head_bytes(&self) -> u64 {
        self.format.head_bytes()
    }

    pub(super) async fn seal(&mut self, buffer: Buffer) -> Buffer {
        let sealer = self.sealer.take().expect("it came back from the last one");
        let (sealer, buffer) = sealer.seal(buffer).await;
        self.sealer = Some(sealer);
        buffer
    }

    pub(super) fn finish(self) -> (Plain, Option<String>) {
        let sealer = self.sealer.expect("it came back from the last one");
        sealer.finish()
    }
}

impl Intake<'_> {
    /// Bytes that are stored before those that are received.
    pub(super) fn head_bytes(&self) -> u64 {
        self.sealing.as_ref().map_or(0, Sealing::head_bytes)
    }

    /// Writes what a container has before its payload.
    pub(super) async fn write_head(&mut self, lines: &mut [Line<'_>]) -> Result<()> {
        let Some(sealing) = &mut self.sealing else {
            return Ok(());
        };
        let head = std::mem::take(&mut sealing.head);
        let mut rest = &head[..];
        while self.stored_bytes < self.head_bytes() {
            let mut buffer = self.free_buffer(lines).await?;
            rest = &rest[buffer.fill(rest)..];
            let buffer = Sealer::fill(buffer).await;
            self.store(buffer.freeze(), lines).await?;
        }
        Ok(())
    }
}
