//! A look into the page cache.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, RawFd},
};

/// The same number on every architecture (Linux 6.5).
const SYS_CACHESTAT: libc::c_long = 451;

/// One page in so many bytes is looked at where the kernel does not tell of all.
const SAMPLE_BYTES: u64 = 64 * 1024;

#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct Stat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether every page of `offset .. offset + len` of a file is in the page cache, or on its way
/// into it. Does not wait. Where the kernel does not tell (before Linux 6.5, in a sandbox), some
/// pages speak for all.
pub fn is_cached(file: &File, offset: u64, len: u64) -> bool {
    if len == 0 {
        return true;
    }
    match cachestat(file.as_raw_fd(), &Range { offset, len }) {
        Ok(stat) => stat.cached >= pages(offset, len),
        Err(_) => seems_cached(file, offset, len),
    }
}

/// The pages that have some of the bytes.
fn pages(offset: u64, len: u64) -> u64 {
    // SAFETY: takes no pointers, and this name is always known.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    (offset + len - 1) / page - offset / page + 1
}

fn cachestat(fd: RawFd, range: &Range) -> io::Result<Stat> {
    let mut stat = Stat::default();
    let flags: libc::c_uint = 0;
    // SAFETY: `range` and `stat` have the layout of the kernel's `cachestat_range` and
    // `cachestat` (linux/mman.h) and live through the call, which keeps no pointer to them.
    let result = unsafe { libc::syscall(SYS_CACHESTAT, fd, range, &raw mut stat, flags) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stat)
}

/// The same from samples: a read that may not wait gives a byte only where the page is there.
pub(crate) fn seems_cached(file: &File, offset: u64, len: u64) -> bool {
    let (first, last) = (offset / SAMPLE_BYTES, (offset + len - 1) / SAMPLE_BYTES);
    (first..=last).all(|sample| {
        let at = offset.max(sample * SAMPLE_BYTES);
        let mut byte = 0u8;
        let into = libc::iovec {
            iov_base: (&raw mut byte).cast(),
            iov_len: 1,
        };
        let at = libc::off_t::try_from(at).unwrap_or(libc::off_t::MAX);
        // SAFETY: `into` is one buffer of one byte, which lives through the call.
        let read =
            unsafe { libc::preadv2(file.as_raw_fd(), &raw const into, 1, at, libc::RWF_NOWAIT) };
        read == 1
    })
}
