//! What the program is for, measured beside its peers in one run. `make bench` runs all of it;
//! `cargo bench -- upload memory` runs some. Figures are medians of `BENCH_RUNS` (5) runs. The
//! promises stand in docs/SPECIFICATION.md; a row that falls short says so and fails the run.

mod authorized;
mod cache;
mod client;
mod data;
mod digests;
mod encrypt;
mod imports;
mod measure;
mod memory;
mod metadata;
mod peers;
mod policy;
mod rbd;
mod s3;

use std::{io::Write, path::PathBuf, process::ExitCode};

/// One promise: a figure, what it is set beside, and the least it may be.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) work: String,
    /// Our figure with its unit.
    pub(crate) ours: String,
    /// The peer's or the limit's figure.
    pub(crate) beside: String,
    /// The ratio or figure that is promised.
    pub(crate) ratio: f64,
    /// What it must keep.
    pub(crate) promise: Promise,
}

/// A bound on a row's ratio.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Promise {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Row {
    fn holds(&self) -> bool {
        match self.promise {
            Promise::AtLeast(bound) => self.ratio >= bound,
            Promise::AtMost(bound) => self.ratio <= bound,
        }
    }

    fn line(&self) -> String {
        let bound = match self.promise {
            Promise::AtLeast(bound) => format!(">= {bound}"),
            Promise::AtMost(bound) => format!("<= {bound}"),
        };
        let verdict = if self.holds() { "holds" } else { "FALLS SHORT" };
        format!(
            "| {} | {} | {} | {:.2} | {bound} | {verdict} |",
            self.work, self.ours, self.beside, self.ratio
        )
    }
}

/// What every group of rows needs.
#[derive(Debug)]
pub(crate) struct Bench {
    /// Counted runs of each figure.
    pub(crate) runs: usize,
    /// Bytes of the large image.
    pub(crate) image_bytes: u64,
    /// On the disk that the stores use.
    pub(crate) folder: PathBuf,
}

type Group = fn(&Bench) -> Vec<Row>;

const GROUPS: &[(&str, Group)] = &[
    ("upload", data::upload),
    ("download", data::download),
    ("many", data::many),
    ("digests", digests::digests),
    ("encrypt", encrypt::encrypt),
    ("metadata", metadata::rates),
    ("authorized", authorized::gets),
    ("throttled", metadata::beside_slow_readers),
    ("memory", memory::idle),
    ("policy", policy::questions),
    ("import-web", imports::from_the_web),
    ("import-convert", imports::converted),
];

/// Asked for by name: they need a cluster (`make bench-rbd`), and the last a build of its own.
const GROUPS_OF_RBD: &[(&str, Group)] = &[
    ("rbd-upload", rbd::uploads),
    ("rbd-download", rbd::downloads),
    ("rbd-memory", rbd::memory),
    ("rbd-no-digests", rbd::without_digests),
];

/// Asked for by name, too: they need a cluster and its S3 server (`make bench-s3`), and the last a build of its own.
const GROUPS_OF_S3: &[(&str, Group)] = &[
    ("s3-upload", s3::uploads),
    ("s3-chunked", s3::chunked),
    ("s3-download", s3::downloads),
    ("s3-no-digests", s3::without_digests),
];

/// Asked for by name, because it needs a cluster and its S3 server (`make bench-import`).
const GROUPS_OF_STORES: &[(&str, Group)] = &[("import-stores", imports::into_stores)];

/// Asked for by name, because together they take as long as all others (`make bench-cache`).
const GROUPS_OF_CACHE: &[(&str, Group)] = &[
    ("cache-warm", cache::warm),
    ("cache-cold", cache::cold),
    ("cache-slow", cache::slow_upstream),
    ("cache-storm", cache::storm),
    ("cache-ranges", cache::ranges),
];

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let folder = std::env::var_os("BENCH_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench"),
        PathBuf::from,
    );
    std::fs::create_dir_all(&folder).expect("the bench folder is writable");
    let bench = Bench {
        runs: number("BENCH_RUNS", 5) as usize,
        image_bytes: number("BENCH_IMAGE_MIB", 2048) << 20,
        folder,
    };
    let mut out = std::io::stdout();
    let head =
        "| work | ours | beside | ratio | promise | |\n| --- | --- | --- | --- | --- | --- |";
    writeln!(out, "{head}").expect("standard output is open");
    let mut short = false;
    let all = GROUPS.iter().filter(|_| asked.is_empty());
    let named = GROUPS.iter().chain(GROUPS_OF_RBD).chain(GROUPS_OF_S3);
    let named = named.chain(GROUPS_OF_STORES).chain(GROUPS_OF_CACHE);
    let named = named.filter(|(name, _)| asked.iter().any(|a| a == name));
    for (_, group) in all.chain(named) {
        for row in group(&bench) {
            short |= !row.holds();
            writeln!(out, "{}", row.line()).expect("standard output is open");
        }
    }
    if short {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
