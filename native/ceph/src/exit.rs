//! The end of the process: it waits for the connections that are just being ended. librados' threads use
//! static objects of its libraries to their last, and those are destroyed at exit.

#![expect(
    clippy::disallowed_types,
    reason = "parking_lot waits by thread-locals, which are gone at exit"
)]

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The process ends without a connection that takes longer to end, as one to a cluster that is away may.
const PATIENCE: Duration = Duration::from_secs(10);

static ENDING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// A connection that is being ended, for as long as this lives.
pub(crate) struct Ending(());

impl Ending {
    pub(crate) fn begin() -> Self {
        *ending() += 1;
        Self(())
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        *ending() -= 1;
        ENDED.notify_all();
    }
}

/// Has the process wait at its end. To be called when the libraries are loaded: what is registered last
/// runs first, and so before their static objects go.
pub(crate) fn wait_at_exit() {
    // SAFETY: the function does not unwind, and what it uses is static and has no destructor. Where
    // there is no memory to register it nothing waits, and a crash at the very end is all that comes of it.
    unsafe { libc::atexit(wait) };
}

extern "C" fn wait() {
    drop(ENDED.wait_timeout_while(ending(), PATIENCE, |ending| *ending > 0));
}

fn ending() -> MutexGuard<'static, usize> {
    ENDING.lock().unwrap_or_else(PoisonError::into_inner)
}
