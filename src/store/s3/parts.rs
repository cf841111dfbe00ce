//! How large parts are: S3 takes 10,000 of them, and a part is in memory until the server has it.

use crate::base::limits::MIB;

/// The parts of an upload.
pub(super) const PARTS_MAX: u32 = 10_000;
/// The least that a part may be which is not the last.
pub(super) const PART_BYTES_MIN: usize = 5 * MIB;
/// What parts begin with where there is memory for it: smaller ones cost more requests and gain
/// nothing.
const PART_BYTES_USUAL: u64 = 16 * MIB as u64;
/// Without a known size a part is so much of what came before: 10,000 of them then hold five sixths
/// of what the largest could.
const GROWTH: u64 = 1000;

/// The sizes of a store's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartSizes {
    /// Of the first parts.
    least_bytes: u64,
    most_bytes: u64,
}

impl PartSizes {
    /// For a share of the memory that so large is: at first four parts of an upload are in it, and of
    /// the largest two.
    pub(super) fn of_share(share_bytes: usize) -> Self {
        let (share, least) = (share_bytes as u64, PART_BYTES_MIN as u64);
        Self {
            least_bytes: chunks(share / 4).clamp(least, PART_BYTES_USUAL),
            most_bytes: (share / 2 / MIB as u64 * MIB as u64).max(least),
        }
    }

    /// Bytes of the largest object.
    pub(super) fn capacity_bytes(&self) -> u64 {
        self.most_bytes * u64::from(PARTS_MAX)
    }

    /// The size of the next part, after so many with so many bytes, of an object of a declared size.
    pub(super) fn next_bytes(&self, parts: u32, bytes: u64, declared: Option<u64>) -> u64 {
        let fair = match declared.is_some_and(|declared| declared >= bytes) {
            true => self.needed_bytes(parts, bytes, declared),
            false => chunks(bytes / GROWTH),
        };
        fair.clamp(self.least_bytes, self.most_bytes)
    }

    /// The least that the next part may be, however short memory is: smaller ones would not suffice for what is to
    /// come.
    pub(super) fn needed_bytes(&self, parts: u32, bytes: u64, declared: Option<u64>) -> u64 {
        let left = u64::from(PARTS_MAX.saturating_sub(parts).max(1));
        let rest = declared.map_or(0, |declared| declared.saturating_sub(bytes));
        chunks(rest.div_ceil(left)).clamp(PART_BYTES_MIN as u64, self.most_bytes)
    }
}

/// Whole MiB.
fn chunks(bytes: u64) -> u64 {
    bytes.next_multiple_of(MIB as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * MIB as u64;

    /// The parts of an object, and the largest.
    fn count(sizes: PartSizes, bytes: u64, declared: Option<u64>) -> (u32, u64) {
        let (mut parts, mut sent, mut largest) = (0, 0, 0);
        while sent < bytes {
            let next = sizes.next_bytes(parts, sent, declared);
            largest = largest.max(next);
            sent += next;
            parts += 1;
        }
        (parts, largest / MIB as u64)
    }

    #[test]
    fn a_known_size_fits_into_its_parts() {
        let sizes = PartSizes::of_share(128 * MIB);
        assert_eq!(count(sizes, 2 * GIB, Some(2 * GIB)), (128, 16));
        assert_eq!(count(sizes, 156 * GIB, Some(156 * GIB)), (9984, 16));
        for bytes in [157 * GIB, 500 * GIB, sizes.capacity_bytes()] {
            assert!(count(sizes, bytes, Some(bytes)).0 <= PARTS_MAX);
        }
    }

    #[test]
    fn a_known_size_fits_also_into_the_least_parts() {
        let sizes = PartSizes::of_share(128 * MIB);
        for bytes in [1, 49 * GIB, 60 * GIB, 500 * GIB, sizes.capacity_bytes()] {
            let (mut parts, mut sent) = (0, 0);
            let first = sizes.needed_bytes(0, 0, Some(bytes));
            while sent < bytes {
                let next = sizes.needed_bytes(parts, sent, Some(bytes));
                assert!(next <= first, "an upload is admitted with the first");
                sent += next;
                parts += 1;
            }
            assert!(parts <= PARTS_MAX, "{bytes}");
        }
        assert_eq!(sizes.needed_bytes(7, GIB, None), PART_BYTES_MIN as u64);
    }

    #[test]
    fn an_unknown_size_grows_its_parts() {
        let sizes = PartSizes::of_share(128 * MIB);
        assert_eq!(count(sizes, 15 * GIB, None), (960, 16));
        let nearly = sizes.capacity_bytes() / 6 * 5;
        assert!(count(sizes, nearly, None).0 <= PARTS_MAX);
        assert_eq!(count(sizes, 4 * GIB, Some(GIB)).1, 16);
    }

    #[test]
    fn a_small_share_has_small_parts() {
        let sizes = PartSizes::of_share(12 * MIB);
        assert_eq!(sizes.next_bytes(0, 0, None), PART_BYTES_MIN as u64);
        assert_eq!(sizes.capacity_bytes(), 60_000 * MIB as u64);
        let sizes = PartSizes::of_share(42 * MIB);
        assert_eq!(sizes.next_bytes(0, 0, None), 11 * MIB as u64);
    }
}
