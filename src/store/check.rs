//! What a look at a store found, for the operator ([`Store::check`](super::Store::check)).

use std::fmt;

/// One sentence about a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// In plain words: what was tried, what came of it, and what to do about it.
    pub text: String,
}

/// How a thing is that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The store works, but perhaps not as the operator thinks.
    Doubtful,
    /// The store does not work.
    Wrong,
}

impl Finding {
    /// As it should be.
    pub fn good(text: impl Into<String>) -> Self {
        Self::new(Verdict::Good, text)
    }

    /// Works, but.
    pub fn doubtful(text: impl Into<String>) -> Self {
        Self::new(Verdict::Doubtful, text)
    }

    /// Does not work.
    pub fn wrong(text: impl Into<String>) -> Self {
        Self::new(Verdict::Wrong, text)
    }

    fn new(verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            verdict,
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Good => "ok",
            Verdict::Doubtful => "note",
            Verdict::Wrong => "WRONG",
        };
        write!(f, "{mark:<5} {}", self.text)
    }
}
