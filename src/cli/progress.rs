//! How far long work is: one line of standard error that is written over, on a terminal and nowhere
//! else.

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::base::limits::MIB;

/// Between two lines. Work that is over sooner shows none.
const EVERY: Duration = Duration::from_millis(100);
/// Letters of the bar.
const BAR_LETTERS: usize = 20;
/// Letters of a line: a terminal of 80 does not break it.
const LINE_LETTERS_MAX: usize = 79;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Bytes,
    /// By that name, in the plural.
    Pieces(&'static str),
}

/// Shows how far the work is. Clones are of the same line.
#[derive(Clone, Debug)]
pub(super) struct Progress(Option<Arc<Mutex<Line>>>);

#[derive(Debug)]
struct Line {
    unit: Unit,
    /// What is being worked on, and since when.
    what: String,
    begun: Instant,
    drawn: Instant,
    is_there: bool,
}

impl Progress {
    /// `wanted` is false where the output is for programs.
    pub(super) fn new(unit: Unit, wanted: bool) -> Self {
        let shows = wanted && io::stderr().is_terminal();
        Self(shows.then(|| {
            let now = Instant::now();
            Arc::new(Mutex::new(Line {
                unit,
                what: String::new(),
                begun: now,
                drawn: now,
                is_there: false,
            }))
        }))
    }

    /// So much of `what` is done, of so much where that is known.
    pub(super) fn at(&self, what: &str, done: u64, whole: Option<u64>) {
        let Some(line) = &self.0 else {
            return;
        };
        let mut line = line.lock();
        let now = Instant::now();
        if line.what != what {
            (line.what, line.begun) = (what.to_owned(), now);
        }
        if now - line.drawn < EVERY {
            return;
        }
        (line.drawn, line.is_there) = (now, true);
        let text = text(line.unit, what, done, whole, now - line.begun);
        // Nobody is left to look when standard error is gone.
        let _ = write!(io::stderr(), "\r\x1b[K{text}");
    }

    /// Takes the line away, so that another can be printed in its place.
    pub(super) fn hide(&self) {
        if let Some(line) = &self.0 {
            line.lock().hide();
        }
    }
}

impl Line {
    fn hide(&mut self) {
        if std::mem::take(&mut self.is_there) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.hide();
    }
}

fn text(unit: Unit, what: &str, done: u64, whole: Option<u64>, passed: Duration) -> String {
    let scale = match unit {
        Unit::Bytes => MIB as u64,
        Unit::Pieces(_) => 1,
    };
    let name = match unit {
        Unit::Bytes => "MiB",
        Unit::Pieces(name) => name,
    };
    let rate = done as f64 / passed.as_secs_f64().max(EVERY.as_secs_f64());
    let speed = format!("{:.0} {name}/s", rate / scale as f64);
    let mut text = match whole.filter(|whole| *whole > 0) {
        None => format!("{what}: {} {name}, {speed}", done / scale),
        Some(whole) => {
            let done = done.min(whole);
            let full = (done as f64 / whole as f64 * BAR_LETTERS as f64) as usize;
            let bar = "#".repeat(full) + &"-".repeat(BAR_LETTERS - full);
            let left = (whole - done) as f64 / rate.max(f64::MIN_POSITIVE);
            format!(
                "{what}: [{bar}] {} of {} {name}, {speed}, {left:.0} s left",
                done / scale,
                whole / scale
            )
        }
    };
    if let Some((end, _)) = text.char_indices().nth(LINE_LETTERS_MAX) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_known_whole_has_a_bar_and_an_end() {
        let (done, whole) = (256 << 20, Some(1024 << 20));
        let expected = "i: [#####---------------] 256 of 1024 MiB, 256 MiB/s, 3 s left";
        assert_eq!(text(Unit::Bytes, "i", done, whole, SECOND), expected);
        let over = text(Unit::Bytes, "i", 2048 << 20, whole, SECOND);
        assert!(
            over.contains("[####################] 1024 of 1024"),
            "{over}"
        );
    }

    #[test]
    fn what_has_no_end_is_counted() {
        let line = text(Unit::Pieces("objects"), "fast", 100, None, SECOND * 2);
        assert_eq!(line, "fast: 100 objects, 50 objects/s");
        assert_eq!(
            text(Unit::Bytes, "i", 0, Some(0), SECOND),
            "i: 0 MiB, 0 MiB/s"
        );
    }

    #[test]
    fn a_line_fits_a_terminal() {
        let long = text(Unit::Bytes, &"ü".repeat(100), 1, Some(2), SECOND);
        assert_eq!(long.chars().count(), LINE_LETTERS_MAX);
    }
}
