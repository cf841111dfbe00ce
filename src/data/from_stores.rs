//! The stores as an origin of the cache.

use std::{fs::File, io, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Error, Plane, ReadPlan, Source, StoreError,
    cached::Origin,
    egress::{self, Egress},
    readahead,
};
use crate::{buf::Admission, model::ByteRange, store::Piece};

/// An image in the stores, wherever it can be read.
pub struct FromStores {
    plane: Arc<Plane>,
    plan: ReadPlan,
}

impl FromStores {
    /// The range of the plan does not matter.
    pub fn new(plane: Arc<Plane>, plan: ReadPlan) -> Self {
        Self { plane, plan }
    }
}

#[async_trait]
impl Origin for FromStores {
    async fn open(&self, range: ByteRange) -> Result<Option<Box<dyn Source>>, StoreError> {
        let plan = ReadPlan {
            range,
            ..self.plan.clone()
        };
        let egress = egress::open(&self.plane, &plan).await.map_err(of_store)?;
        Ok(Some(Box::new(Bits {
            plane: self.plane.clone(),
            egress: egress.for_reading(),
            memory: None,
            file: None,
        })))
    }

    fn seeks(&self) -> bool {
        true
    }
}

/// What opening a download may say, as a store says it.
pub(super) fn of_store(error: Error) -> StoreError {
    match error {
        Error::Busy => StoreError::NoBuffers,
        Error::Lost(image) => StoreError::NotFound(image.to_string()),
        Error::Store(error) => error,
        other => StoreError::Corrupt(other.to_string()),
    }
}

/// A download's pieces as bytes: files are read.
struct Bits {
    plane: Arc<Plane>,
    egress: Egress,
    memory: Option<Admission>,
    /// The rest of a piece of a file.
    file: Option<(Arc<File>, ByteRange)>,
}

#[async_trait]
impl Source for Bits {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some((file, rest)) = self.file.take_if(|(_, rest)| rest.len > 0) {
                return self.read(file, rest).await.map(Some);
            }
            match self.egress.next().await.map_err(io::Error::other)? {
                None => return Ok(None),
                Some(Piece::Bytes(chunk)) => return Ok(Some(chunk.into_bytes())),
                Some(Piece::File { file, offset, len }) => {
                    self.file = Some((file, ByteRange { offset, len }));
                }
            }
        }
    }
}

impl Bits {
    async fn read(&mut self, file: Arc<File>, mut rest: ByteRange) -> io::Result<Bytes> {
        if self.memory.is_none() {
            let admitted = readahead::admit(&self.plane, self.egress.store()).await;
            self.memory = Some(admitted.map_err(io::Error::other)?);
        }
        let memory = self.memory.as_ref().expect("just filled");
        let chunk = readahead::from_file(file.clone(), rest, memory.buffer().await).await?;
        rest.offset += chunk.len() as u64;
        rest.len -= chunk.len() as u64;
        self.file = Some((file, rest));
        Ok(chunk.into_bytes())
    }
}
