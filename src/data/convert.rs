//! Makes raw disks of qcow2 images while they pass (the import plugin `image_conversion`), in the
//! order of the disk, from a staged file or from a stream whose clusters are in order; and has
//! `qemu-img` do what is beyond that.

pub mod blocks;
pub mod qcow2;
pub mod qemu;

use std::{io, sync::LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::Source;
use crate::base::limits::{KIB, MIB};
use blocks::Blocks;
use qcow2::{Damage, Geometry, Mapping};

/// What one step gives at most.
const STEP_BYTES: u64 = MIB as u64;
/// What is read of the first table at a time.
const PAGE_BYTES: usize = 64 * KIB;
const ENTRY_BYTES: usize = size_of::<u64>();
const PAGE_ENTRIES: u64 = (PAGE_BYTES / ENTRY_BYTES) as u64;

static ZEROES: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; STEP_BYTES as usize]));

/// The disk inside a qcow2 image, as a source.
#[derive(Debug)]
pub struct RawDisk<B> {
    blocks: B,
    geometry: Geometry,
    /// A page of where the tables of the second level are, with its number; a zero is one that there is not.
    page: Option<(u64, Vec<u64>)>,
    /// The table of the part of the disk that is being read, with its number.
    table: Option<(u64, Vec<u64>)>,
    /// Bytes of the disk that have been given.
    at: u64,
}

/// A piece of the disk that lies in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Zeroes {
        len: u64,
    },
    Plain {
        offset: u64,
        len: u64,
    },
    Deflated {
        offset: u64,
        stored_bytes: usize,
        len: u64,
    },
}

impl<B: Blocks> RawDisk<B> {
    /// Reads the header.
    ///
    /// # Errors
    /// The source's, and [`Damage`] inside an `InvalidData` for what is no qcow2 image that can be
    /// read here ([`Damage::Unsupported`]: `qemu-img` may know more), or whose disk is larger than
    /// `limit_bytes`.
    pub async fn open(mut blocks: B, limit_bytes: u64) -> io::Result<Self> {
        let header = blocks.read(0, qcow2::HEADER_BYTES).await?;
        let geometry = Geometry::parse(&header).map_err(damaged)?;
        if geometry.disk_bytes > limit_bytes {
            return Err(damaged(Damage::TooLarge));
        }
        Ok(Self {
            blocks,
            geometry,
            page: None,
            table: None,
            at: 0,
        })
    }

    /// Bytes of the disk.
    pub fn disk_bytes(&self) -> u64 {
        self.geometry.disk_bytes
    }

    /// The next piece of the disk; clusters that lie one behind the other are one.
    async fn run(&mut self) -> io::Result<Run> {
        let left = self.geometry.disk_bytes - self.at;
        let first = self.mapping(self.at).await?;
        let cluster = self.geometry.cluster_bytes();
        // A step ends in the middle of a cluster that is larger.
        let skipped = self.at % cluster;
        let mut len = (cluster - skipped).min(left);
        if let Mapping::Deflated {
            offset,
            stored_bytes,
        } = first
        {
            return Ok(Run::Deflated {
                offset,
                stored_bytes,
                len,
            });
        }
        while len < STEP_BYTES.min(left) {
            let next = self.mapping(self.at + len).await?;
            let follows = match (first, next) {
                (Mapping::Zeroes, Mapping::Zeroes) => true,
                (Mapping::Plain { offset }, Mapping::Plain { offset: next }) => {
                    offset.checked_add(skipped + len) == Some(next)
                }
                _ => false,
            };
            if !follows {
                break;
            }
            len += cluster.min(left - len);
        }
        let len = len.min(STEP_BYTES);
        Ok(match first {
            Mapping::Plain { offset } => Run::Plain {
                offset: offset
                    .checked_add(skipped)
                    .ok_or(Damage::Offset)
                    .map_err(damaged)?,
                len,
            },
            _ => Run::Zeroes { len },
        })
    }

    /// Where the cluster is that has the byte `at` of the disk. The last table is kept: the disk is
    /// read in its order.
    async fn mapping(&mut self, at: u64) -> io::Result<Mapping> {
        let (number, index) = self.geometry.place(at);
        let entry = self.table_entry(number).await?;
        let Some(offset) = self.geometry.table_offset(entry).map_err(damaged)? else {
            return Ok(Mapping::Zeroes);
        };
        let table = match &mut self.table {
            Some((there, table)) if *there == number => table,
            stale => {
                let len = self.geometry.cluster_bytes() as usize;
                let bytes = self.blocks.read(offset, len).await?;
                let table = qcow2::entries(&bytes, len).map_err(damaged)?;
                &mut stale.insert((number, table)).1
            }
        };
        self.geometry.mapping(table[index]).map_err(damaged)
    }

    /// What the first table says of the second one of that number. It can be large, so that only a page of it is
    /// kept.
    async fn table_entry(&mut self, number: u64) -> io::Result<u64> {
        let (place, index) = (number / PAGE_ENTRIES, (number % PAGE_ENTRIES) as usize);
        let page = match &mut self.page {
            Some((there, page)) if *there == place => page,
            stale => {
                let start = (place * PAGE_ENTRIES) as usize * ENTRY_BYTES;
                let len = PAGE_BYTES.min(self.geometry.tables_bytes() - start);
                let offset = self.geometry.tables_offset.saturating_add(start as u64);
                let bytes = self.blocks.read(offset, len).await?;
                let page = qcow2::entries(&bytes, len).map_err(damaged)?;
                &mut stale.insert((place, page)).1
            }
        };
        Ok(page[index])
    }

    async fn plain(&mut self, offset: u64, len: usize) -> io::Result<Bytes> {
        let bytes = self.blocks.read(offset, len).await?;
        if bytes.len() == len {
            return Ok(bytes);
        }
        // A file may end in the middle of its last cluster, whose rest is zeroes then.
        let cluster = self.geometry.cluster_bytes();
        let last = (offset + len as u64 - 1) / cluster * cluster;
        if offset + bytes.len() as u64 <= last {
            return Err(damaged(Damage::Cut));
        }
        let mut filled = bytes.to_vec();
        filled.resize(len, 0);
        Ok(filled.into())
    }

    async fn deflated(&mut self, offset: u64, stored_bytes: usize) -> io::Result<Bytes> {
        let stored = self.blocks.read(offset, stored_bytes).await?;
        let len = self.geometry.cluster_bytes() as usize;
        let work = move || qcow2::inflate(&stored, len).map(Bytes::from);
        let inflated = spawn_blocking(work).await;
        inflated
            .expect("inflating does not panic, and is not cancelled")
            .map_err(damaged)
    }
}

#[async_trait]
impl<B: Blocks> Source for RawDisk<B> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.at >= self.geometry.disk_bytes {
            self.blocks.finish().await?;
            return Ok(None);
        }
        let bytes = match self.run().await? {
            Run::Zeroes { len } => ZEROES.slice(..len as usize),
            Run::Plain { offset, len } => self.plain(offset, len as usize).await?,
            Run::Deflated {
                offset,
                stored_bytes,
                len,
            } => self
                .deflated(offset, stored_bytes)
                .await?
                .slice(..len as usize),
        };
        self.at += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

fn damaged(damage: Damage) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, damage)
}
