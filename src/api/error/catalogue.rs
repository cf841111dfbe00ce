//! `docs/ERRORS.md`: every error that a client can meet, with its cause and its cure. Status and text
//! are those of the errors themselves; which errors there are is read from their declarations, so that
//! none is missing. `UPDATE_DOCS=1 cargo test` renews the page.

mod artifacts;
mod images;
mod refusals;
mod requests;
mod transfers;

use std::{collections::BTreeMap, fmt::Write};

use super::{Asked, Detail, Error, Explanation, Log};
use crate::{
    api::operation::STATUSES,
    base::written::assert_current,
    http::error::title,
    model::{ImageId, ProjectId, StoreId},
};

const INTRODUCTION: &str = "\
# Errors

<!-- Generated from src/api/error by its tests: UPDATE_DOCS=1 cargo test --lib api::error -->

Every error that a client can meet, by its status: what it reads, why, and what helps. Words in `{}` stand for
those of the request. An error is HTML, JSON or plain text, by `Accept`; its text stands in the body of each, and
where none is here it is the status's own. Every answer to a known caller has `X-Openstack-Request-Id`: the
service's log has the cause of a failure under it, and no client is told more. An answer that comes before the
caller is known (401, and the 503 while Keystone is away) has none, as in Glance; the log has it all the same, under
the id that the request brought, or else by the client's address.

What a path that is not HTTP is answered with, before any route is looked for, is in
[SEMANTICS.md](SEMANTICS.md#heads-that-are-no-http).
";

/// An error, why it comes, and what helps.
struct Row {
    error: Error,
    cause: &'static str,
    cure: &'static str,
}

fn row(error: impl Into<Error>, cause: &'static str, cure: &'static str) -> Row {
    Row {
        error: error.into(),
        cause,
        cure,
    }
}

fn rows() -> Vec<Row> {
    [
        requests::rows(),
        images::rows(),
        transfers::rows(),
        refusals::rows(),
        artifacts::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn the_page_is_current() {
    assert_current("ERRORS.md", &page(), "api::error");
}

/// The declarations, and what stands before their names where others hold them.
const DECLARATIONS: [(&str, &str, &str); 11] = [
    ("", "Error", include_str!("../error.rs")),
    ("Control", "Error", include_str!("../../control/error.rs")),
    (
        "Control::Artifact",
        "Refusal",
        include_str!("../../control/artifact/refusal.rs"),
    ),
    (
        "Control::Cache",
        "Refusal",
        include_str!("../../control/cache.rs"),
    ),
    (
        "Control::Encryption",
        "Refusal",
        include_str!("../../control/encryption.rs"),
    ),
    (
        "Control::Import",
        "Refusal",
        include_str!("../../control/import/refusal.rs"),
    ),
    (
        "Control::Location",
        "Refusal",
        include_str!("../../control/location/refusal.rs"),
    ),
    (
        "Control::Metadef",
        "Refusal",
        include_str!("../../control/metadef/refusal.rs"),
    ),
    (
        "Control::Range",
        "RangeError",
        include_str!("../../model/range.rs"),
    ),
    (
        "Control::Data",
        "Error",
        include_str!("../../data/error.rs"),
    ),
    (
        "Control::Store",
        "Error",
        include_str!("../../store/error.rs"),
    ),
];

/// Variants that hold another enumeration, and those that stand for a failure of the database, of
/// which a client is told nothing but the status.
const HOLDERS: [&str; 10] = [
    "Control",
    "Artifact",
    "Cache",
    "Encryption",
    "Import",
    "Location",
    "Metadef",
    "Range",
    "Data",
    "Store",
];

#[test]
fn every_error_has_its_cause_and_cure() {
    let explained: Vec<String> = rows().iter().map(|row| name(&row.error)).collect();
    for (holder, declared, source) in DECLARATIONS {
        for variant in variants(source, declared) {
            let name = match holder {
                "" => variant.to_owned(),
                holder => format!("{holder}::{variant}"),
            };
            assert!(
                HOLDERS.contains(&variant) || explained.contains(&name),
                "{name}: say its cause and cure in src/api/error/catalogue"
            );
        }
    }
}

/// The variants of an enumeration, by its source.
fn variants<'a>(source: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let opening = format!("pub enum {name} {{\n");
    let body = source
        .split_once(&opening)
        .expect("the declaration is there")
        .1;
    let body = body.split("\n}").next().unwrap_or_default();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = lines.filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase()));
    lines.map(|line| {
        let end = line.find(|letter: char| !letter.is_alphanumeric());
        &line[..end.unwrap_or(line.len())]
    })
}

/// The variants that make the error, from the outside in.
fn name(error: &Error) -> String {
    let shown = format!("{error:?}");
    let mut rest = shown.as_str();
    let mut names = Vec::new();
    loop {
        let end = rest.find(|letter: char| !letter.is_alphanumeric());
        let variant = &rest[..end.unwrap_or(rest.len())];
        names.push(variant);
        match rest[variant.len()..].strip_prefix('(') {
            Some(inner) if HOLDERS.contains(&variant) => rest = inner,
            _ => return names.join("::"),
        }
    }
}

fn page() -> String {
    let mut statuses: BTreeMap<u16, Vec<Row>> = BTreeMap::new();
    for row in rows() {
        let (status, _) = row.error.verdict();
        statuses.entry(status.as_u16()).or_default().push(row);
    }
    let mut page = INTRODUCTION.to_owned();
    for (status, rows) in statuses {
        let about = STATUSES.iter().find(|(known, _)| *known == status);
        let (_, about) = about.expect("every status is explained");
        let status = ::http::StatusCode::from_u16(status).expect("it is one");
        writeln!(
            page,
            "\n## {}\n\n{}. {about}",
            status.as_str(),
            title(status)
        )
        .unwrap();
        page += "\n| text | cause | cure |\n| --- | --- | --- |\n";
        for row in rows {
            let text = match text(&row.error).as_str() {
                "" => "none".to_owned(),
                text => cell(text),
            };
            writeln!(
                page,
                "| {text} | {} | {} |",
                cell(row.cause),
                cell(row.cure)
            )
            .unwrap();
        }
    }
    page
}

/// What the client reads.
fn text(error: &Error) -> String {
    let (status, place) = error.verdict();
    match place {
        Explanation | Detail => error.to_string(),
        Log => {
            let (head, ()) = ::http::Request::builder()
                .method("METHOD")
                .body(())
                .expect("it is a method")
                .into_parts();
            error
                .default_explanation(status, &Asked::of(&head))
                .into_owned()
        }
    }
}

/// A text as it may stand in a table.
fn cell(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" ").replace('|', "\\|").replace('<', "&lt;")
}

fn image() -> ImageId {
    ImageId::new("{image}")
}

fn project() -> ProjectId {
    ProjectId::new("{project}")
}

fn store() -> StoreId {
    StoreId::new("{store}")
}
