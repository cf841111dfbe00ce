//! Definitions from files: loaded by `glance-manage` and by us, then served by the real Glance and us.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::Pair;
use crate::support::{
    lab,
    wire::{self, Request},
};

/// The options of one more load of a file whose namespace is there.
const MODES: [&[&str]; 4] = [
    &[],
    &["--merge"],
    &["--merge", "--prefer_new"],
    &["--merge", "--overwrite"],
];

#[test]
fn files_of_definitions_are_loaded_as_glance_loads_them() {
    let pair = Pair::start(&[], &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.json");
    for text in [old(), new()] {
        fs::write(&file, text.to_string()).unwrap();
        for mode in MODES {
            pair.load(&file, mode);
            pair.compare_catalog();
        }
    }
    let stock = lab::python()
        .parent()
        .unwrap()
        .join("../etc/glance/metadefs");
    pair.load(&stock, &[]);
    assert!(pair.compare_catalog() > 30);
}

fn old() -> Value {
    json!({
        "namespace": "Own::Name", "display_name": "One", "description": "d", "visibility": "public",
        "protected": true, "owner": "lab",
        "resource_type_associations": [{"name": "A", "prefix": "a_"}, {"name": "B"}],
        "properties": {
            "kept": {"title": "K", "type": "string"},
            "changed": {"title": "C", "type": "integer", "minimum": 1},
        },
        "objects": [{"name": "o", "description": "d", "properties": {"x": {"title": "X", "type": "string"}}}],
        "tags": [{"name": "t"}],
    })
}

fn new() -> Value {
    json!({
        "namespace": "Own::Name", "display_name": "Two", "visibility": "private", "protected": false,
        "resource_type_associations": [{"name": "A", "prefix": "b_", "properties_target": "image"}, {"name": "C"}],
        "properties": {
            "changed": {"title": "C2", "type": "integer", "maximum": 9},
            "added": {"title": "N", "type": "boolean"},
        },
        "objects": [{"name": "o", "properties": {}}, {"name": "p", "description": "q", "properties": {}}],
        "tags": [{"name": "t"}, {"name": "u"}],
    })
}

impl Pair {
    /// Has both load a file or a directory.
    fn load(&self, path: &Path, mode: &[&str]) {
        let mut manage = Command::new(lab::python().with_file_name("glance-manage"));
        manage.arg("--config-file").arg(self.glance.config());
        manage.args(["db", "load_metadefs", "--path"]).arg(path);
        lab::run(manage.args(mode));
        let words = format!(
            "db load-metadefs --path {} {}",
            path.display(),
            mode.join(" ")
        );
        let loaded = self.ours.command(words.trim());
        let said = String::from_utf8_lossy(&loaded.stderr);
        assert!(loaded.status.success(), "{words}: {said}");
    }

    /// Compares all namespaces and what they hold; returns how many there are.
    fn compare_catalog(&self) -> usize {
        const ALL: &str = "/v2/metadefs/namespaces?limit=100&sort_key=namespace&sort_dir=asc";
        let [theirs, ours] = self.both(ALL);
        assert_eq!(theirs, ours, "Glance's, then ours");
        let namespaces = theirs["namespaces"].as_array().unwrap();
        for one in namespaces {
            let path = one["self"].as_str().unwrap().replace(' ', "%20");
            let [theirs, ours] = self.both(&path);
            assert_eq!(theirs, ours, "Glance's, then ours");
        }
        namespaces.len()
    }

    fn both(&self, path: &str) -> [Value; 2] {
        [self.glance.address, self.ours.address].map(|address| {
            let answer = wire::exchange(address, &Request::new("GET", path)).unwrap();
            assert_eq!(answer.status, 200, "{path}");
            let mut body = answer.json();
            forget_times(&mut body);
            sort_types(&mut body);
            body
        })
    }
}

/// Types are in the order of their rows: of the files, which Glance reads in that of the directory.
fn sort_types(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("resource_type_associations") {
                types.sort_by_key(|one| one["name"].to_string());
            }
            members.values_mut().for_each(sort_types);
        }
        Value::Array(items) => items.iter_mut().for_each(sort_types),
        _ => {}
    }
}

/// Times are each server's own, and Glance shows none of what was never changed.
fn forget_times(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !["created_at", "updated_at"].contains(&name.as_str()));
            members.values_mut().for_each(forget_times);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_times),
        _ => {}
    }
}
