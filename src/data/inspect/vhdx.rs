//! Microsoft Hyper-V (MS-VHDX): little-endian tables that point to each other. The region table
//! names the metadata region, its table the item with the disk's size. All that it points to must
//! lie ahead of the table that names it, as the stream comes once.

use super::region::{Region, field};
use super::{Found, Unreadable};

/// Most bytes that the inspector holds: the region table, the metadata table, one item.
pub const HELD_BYTES_MAX: usize = MAGIC.len() + 3 * TABLE_BYTES;

const MAGIC: &[u8] = b"vhdxfile";

/// The size of both tables, header included; entries fill what the header leaves.
const TABLE_BYTES: usize = 64 * 1024;
const ENTRY_BYTES: usize = 32;
const ENTRIES_MAX: usize = 2047;

const REGIONS_OFFSET: u64 = 192 * 1024;
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
pub struct Inspector {
    magic: Region,
    regions: Region,
    metadata: Option<Region>,
    size_item: Option<Region>,
    stage: Stage,
}

/// What the inspector waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Magic,
    Regions,
    Metadata,
    SizeItem,
    /// A table is not what it should be: no size will be found, and its capture still has to end.
    Lost,
    /// Not a VHDX.
    Other,
}

impl Default for Inspector {
    fn default() -> Self {
        Self {
            magic: Region::new(0, MAGIC.len()),
            regions: Region::new(REGIONS_OFFSET, TABLE_BYTES),
            metadata: None,
            size_item: None,
            stage: Stage::Magic,
        }
    }
}

impl Inspector {
    /// The bytes that stand at `offset`; pieces come in order.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        if self.stage == Stage::Other {
            return;
        }
        self.magic.feed(offset, bytes);
        self.regions.feed(offset, bytes);
        for region in [&mut self.metadata, &mut self.size_item]
            .into_iter()
            .flatten()
        {
            region.feed(offset, bytes);
        }
        // One piece may complete several stages, and hold the start of what each of them names.
        while let Some(next) = self.advance(offset, bytes) {
            self.stage = next;
        }
    }

    /// What the stream says, if it is a VHDX.
    pub fn finish(&self) -> Option<Found> {
        if !self.magic.is_complete() || self.stage == Stage::Other {
            return None;
        }
        let metadata_complete = match &self.metadata {
            // The size item is named by a table of which enough was captured.
            Some(metadata) => metadata.is_complete() || self.size_item.is_some(),
            None => true,
        };
        let item_complete = self.size_item.as_ref().is_none_or(Region::is_complete);
        Some(Found {
            complete: self.regions.is_complete() && metadata_complete && item_complete,
            virtual_size_bytes: self.virtual_size_bytes(),
            safety: Ok(()),
        })
    }

    fn virtual_size_bytes(&self) -> Result<Option<u64>, Unreadable> {
        let Some(item) = self.size_item.as_ref().filter(|item| item.is_complete()) else {
            return Ok(None);
        };
        let size: [u8; 8] = item.bytes().try_into().map_err(|_| Unreadable)?;
        Ok(Some(u64::from_le_bytes(size)))
    }

    /// The stage after the present one, when what that waits for is there.
    fn advance(&mut self, offset: u64, bytes: &[u8]) -> Option<Stage> {
        match self.stage {
            Stage::Magic => {
                let is_vhdx = self.magic.bytes() == MAGIC;
                (is_vhdx || self.magic.is_complete()).then_some(if is_vhdx {
                    Stage::Regions
                } else {
                    Stage::Other
                })
            }
            Stage::Regions if self.regions.is_complete() => {
                let Some(start) = metadata_start(self.regions.bytes()) else {
                    return Some(Stage::Lost);
                };
                let mut metadata = Region::new(start, TABLE_BYTES);
                // Behind the region table is never captured, however the stream is cut.
                if start >= REGIONS_OFFSET + TABLE_BYTES as u64 {
                    metadata.feed(offset, bytes);
                }
                self.metadata = Some(metadata);
                Some(Stage::Metadata)
            }
            Stage::Metadata => {
                let metadata = self.metadata.as_ref()?;
                match size_item(metadata) {
                    Entry::Unknown => None,
                    Entry::Absent => Some(Stage::Lost),
                    Entry::At { start, bytes: len } => {
                        let mut item = Region::new(start, len);
                        item.feed(metadata.start(), metadata.bytes());
                        item.feed(offset, bytes);
                        self.size_item = Some(item);
                        Some(Stage::SizeItem)
                    }
                }
            }
            Stage::Regions | Stage::SizeItem | Stage::Lost | Stage::Other => None,
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
    At {
        start: u64,
        bytes: usize,
    },
}

fn size_item(metadata: &Region) -> Entry {
    let table = metadata.bytes();
    if table.len() < METADATA_FIRST_AT {
        return Entry::Unknown;
    }
    let count = usize::from(u16::from_le_bytes(field(table, METADATA_COUNT_AT)));
    if !table.starts_with(METADATA_MAGIC) || count > ENTRIES_MAX {
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
        bytes: usize::try_from(item_bytes).map_or(TABLE_BYTES, |bytes| bytes.min(TABLE_BYTES)),
    }
}

fn entries(table: &[u8], first_at: usize, count: usize) -> impl Iterator<Item = &[u8]> {
    table[first_at..].chunks_exact(ENTRY_BYTES).take(count)
}
