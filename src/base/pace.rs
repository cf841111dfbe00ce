//! Ends bodies that trickle (slow loris).

use std::time::Duration;

use crate::data::{Error, Result};

/// Over how much waiting the sender's rate is averaged.
pub const PACE_WINDOW: Duration = Duration::from_secs(10);

/// The sender's rate, over the time in which we waited for it: what it loses to a slow store of
/// ours is not held against it.
#[derive(Debug)]
pub(in crate::data) struct Pace {
    min_rate_bytes_per_second: u64,
    waited: Duration,
    received_bytes: u64,
}

impl Pace {
    /// A rate of 0 never fails.
    pub(in crate::data) fn new(min_rate_bytes_per_second: u64) -> Self {
        Self {
            min_rate_bytes_per_second,
            waited: Duration::ZERO,
            received_bytes: 0,
        }
    }

    /// Adds one wait; at the end of a window fails with [`Error::TooSlow`] or starts the next.
    pub(in crate::data) fn waited(&mut self, wait: Duration, received_bytes: usize) -> Result<()> {
        self.waited += wait;
        self.received_bytes += received_bytes as u64;
        if self.waited < PACE_WINDOW {
            return Ok(());
        }
        let due_bytes = self.min_rate_bytes_per_second as f64 * self.waited.as_secs_f64();
        if (self.received_bytes as f64) < due_bytes {
            return Err(Error::TooSlow);
        }
        self.waited = Duration::ZERO;
        self.received_bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_trickle_ends_with_its_window() {
        let mut pace = Pace::new(1000);
        for _ in 0..9 {
            pace.waited(SECOND, 999).unwrap();
        }
        assert!(matches!(pace.waited(SECOND, 999), Err(Error::TooSlow)));
    }

    #[test]
    fn a_burst_pays_for_its_own_window_only() {
        let mut pace = Pace::new(1000);
        pace.waited(10 * SECOND, 1_000_000).unwrap();
        assert!(matches!(pace.waited(10 * SECOND, 0), Err(Error::TooSlow)));
    }

    #[test]
    fn no_minimum_never_fails() {
        Pace::new(0).waited(1000 * SECOND, 0).unwrap();
    }
}
