//! `docs/CONFIGURATION.md`, written from the declarations. `UPDATE_DOCS=1 cargo test` renews it.

use std::fmt::Write;

use super::{
    TABLES,
    guards::{GUARDS, Guard},
    option::{Opt, Table},
    unsupported,
};
use crate::base::written::assert_current;

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from src/config by its tests: UPDATE_DOCS=1 cargo test --lib config::docs -->

Fresnel reads Glance's own configuration: the files of oslo.config, with Glance's names where the
meaning is Glance's. What only Fresnel has is in `[fresnel]`. No file is searched for; every command
takes `--config-file FILE` and `--config-dir DIR` (its `*.conf`, in the order of their names), each
any number of times, and of an option that is set twice the later value counts. Without any file the
defaults below hold.

- `fresnel config check` says everything that is wrong, with file and line, and names what has no
  effect.
- `fresnel config show` prints every option with its value in force, where that comes from, and
  defaults as comments. Passwords in URLs are masked.

The dialect is oslo.config's: sections, `key = value` or `key: value`, comments that begin with `#`
or `;`, values that go on in lines that begin with white space, quotes around a whole value. `$name`,
`${name}`, `$section.name` and `${section.name}` stand for another option's value; `$$` or `\\$` is a
dollar. An empty value of an option without a default leaves it unset.

A value that cannot be read refuses to start. So does one that asks for something that protects or
places data and is not supported ([below](#refused)). Any other option that Glance has and Fresnel
does not ([below](#without-effect)) is named in a warning at the start, and so is one that nobody
knows.
";

#[test]
fn the_page_is_current() {
    assert_current("CONFIGURATION.md", &page(), "config::docs");
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut heading = "";
    for table in TABLES {
        if table.section != heading {
            heading = table.section;
            writeln!(page, "\n## `[{heading}]`").unwrap();
        }
        page += &options(table);
    }
    page += "\n## Refused\n\nThese options are accepted only with the values named here.\n\n";
    page += "| option | accepted | otherwise |\n| --- | --- | --- |\n";
    page.extend(GUARDS.iter().map(refused));
    page += "\nSo are types of stores other than `cinder`, `file`, `http`, `rbd`, `s3` and `swift` in `enabled_backends`, \
             `stores` and `default_store`.\n";
    page += "\n## Without effect\n\n";
    for (section, names) in unsupported::sections() {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        writeln!(page, "- `[{section}]` {}", names.join(" ")).unwrap();
    }
    page
}

fn options(table: &Table) -> String {
    let mut text = format!("\n{}\n", paragraph(table.about));
    text += "\n| option | type | default | what it is |\n| --- | --- | --- | --- |\n";
    text.extend(table.options.iter().map(row));
    text
}

fn row(option: &Opt) -> String {
    let default = option.default.map_or("unset".to_owned(), code);
    let older: Vec<String> = option
        .was
        .iter()
        .map(|(section, name)| format!("`[{section}] {name}`"))
        .collect();
    let older = if older.is_empty() {
        String::new()
    } else {
        format!(" Also read as {}.", older.join(", "))
    };
    format!(
        "| `{}` | {} | {default} | {}{older} |\n",
        option.name,
        kind(option),
        paragraph(option.doc),
    )
}

fn kind(option: &Opt) -> String {
    match (option.min, option.max) {
        (None, None) => option.kind.to_owned(),
        (Some(min), None) => format!("{} from {min}", option.kind),
        (None, Some(max)) => format!("{} to {max}", option.kind),
        (Some(min), Some(max)) => format!("{} from {min} to {max}", option.kind),
    }
}

fn refused(guard: &Guard) -> String {
    let mut accepted = vec!["unset".to_owned()];
    accepted.extend(guard.harmless.iter().map(|value| code(value)));
    let (section, name) = (guard.section, guard.name);
    format!(
        "| `[{section}] {name}` | {} | {} |\n",
        accepted.join(", "),
        guard.reason
    )
}

fn code(text: &str) -> String {
    if text.is_empty() {
        return "empty".to_owned();
    }
    format!("`{text}`")
}

/// The lines of a documentation comment as one.
fn paragraph(lines: &str) -> String {
    let lines: Vec<&str> = lines.lines().map(str::trim).collect();
    lines.join(" ").trim().to_owned()
}
