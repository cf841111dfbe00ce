//! Options that protect or place data and that this version does not honour: a value that asks for
//! something refuses to start, because to ignore it would be to break a promise of the operator's.

use super::reader::Reader;

/// An option and the values of it that ask for nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    /// The section.
    pub section: &'static str,
    /// The name.
    pub name: &'static str,
    /// The values that may stay, in lower case; an empty one always may.
    pub harmless: &'static [&'static str],
    /// Why no other may.
    pub reason: &'static str,
}

/// All of them.
pub(crate) const GUARDS: &[Guard] = &[Guard {
    section: "DEFAULT",
    name: "metadata_encryption_key",
    harmless: &[],
    reason: "encrypted locations are not supported yet",
}];

/// Refuses what the guards stand before.
pub(super) fn check(reader: &mut Reader<'_>) {
    for guard in GUARDS {
        let Some((text, place)) = reader.text(guard.section, guard.name) else {
            continue;
        };
        let text = text.trim().to_lowercase();
        if !text.is_empty() && !guard.harmless.contains(&text.as_str()) {
            reader.refuse_at(Some(place), guard.section, guard.name, guard.reason);
        }
    }
}
