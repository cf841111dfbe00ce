//! Options that Glance has and we do not: they are read past, and named in one warning.

use super::{files::Entry, reader::Reader, stores::Stores};

/// `[section]` lines, each followed by the names of the options in it.
const NAMES: &str = include_str!("unsupported.txt");
/// The section that holds the names of all stores' options.
const STORES_SECTION: &str = "glance_store";

/// One warning for what is known and not supported, one for what is not known at all.
pub(super) fn warnings(reader: &Reader<'_>, stores: &Stores) -> Vec<String> {
    let (known, unknown): (Vec<&Entry>, Vec<&Entry>) = reader
        .unused()
        .partition(|entry| is_known(stores_section(&entry.section, stores), &entry.key));
    let kinds = [
        ("These options are not supported and have no effect", known),
        ("These options are not known and have no effect", unknown),
    ];
    let filled = kinds.into_iter().filter(|(_, entries)| !entries.is_empty());
    let warning = filled.map(|(text, entries)| {
        let named = entries
            .iter()
            .map(|e| format!("[{}] {} ({})", e.section, e.key, e.place));
        format!("{text}: {}", named.collect::<Vec<_>>().join(", "))
    });
    warning.collect()
}

/// The sections and the names in them.
pub(super) fn sections() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    NAMES.split('[').skip(1).map(|text| {
        let (section, names) = text.split_once(']').expect("a section ends with ]");
        (section, names.split_whitespace().collect())
    })
}

/// Whether Glance has an option of that name there and we do not.
pub(super) fn is_known(section: &str, name: &str) -> bool {
    let mut known = sections().filter(|(known, _)| *known == section);
    known.any(|(_, names)| names.contains(&name))
}

/// Stores have the options of stores in sections of their own.
fn stores_section<'a>(section: &'a str, stores: &Stores) -> &'a str {
    let mut ids = stores.stores.iter().map(|store| store.settings.id.as_str());
    let of_store = ids.any(|id| id.to_lowercase() == section) || section == "backend_defaults";
    if of_store { STORES_SECTION } else { section }
}
