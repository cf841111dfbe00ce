//! What happens often is told seldom.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, const_mutex};

/// What happens again within this time is counted, and told with the next.
const SILENCE: Duration = Duration::from_secs(60);

/// Something that can happen with every request: told when it happens first, and then once a minute, with
/// how often it did.
#[derive(Debug)]
pub struct Seldom(Mutex<State>);

#[derive(Debug)]
struct State {
    told_at: Option<Instant>,
    times: u64,
}

impl Seldom {
    /// Has not happened yet.
    pub const fn new() -> Self {
        Self(const_mutex(State {
            told_at: None,
            times: 0,
        }))
    }

    /// It happens. How often it did since it was told, where it is time to tell.
    pub fn times(&self) -> Option<u64> {
        let mut state = self.0.lock();
        state.times += 1;
        if state.told_at.is_some_and(|at| at.elapsed() < SILENCE) {
            return None;
        }
        state.told_at = Some(Instant::now());
        Some(std::mem::take(&mut state.times))
    }
}

impl Default for Seldom {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_what_follows_is_counted() {
        let seldom = Seldom::new();
        assert_eq!(seldom.times(), Some(1));
        assert_eq!((seldom.times(), seldom.times()), (None, None));
        // A machine that runs since less than that knows no such moment, and then none is as good.
        seldom.0.lock().told_at = Instant::now().checked_sub(SILENCE);
        assert_eq!(seldom.times(), Some(3));
    }
}
