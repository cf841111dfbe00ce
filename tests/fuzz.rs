//! The corpora of the fuzz targets, replayed without a fuzzer.

use std::{fs, path::Path};

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is the library of the fuzz crate too")]
mod targets;

#[test]
fn every_target_takes_its_corpus() {
    for (name, target) in targets::TARGETS {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(name);
        let seeds: Vec<_> = fs::read_dir(&corpus).unwrap().map(Result::unwrap).collect();
        assert!(!seeds.is_empty(), "no seeds for {name}");
        for seed in seeds {
            target(&fs::read(seed.path()).unwrap());
        }
    }
}

#[test]
fn every_target_is_a_binary_of_the_fuzz_crate() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    let binaries = manifest.matches("[[bin]]").count();
    assert_eq!(binaries, targets::TARGETS.len());
    for (name, _) in targets::TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
    }
}
