//! A look into the page cache.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, RawFd},
};

/// The same number on every architecture (Linux 6.5).
const SYS_CACHESTAT: libc::c_long = 451;

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
/// into it. Does not wait. Fails where the kernel does not tell (before Linux 6.5, in a sandbox).
pub fn is_cached(file: &File, offset: u64, len: u64) -> io::Result<bool> {
    if len == 0 {
        return Ok(true);
    }
    let range = Range { offset, len };
    let stat = cachestat(file.as_raw_fd(), &range)?;
    // SAFETY: takes no pointers, and this name is always known.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let pages = (offset + len - 1) / page - offset / page + 1;
    Ok(stat.cached >= pages)
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
