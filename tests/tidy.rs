//! The layer table of ARCHITECTURE.md, as a test.

use std::{fs, path::Path};

/// Who may use whom. A row may name only rows above it, so there are no cycles.
const MAY_USE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("model", &["base"]),
    ("buf", &["base", "model"]),
    ("client", &["base", "model", "buf"]),
    ("store", &["base", "model", "buf", "client"]),
    ("cache", &["base", "model", "buf"]),
    (
        "data",
        &["base", "model", "buf", "client", "store", "cache"],
    ),
    ("http", &["base", "model", "buf"]),
    (
        "control",
        &["base", "model", "client", "store", "cache", "data"],
    ),
    ("api", &["base", "model", "buf", "data", "http", "control"]),
    (
        "gateway",
        &["base", "model", "buf", "client", "cache", "data", "http"],
    ),
    (
        "config",
        &[
            "base", "model", "buf", "client", "store", "cache", "data", "http", "control", "api",
            "gateway",
        ],
    ),
    (
        "app",
        &[
            "base", "model", "buf", "client", "store", "cache", "data", "http", "control", "api",
            "gateway", "config",
        ],
    ),
    ("cli", &["base", "model", "config", "app"]),
];

/// External crates that only these modules may name.
const FENCES: &[(&str, &[&str])] = &[
    ("sqlx", &["control/db"]),
    ("hyper", &["http", "client"]),
    ("hyper_util", &["http", "client"]),
    ("reqwest", &["client"]),
    ("rustls", &["http", "client"]),
    ("tokio_rustls", &["http", "client"]),
    ("rustls_platform_verifier", &["client"]),
    ("base64", &["client"]),
    (
        "openssl",
        &["data/digest", "data/encrypt", "data/signature", "client/s3"],
    ),
    (
        "flate2",
        &["data/decompress", "data/decompress.rs", "data/convert"],
    ),
    ("quick_xml", &["client/s3"]),
    ("crc32fast", &["client/s3"]),
    ("fresnel_ceph", &["store/rbd"]),
    ("fresnel_ring", &["store/file", "store/file.rs", "cache"]),
    ("fresnel_hash", &["data/digest"]),
    ("fresnel_mem", &["buf"]),
    ("fresnel_xts", &["data/encrypt"]),
    ("clap", &["cli", "main.rs"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("metrics_exporter_prometheus", &["base"]),
    ("saphyr_parser", &["control/policy"]),
    ("fancy_regex", &["control/protect"]),
];

/// Where Rust is written.
const ROOMS: &[&str] = &[
    "src",
    "native",
    "tests",
    "benches",
    "fuzz/src",
    "fuzz/fuzz_targets",
];

const LINES_MAX: usize = 600;

#[test]
fn a_row_names_only_rows_above_it() {
    for (at, (module, allowed)) in MAY_USE.iter().enumerate() {
        for used in *allowed {
            let above = MAY_USE[..at].iter().any(|(name, _)| name == used);
            assert!(above, "{module} may use {used}, which is not above it");
        }
    }
}

#[test]
fn modules_use_only_what_the_table_allows() {
    for (file, text) in sources(&["src"]) {
        let Some((module, _)) = module_of(&file) else {
            continue;
        };
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            panic!("{file} is in no layer");
        };
        for used in crate_paths(&text) {
            let layer = MAY_USE.iter().any(|(name, _)| *name == used);
            assert!(
                !layer || used == module || allowed.contains(&used.as_str()),
                "{file} uses crate::{used}, which {module} may not"
            );
        }
    }
}

#[test]
fn fenced_crates_stay_behind_their_fence() {
    for (file, text) in sources(&["src"]) {
        for (name, homes) in FENCES {
            let used = text.lines().any(|line| {
                let code = line.trim_start();
                !code.starts_with("//")
                    && (code.contains(&format!("{name}::")))
                    && !code.contains(&format!("_{name}::"))
                    && !code.contains(&format!("::{name}::"))
            });
            let home = homes
                .iter()
                .any(|home| file.starts_with(&format!("src/{home}")));
            assert!(
                !used || home,
                "{file} names {name}, which belongs to {homes:?}"
            );
        }
    }
}

#[test]
fn no_file_is_longer_than_it_can_be_read() {
    for (file, text) in sources(ROOMS) {
        let before_tests = text.split("\n#[cfg(test)]\nmod tests {").next();
        let lines = before_tests.unwrap_or_default().lines().count();
        assert!(
            lines <= LINES_MAX,
            "{file} has {lines} lines before its tests, {LINES_MAX} at most"
        );
    }
}

#[test]
fn no_room_without_a_name() {
    for (file, _) in sources(ROOMS) {
        for name in ["mod.rs", "util", "utils", "common", "helpers", "misc"] {
            let found = Path::new(&file).components().any(|part| {
                part.as_os_str() == name || part.as_os_str() == format!("{name}.rs").as_str()
            });
            assert!(!found, "{file}: {name} says nothing");
        }
    }
}

fn module_of(file: &str) -> Option<(&str, &str)> {
    let path = file.strip_prefix("src/")?;
    let (module, rest) = path
        .split_once('/')
        .unwrap_or((path.strip_suffix(".rs")?, ""));
    (!["main", "lib"].contains(&module)).then_some((module, rest))
}

/// The first names after `crate::`, in code.
fn crate_paths(text: &str) -> Vec<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.push(head(rest)),
        }
    }
    found
}

/// `{a::B, c::{D, E}}` has the heads `a` and `c`.
fn group_heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut start) = (Vec::new(), 0, true);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && c.is_alphabetic() => {
                heads.push(head(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    heads
}

fn head(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Every Rust file in these folders, with its path from the root.
fn sources(rooms: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = rooms.iter().map(|room| root.join(room)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 10, "the sources were not found");
    found
}
