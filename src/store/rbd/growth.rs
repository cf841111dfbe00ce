//! How large an image is made whose size nobody knows, and how it grows: so that no write waits for
//! a resize.

use crate::base::limits::MIB;

const GIB: u64 = 1024 * MIB as u64;

/// The first size with an object map: large enough for most images, at a cost of 2 KiB.
const FAR_BYTES: u64 = 64 * GIB;
/// The least and the most that an image without an object map is ahead of its writes. To cut it off
/// again costs half a millisecond for each object.
const NEAR_MIN_BYTES: u64 = 64 * MIB as u64;
const NEAR_MAX_BYTES: u64 = GIB;

/// How an image grows ahead of its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// It has an object map: to cut off what was too much costs next to nothing, whatever it is.
    Far,
    /// It has none.
    Near,
}

impl Growth {
    /// The size to begin with.
    pub(super) fn first_bytes(self) -> u64 {
        match self {
            Self::Far => FAR_BYTES,
            Self::Near => NEAR_MIN_BYTES,
        }
    }

    /// The size to grow to when `end` bytes are needed.
    pub(super) fn next_bytes(self, end: u64) -> u64 {
        match self {
            Self::Far => end.saturating_mul(2).next_power_of_two().max(FAR_BYTES),
            Self::Near => end.saturating_add(end.clamp(NEAR_MIN_BYTES, NEAR_MAX_BYTES)),
        }
    }

    /// Whether it is time to grow in the background: half of what was ahead is used up.
    pub(super) fn is_due(self, end: u64, size: u64) -> bool {
        let ahead = match self {
            Self::Far => FAR_BYTES,
            Self::Near => end.clamp(NEAR_MIN_BYTES, NEAR_MAX_BYTES),
        };
        size.saturating_sub(end) < ahead / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes in order, and counts resizes; checks that none is smaller than what was written.
    fn resizes(growth: Growth, total: u64) -> (u32, u64) {
        let (mut size, mut count) = (growth.first_bytes(), 0);
        for end in (0..=total).step_by(8 * MIB).skip(1) {
            if end > size || growth.is_due(end, size) {
                size = growth.next_bytes(end);
                count += 1;
            }
            assert!(size >= end);
        }
        (count, size - total)
    }

    #[test]
    fn far_is_far() {
        assert_eq!(resizes(Growth::Far, 2 * GIB).0, 0);
        assert_eq!(resizes(Growth::Far, 31 * GIB).0, 0);
        assert!(resizes(Growth::Far, 1024 * GIB).0 <= 6);
    }

    #[test]
    fn near_is_at_most_a_gibibyte_ahead() {
        let (count, ahead) = resizes(Growth::Near, 20 * GIB);
        assert!(count <= 50, "{count}");
        assert!(ahead <= GIB, "{ahead}");
    }
}
