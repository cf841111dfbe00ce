//! Pieces of a stream that an inspector keeps, and fields in them.

/// A region of known place, captured as the stream passes.
#[derive(Clone, Debug)]
pub(super) struct Region {
    start: u64,
    length_bytes: usize,
    held: Vec<u8>,
}

impl Region {
    pub(super) fn new(start: u64, length_bytes: usize) -> Self {
        Self {
            start,
            length_bytes,
            held: Vec::new(),
        }
    }

    /// Takes what it lacks from the bytes that stand at `offset`. What has passed before it was
    /// first fed is lost, and the region is then never complete.
    pub(super) fn feed(&mut self, offset: u64, bytes: &[u8]) {
        let lacking_bytes = self.length_bytes - self.held.len();
        if lacking_bytes == 0 {
            return;
        }
        let Some(skip_bytes) = self.next_offset().checked_sub(offset) else {
            return;
        };
        let fresh = usize::try_from(skip_bytes)
            .ok()
            .and_then(|skip| bytes.get(skip..))
            .unwrap_or_default();
        self.held
            .extend_from_slice(&fresh[..fresh.len().min(lacking_bytes)]);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.held.len() == self.length_bytes
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.held
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    fn next_offset(&self) -> u64 {
        self.start.saturating_add(self.held.len() as u64)
    }
}

/// The last bytes of a stream.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    end: u64,
    length_bytes: usize,
    held: Vec<u8>,
}

impl Tail {
    pub(super) fn new(length_bytes: usize) -> Self {
        Self {
            end: 0,
            length_bytes,
            held: Vec::new(),
        }
    }

    /// Takes the bytes that stand at `offset`, but for those that it has already seen.
    pub(super) fn feed(&mut self, offset: u64, bytes: &[u8]) {
        let seen_bytes = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let fresh = bytes.get(seen_bytes..).unwrap_or_default();
        self.end += fresh.len() as u64;
        let fresh = &fresh[fresh.len().saturating_sub(self.length_bytes)..];
        let excess_bytes = (self.held.len() + fresh.len()).saturating_sub(self.length_bytes);
        self.held.drain(..excess_bytes);
        self.held.extend_from_slice(fresh);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.held.len() == self.length_bytes
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.held
    }
}

/// The field at `at`; what lies beyond the end reads as zero.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    for (to, from) in field.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    field
}

#[cfg(test)]
mod tests {
    use super::{Region, Tail, field};

    const STREAM: &[u8] = b"0123456789";

    fn in_pieces(piece_bytes: usize, mut feed: impl FnMut(u64, &[u8])) {
        for (index, piece) in STREAM.chunks(piece_bytes).enumerate() {
            feed((index * piece_bytes) as u64, piece);
        }
    }

    #[test]
    fn a_region_is_the_same_however_the_stream_is_cut() {
        for piece_bytes in 1..=STREAM.len() {
            let mut region = Region::new(3, 4);
            in_pieces(piece_bytes, |offset, bytes| region.feed(offset, bytes));
            assert_eq!(region.bytes(), b"3456");
            assert!(region.is_complete());
        }
    }

    #[test]
    fn a_region_beyond_the_end_is_never_complete() {
        for start in [8, 10, u64::MAX] {
            let mut region = Region::new(start, 4);
            in_pieces(3, |offset, bytes| region.feed(offset, bytes));
            assert!(!region.is_complete());
        }
    }

    #[test]
    fn a_region_that_has_passed_is_lost() {
        let mut region = Region::new(3, 4);
        region.feed(5, b"56789");
        assert_eq!(region.bytes(), b"");
    }

    #[test]
    fn a_tail_is_the_same_however_the_stream_is_cut() {
        for piece_bytes in 1..=STREAM.len() {
            let mut tail = Tail::new(4);
            tail.feed(0, b"01");
            in_pieces(piece_bytes, |offset, bytes| tail.feed(offset, bytes));
            assert_eq!(tail.bytes(), b"6789");
        }
    }

    #[test]
    fn a_field_beyond_the_end_is_zero() {
        assert_eq!(field(b"abc", 2), *b"c\0");
        assert_eq!(field(b"abc", 7), [0; 2]);
    }
}
