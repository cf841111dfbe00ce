//! Microsoft Hyper-V (MS-VHDX): little-endian tables that point to each other. The region table
//! names the metadata region, its table the item with the disk's size. All that it points to must
//! lie ahead of the table that names it, as the stream comes once.

use super::region::{Region, field};
use super::{Found, Unreadable};

/// Most bytes that the inspector holds: one table, and the next or a copy when one follows the other.
pub const HELD_BYTES_MAX: usize = 2 * TABLE_BYTES;

const MAGIC: &[u8] = b"vhdxfile";

/// The size of both tables, header included; entries fill what the header leaves.
const TABLE_BYTES: usize = 64 * 1024;
const ENTRY_BYTES: usize = 32;
const ENTRIES_MAX: usize = 2047;

const REGIONS_OFFSET: u64 = 192 * 1024;
const REGIONS_END: u64 = REGIONS_OFFSET + TABLE_BYTES as u64;
const REGIONS_MAGIC: &[u8] = b"regi";
const REGIONS_COUNT_AT: usize = 8;
const REGIONS_FIRST_AT: usize = 16;
/// 8B7CA206-4790-4B9A-B8FE-575F050F886E.
const REGION_METADATA: [u8; 16] = [
    0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e,
];

const METADATA_MAGIC: &[u8] = b"metadata";
const METADATA_COUNT_AT: usize = 10;
const METADATA_FIRST_AT: usize = 32;
/// 2FA54224-CD1B-4876-B211-5DBED83BF4B8.
const ITEM_VIRTUAL_DISK_SIZE: [u8; 16] = [
    0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8,
];

/// The inspector of a stream that may be a VHDX.
#[derive(Clone, Debug)]
pub struct Inspector(Stage);

/// What is being captured.
#[derive(Clone, Debug)]
enum Stage {
    Magic(Region),
    Regions(Region),
    Metadata(Region),
    SizeItem(Region),
    /// A table that names no size; it still has to be there.
    Sizeless(Region),
    /// What should be the metadata table is none, or has passed.
    Invalid,
    /// Not a VHDX.
    Other,
}

impl Default for Inspector {
    fn default() -> Self {
        Self(Stage::Magic(Region::new(0, MAGIC.len())))
    }
}

impl Inspector {
    /// The bytes that stand at `offset`; pieces come in order.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        match &mut self.0 {
            Stage::Magic(region)
            | Stage::Regions(region)
            | Stage::Metadata(region)
            | Stage::SizeItem(region)
            | Stage::Sizeless(region) => region.feed(offset, bytes),
            Stage::Invalid | Stage::Other => return,
        }
        // One piece may complete several stages, and hold the start of what each of them names.
        while let Some(next) = self.0.after(offset, bytes) {
            self.0 = next;
        }
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        match &self.0 {
            Stage::Magic(region)
            | Stage::Regions(region)
            | Stage::Metadata(region)
            | Stage::SizeItem(region)
            | Stage::Sizeless(region) => region.bytes().len(),
            Stage::Invalid | Stage::Other => 0,
        }
    }

    /// What the stream says, if it is a VHDX.
    pub fn finish(&self) -> Option<Found> {
        let (complete, virtual_size_bytes) = match &self.0 {
            Stage::Magic(_) | Stage::Other => return None,
            Stage::Regions(_) | Stage::Metadata(_) | Stage::Invalid => (false, Ok(None)),
            Stage::Sizeless(table) => (table.is_complete(), Ok(None)),
            Stage::SizeItem(item) if !item.is_complete() => (false, Ok(None)),
            Stage::SizeItem(item) => (
                true,
                item.bytes()
                    .try_into()
                    .map(|size| Some(u64::from_le_bytes(size)))
                    .map_err(|_| Unreadable),
            ),
        };
        Some(Found {
            complete,
            virtual_size_bytes,
            safety: Ok(()),
        })
    }
}

impl Stage {
    /// The next stage, once this one's region holds what it is for.
    fn after(&self, offset: u64, bytes: &[u8]) -> Option<Self> {
        let begun = |mut region: Region| {
            region.feed(offset, bytes);
            region
        };
        match self {
            Self::Magic(magic) if magic.bytes() == MAGIC => {
                let table = Region::new(REGIONS_OFFSET, TABLE_BYTES);
                Some(Self::Regions(begun(table)))
            }
            Self::Magic(magic) => magic.is_complete().then_some(Self::Other),
            Self::Regions(table) if table.is_complete() => match metadata_start(table.bytes()) {
                Some(start) if start < REGIONS_END => Some(Self::Invalid),
                Some(start) => Some(Self::Metadata(begun(Region::new(start, TABLE_BYTES)))),
                None => Some(Self::Sizeless(table.clone())),
            },
            Self::Metadata(table) => match size_item(table) {
                Entry::Unknown => None,
                Entry::Absent => Some(Self::Sizeless(table.clone())),
                Entry::Invalid => Some(Self::Invalid),
                Entry::At {
                    start,
                    length_bytes,
                } => {
                    let mut item = Region::new(start, length_bytes);
                    item.feed(table.start(), table.bytes());
                    Some(Self::SizeItem(begun(item)))
                }
            },
            Self::Regions(_)
            | Self::SizeItem(_)
            | Self::Sizeless(_)
            | Self::Invalid
            | Self::Other => None,
        }
    }
}

/// Where the metadata region starts, by the region table.
fn metadata_start(table: &[u8]) -> Option<u64> {
    let count = u32::from_le_bytes(field(table, REGIONS_COUNT_AT));
    let count = usize::try_from(count).ok()?;
    if !table.starts_with(REGIONS_MAGIC) || count > ENTRIES_MAX {
        return None;
    }
    let entry =
        entries(table, REGIONS_FIRST_AT, count).find(|e| e.starts_with(&REGION_METADATA))?;
    Some(u64::from_le_bytes(field(entry, 16)))
}

/// What a metadata table says of the item that holds the disk's size.
enum Entry {
    /// Too little of the table is there.
    Unknown,
    Absent,
    /// It is no metadata table.
    Invalid,
    At {
        start: u64,
        length_bytes: usize,
    },
}

fn size_item(metadata: &Region) -> Entry {
    let table = metadata.bytes();
    if table.len() < METADATA_FIRST_AT {
        return Entry::Unknown;
    }
    let count = usize::from(u16::from_le_bytes(field(table, METADATA_COUNT_AT)));
    if !table.starts_with(METADATA_MAGIC) {
        return Entry::Invalid;
    }
    if count > ENTRIES_MAX {
        return Entry::Absent;
    }
    if table.len() < METADATA_FIRST_AT + count * ENTRY_BYTES {
        return Entry::Unknown;
    }
    let mut entries = entries(table, METADATA_FIRST_AT, count);
    let Some(entry) = entries.find(|e| e.starts_with(&ITEM_VIRTUAL_DISK_SIZE)) else {
        return Entry::Absent;
    };
    let item_offset = u32::from_le_bytes(field(entry, 16));
    let item_bytes = u32::from_le_bytes(field(entry, 20));
    Entry::At {
        start: metadata.start().saturating_add(u64::from(item_offset)),
        length_bytes: usize::try_from(item_bytes)
            .map_or(TABLE_BYTES, |bytes| bytes.min(TABLE_BYTES)),
    }
}

fn entries(table: &[u8], first_at: usize, count: usize) -> impl Iterator<Item = &[u8]> {
    table[first_at..].chunks_exact(ENTRY_BYTES).take(count)
}
