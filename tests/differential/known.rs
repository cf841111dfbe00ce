//! The differences that we want, in one place. Whatever is not listed here is a failure, and so is an
//! entry that no longer differs.

/// One difference and where it shows.
#[derive(Debug)]
pub(super) struct Known {
    /// The heading in docs/SEMANTICS.md that tells clients about it.
    pub(super) entry: &'static str,
    /// Why we differ.
    pub(super) reason: &'static str,
    /// The steps that show it, as `area: name`.
    pub(super) steps: &'static [&'static str],
    /// Exactly what differs in them.
    pub(super) parts: &'static [Part],
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Status,
    Headers,
    Body,
}

pub(super) const KNOWN: &[Known] = &[];
