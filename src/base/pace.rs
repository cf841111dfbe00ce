//! Ends bodies that trickle, either way (slow loris).

use std::time::Duration;

/// Over how much waiting the other side's rate is averaged.
pub const PACE_WINDOW: Duration = Duration::from_secs(10);

/// The rate of a client that sends or takes, over the time in which we waited for it: what it loses to a
/// slow store of ours is not held against it.
#[derive(Debug)]
pub struct Pace {
    min_rate_bytes_per_second: u64,
    waited: Duration,
    moved_bytes: u64,
}

/// It is below its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client is too slow")]
pub struct TooSlow;

impl Pace {
    /// A rate of 0 never fails.
    pub fn new(min_rate_bytes_per_second: u64) -> Self {
        Self {
            min_rate_bytes_per_second,
            waited: Duration::ZERO,
            moved_bytes: 0,
        }
    }

    /// Adds one wait and the bytes that it was for; the end of a window starts the next.
    ///
    /// # Errors
    /// [`TooSlow`] at the end of a window.
    pub fn waited(&mut self, wait: Duration, moved_bytes: usize) -> Result<(), TooSlow> {
        self.waited += wait;
        self.moved_bytes += moved_bytes as u64;
        if self.waited < PACE_WINDOW {
            return Ok(());
        }
        let due_bytes = self.min_rate_bytes_per_second as f64 * self.waited.as_secs_f64();
        if (self.moved_bytes as f64) < due_bytes {
            return Err(TooSlow);
        }
        self.waited = Duration::ZERO;
        self.moved_bytes = 0;
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
        assert_eq!(pace.waited(SECOND, 999), Err(TooSlow));
    }

    #[test]
    fn a_burst_pays_for_its_own_window_only() {
        let mut pace = Pace::new(1000);
        pace.waited(10 * SECOND, 1_000_000).unwrap();
        assert_eq!(pace.waited(10 * SECOND, 0), Err(TooSlow));
    }

    #[test]
    fn no_minimum_never_fails() {
        Pace::new(0).waited(1000 * SECOND, 0).unwrap();
    }
}
