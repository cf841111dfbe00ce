//! A partitioned disk (UEFI 2.10, part 5): the MBR, which also a GPT disk has as its protection.

use super::region::field;
use super::{Found, Violation};

const MBR_BYTES: usize = 512;
const SIGNATURE_AT: usize = 510;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];

const PARTITIONS_AT: usize = 446;
const PARTITION_BYTES: usize = 16;
const PARTITIONS: usize = 4;
const BOOT_FLAGS: [u8; 2] = [0x00, 0x80];
const TYPE_NONE: u8 = 0x00;
const TYPE_GPT: u8 = 0xee;
const GPT_START_CHS: [u8; 3] = [0x00, 0x02, 0x00];
const GPT_START_LBA: u32 = 1;

/// A FAT boot sector ends as an MBR does; these two of its fields tell them apart.
const FAT_COUNT_AT: usize = 0x10;
const FAT_COUNT: u8 = 2;
const FAT_MEDIA_AT: usize = 0x15;
const FAT_MEDIA_FIXED: u8 = 0xf8;

/// What the start of a stream says, if it is a partitioned disk. Its safety check is `mbr`.
pub fn inspect(head: &[u8], total_bytes: u64) -> Option<Found> {
    let mbr: &[u8; MBR_BYTES] = head.first_chunk()?;
    let is_fat = mbr[FAT_COUNT_AT] == FAT_COUNT && mbr[FAT_MEDIA_AT] == FAT_MEDIA_FIXED;
    (mbr[SIGNATURE_AT..] == SIGNATURE && !is_fat).then(|| Found {
        complete: true,
        virtual_size_bytes: Ok(Some(total_bytes)),
        safety: check(mbr),
    })
}

fn check(mbr: &[u8]) -> Result<(), Violation> {
    let mut used = [false; PARTITIONS];
    let mut protects_gpt = false;
    for (index, used) in used.iter_mut().enumerate() {
        let entry: [u8; PARTITION_BYTES] = field(mbr, PARTITIONS_AT + index * PARTITION_BYTES);
        let (boot_flag, start_chs, kind) = (entry[0], &entry[1..4], entry[4]);
        if !BOOT_FLAGS.contains(&boot_flag) {
            return Err(Violation("MBR partition has an invalid boot flag"));
        }
        *used = kind != TYPE_NONE;
        if kind == TYPE_GPT {
            protects_gpt = true;
            if start_chs != GPT_START_CHS {
                return Err(Violation("GPT MBR has an invalid start CHS"));
            }
            if u32::from_le_bytes(field(&entry, 8)) != GPT_START_LBA {
                return Err(Violation("GPT MBR has an invalid start LBA"));
            }
        }
    }
    if protects_gpt && used != [true, false, false, false] {
        return Err(Violation("GPT MBR defines extra partitions"));
    }
    if !used.contains(&true) {
        return Err(Violation("MBR defines no partition"));
    }
    Ok(())
}
