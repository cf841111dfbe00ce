//! What the tables of a qcow2 image say (qemu's `docs/interop/qcow2.txt`). Nothing here reads or
//! waits; every number is checked before anything is allocated for it.

use flate2::{Decompress, FlushDecompress};

use crate::base::limits::MIB;

/// What [`Geometry::parse`] looks at, of a version 3 header.
pub const HEADER_BYTES: usize = 112;

const MAGIC: &[u8] = b"QFI\xfb";
const VERSION_2_HEADER_BYTES: usize = 72;
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// qemu's own limit for the first table.
const TABLES_BYTES_MAX: u64 = 32 * MIB as u64;

const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
const IS_DEFLATED: u64 = 1 << 62;
/// In an entry of a version 3 image.
const IS_ZEROES: u64 = 1;

const FEATURE_CORRUPT: u64 = 1 << 1;
const FEATURE_DATA_FILE: u64 = 1 << 2;
const FEATURE_COMPRESSION: u64 = 1 << 3;
/// Dirty: the counts of references may be wrong, which nobody needs who only reads.
const FEATURES_READ: u64 = 1 << 0 | FEATURE_COMPRESSION;

/// Why an image cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// No qcow2 image.
    #[error("Image format detection failed")]
    Foreign,
    /// It may be one, but is of a kind that is not read here.
    #[error("the qcow2 image has {0}")]
    Unsupported(&'static str),
    /// It refers to another file.
    #[error("QCOW images with backing files are not allowed")]
    BackingFile,
    /// The same.
    #[error("QCOW images with data-file set are not allowed")]
    DataFile,
    /// The disk is larger than an image may be.
    #[error("the disk inside the image is too large")]
    TooLarge,
    /// It says of itself that it is damaged.
    #[error("the qcow2 image is marked corrupt")]
    Corrupt,
    /// A table or a cluster is where none can be.
    #[error("the qcow2 image has an offset that cannot be")]
    Offset,
    /// Something is behind the end of the file.
    #[error("the qcow2 image is cut off")]
    Cut,
    /// Compressed data is none, or of another length.
    #[error("the qcow2 image has damaged compressed data")]
    Deflated,
}

/// What the header says of where things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// Where the first table is.
    pub tables_offset: u64,
    cluster_bits: u32,
    version: u32,
}

/// Where a cluster of the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Nowhere: it reads as zeroes.
    Zeroes,
    /// As it is.
    Plain {
        /// Of the cluster's first byte.
        offset: u64,
    },
    /// Compressed.
    Deflated {
        /// Of the first byte.
        offset: u64,
        /// At most so many.
        stored_bytes: usize,
    },
}

impl Geometry {
    /// Reads a header.
    ///
    /// # Errors
    /// [`Damage`].
    pub fn parse(header: &[u8]) -> Result<Self, Damage> {
        if !header.starts_with(MAGIC) || header.len() < VERSION_2_HEADER_BYTES {
            return Err(Damage::Foreign);
        }
        let version = number32(header, 4);
        match version {
            2 => {}
            3 if header.len() >= HEADER_BYTES - 8 => check_features(header)?,
            _ => return Err(Damage::Foreign),
        }
        if number64(header, 8) != 0 {
            return Err(Damage::BackingFile);
        }
        if number32(header, 32) != 0 {
            return Err(Damage::Unsupported("encrypted clusters"));
        }
        let cluster_bits = number32(header, 20);
        if !CLUSTER_BITS.contains(&cluster_bits) {
            return Err(Damage::Foreign);
        }
        let geometry = Self {
            disk_bytes: number64(header, 24),
            tables_offset: number64(header, 40),
            cluster_bits,
            version,
        };
        geometry.check(number32(header, 36).into())
    }

    /// The first table has an entry for every part of the disk, and is where a table can be.
    fn check(self, entries: u64) -> Result<Self, Damage> {
        if entries < self.tables() {
            return Err(Damage::Offset);
        }
        if self.tables().saturating_mul(8) > TABLES_BYTES_MAX {
            return Err(Damage::TooLarge);
        }
        self.aligned(self.tables_offset)?;
        Ok(self)
    }

    /// Bytes of a cluster.
    pub fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of the first table, as far as it is needed.
    pub fn tables_bytes(&self) -> usize {
        usize::try_from(self.tables() * 8).expect("it was checked")
    }

    /// The number of the table that has a byte of the disk, and the place in it.
    pub fn place(&self, at: u64) -> (u64, usize) {
        let cluster = at >> self.cluster_bits;
        let index = cluster & (self.entries_of_table() - 1);
        (cluster >> (self.cluster_bits - 3), index as usize)
    }

    /// Where a table is, by its entry in the first; none is one that there is not.
    ///
    /// # Errors
    /// [`Damage::Offset`].
    pub fn table_offset(&self, entry: u64) -> Result<Option<u64>, Damage> {
        match entry & OFFSET_MASK {
            0 => Ok(None),
            offset => self.aligned(offset).map(Some),
        }
    }

    /// What an entry of a table says.
    ///
    /// # Errors
    /// [`Damage::Offset`].
    pub fn mapping(&self, entry: u64) -> Result<Mapping, Damage> {
        if entry & IS_DEFLATED != 0 {
            let offset_bits = 62 - (self.cluster_bits - 8);
            let offset = entry & ((1 << offset_bits) - 1);
            let sectors = (entry & (IS_DEFLATED - 1)) >> offset_bits;
            let stored_bytes = (sectors + 1) * 512 - (offset & 511);
            return Ok(Mapping::Deflated {
                offset,
                stored_bytes: usize::try_from(stored_bytes).map_err(|_| Damage::Offset)?,
            });
        }
        let offset = entry & OFFSET_MASK;
        if offset == 0 || (self.version >= 3 && entry & IS_ZEROES != 0) {
            return Ok(Mapping::Zeroes);
        }
        self.aligned(offset).map(|offset| Mapping::Plain { offset })
    }

    /// How many tables the disk needs.
    fn tables(&self) -> u64 {
        let of_table = self.entries_of_table() << self.cluster_bits;
        self.disk_bytes.div_ceil(of_table)
    }

    fn entries_of_table(&self) -> u64 {
        self.cluster_bytes() / 8
    }

    /// Tables and clusters begin where clusters do, and not at the header.
    fn aligned(&self, offset: u64) -> Result<u64, Damage> {
        match offset != 0 && offset.is_multiple_of(self.cluster_bytes()) {
            true => Ok(offset),
            false => Err(Damage::Offset),
        }
    }
}

fn check_features(header: &[u8]) -> Result<(), Damage> {
    let features = number64(header, 72);
    let compression = header.get(104).copied().unwrap_or(0);
    let header_bytes = number32(header, 100);
    if features & FEATURE_DATA_FILE != 0 {
        return Err(Damage::DataFile);
    }
    if features & FEATURE_CORRUPT != 0 {
        return Err(Damage::Corrupt);
    }
    if features & !FEATURES_READ != 0 {
        return Err(Damage::Unsupported("features that are not known here"));
    }
    if features & FEATURE_COMPRESSION != 0 && (header_bytes < 105 || compression != 0) {
        return Err(Damage::Unsupported("another compression than zlib"));
    }
    Ok(())
}

/// The entries of a table of so many bytes.
///
/// # Errors
/// [`Damage::Cut`] when they are not all there.
pub fn entries(bytes: &[u8], len: usize) -> Result<Vec<u64>, Damage> {
    let bytes = bytes.get(..len).ok_or(Damage::Cut)?;
    let entries = bytes.chunks_exact(8);
    Ok(entries.map(|entry| number64(entry, 0)).collect())
}

/// A compressed cluster. What is behind its data in the last sector is none of it.
///
/// # Errors
/// [`Damage::Deflated`].
pub fn inflate(stored: &[u8], cluster_bytes: usize) -> Result<Vec<u8>, Damage> {
    let mut cluster = Vec::with_capacity(cluster_bytes);
    let mut inflater = Decompress::new(false);
    let inflated = inflater.decompress_vec(stored, &mut cluster, FlushDecompress::Finish);
    // The data need not be marked as ended, but must be enough. A vector may have more room than
    // was asked for.
    match inflated {
        Ok(_) if cluster.len() >= cluster_bytes => {
            cluster.truncate(cluster_bytes);
            Ok(cluster)
        }
        _ => Err(Damage::Deflated),
    }
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(number)
}

fn number64(bytes: &[u8], at: usize) -> u64 {
    u64::from(number32(bytes, at)) << 32 | u64::from(number32(bytes, at + 4))
}
