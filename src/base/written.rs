//! Pages of `docs/` that are written from the program's own tables.

use std::{env, fs, path::Path};

/// Compares a page of `docs/` with what it should be. With `UPDATE_DOCS` in the environment it is renewed.
///
/// # Panics
/// Where it is stale; names the tests that renew it.
#[track_caller]
pub fn assert_current(name: &str, page: &str, tests: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, page).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    let command = format!("UPDATE_DOCS=1 cargo test --lib {tests}");
    assert!(written == page, "docs/{name} is stale: {command}");
}
