//! Page-aligned memory that goes back to the system when it is dropped.
//!
//! An allocator may keep what it is given back; for buffers of a mebibyte that decides whether an
//! idle process is small. So each block is a mapping of its own.

use std::{
    alloc::{Layout, handle_alloc_error},
    fmt,
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
    slice,
};

/// What the address of a [`Block`] is a multiple of: enough for `O_DIRECT` on every Linux
/// filesystem with blocks of up to 4 KiB.
pub const ALIGN_BYTES: usize = 4096;

/// An owned piece of zeroed memory. The system commits a page of it when the page is first
/// written, and has all of it back when the block is dropped.
pub struct Block {
    start: NonNull<u8>,
    len: usize,
}

impl Block {
    /// Maps `len_bytes` of zeroes, which must be more than 0.
    ///
    /// Ends the process as `Vec` does when there is no memory: a caller could do nothing else.
    pub fn new(len_bytes: usize) -> Self {
        let layout = Layout::from_size_align(len_bytes, ALIGN_BYTES)
            .expect("a block is smaller than half of the address space");
        assert!(len_bytes > 0, "a block of nothing");
        // SAFETY: a private anonymous mapping at an address of the kernel's choice touches no
        // memory that exists; no file descriptor is passed.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let start = (start != libc::MAP_FAILED)
            .then(|| NonNull::new(start.cast()))
            .flatten();
        match start {
            Some(start) => Self {
                start,
                len: len_bytes,
            },
            None => handle_alloc_error(layout),
        }
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` is a live mapping of `len` readable bytes until `drop`; the kernel
        // zeroed it, so all of it is initialised; writes need `&mut self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes this the only reference.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are those of the mapping that `new` made; `&mut self` says
        // that no reference into it is left, and it is unmapped only here.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert_eq!(result, 0, "a mapping of our own unmaps");
    }
}

// SAFETY: the block owns its mapping alone; nothing in it is bound to a thread.
unsafe impl Send for Block {}
// SAFETY: through `&Block` the memory is only read.
unsafe impl Sync for Block {}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("len", &self.len).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_zeroed_aligned_and_its_own() {
        let mut one = Block::new(3 * ALIGN_BYTES);
        let two = Block::new(3 * ALIGN_BYTES);
        assert_eq!(one.as_ptr() as usize % ALIGN_BYTES, 0);
        assert!(one.iter().all(|byte| *byte == 0));
        one.fill(7);
        assert_eq!((one.len(), one[one.len() - 1]), (3 * ALIGN_BYTES, 7));
        assert!(two.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_block_moves_between_threads() {
        let mut block = Block::new(ALIGN_BYTES);
        block[0] = 1;
        let block = std::thread::spawn(move || {
            assert_eq!(block[0], 1);
            block
        });
        assert_eq!(block.join().unwrap()[0], 1);
    }
}
