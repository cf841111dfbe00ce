//! The options of artifacts, in `[fresnel]`.

use std::{collections::BTreeMap, fs};

use super::{fresnel::Fresnel, reader::Reader, stores::Stores};
use crate::{
    control::artifact::{Settings, Types},
    model::StoreId,
};

const SECTION: &str = "fresnel";

pub(super) fn read(reader: &mut Reader<'_>, options: &Fresnel, stores: &Stores) -> Settings {
    if !options.artifacts {
        return Settings::default();
    }
    let store = options.artifact_store.as_deref().map(StoreId::new);
    if let Some(store) = &store
        && !stores
            .stores
            .iter()
            .any(|known| known.settings.id == *store)
    {
        let reason = format!("{:?} is no store of `enabled_backends`", store.as_str());
        reader.refuse(SECTION, "artifact_store", &reason);
    }
    Settings {
        enabled: true,
        types: types(reader, options),
        quotas: quotas(reader, options),
        store,
    }
}

fn types(reader: &mut Reader<'_>, options: &Fresnel) -> Types {
    let mut documents = Vec::new();
    for path in &options.artifact_type_files {
        match fs::read_to_string(path) {
            Ok(text) => documents.push(text),
            Err(error) => {
                reader.refuse(SECTION, "artifact_type_files", &format!("{path}: {error}"));
            }
        }
    }
    let types = Types::new(&options.artifact_types, &documents);
    types.unwrap_or_else(|wrong| {
        reader.refuse(SECTION, "artifact_types", &wrong);
        Types::default()
    })
}

fn quotas(reader: &mut Reader<'_>, options: &Fresnel) -> BTreeMap<String, i64> {
    let mut quotas = BTreeMap::new();
    for text in &options.artifact_quotas {
        let pair = text.split_once('=');
        let pair = pair.and_then(|(name, value)| {
            let value = value
                .trim()
                .parse()
                .ok()
                .filter(|value: &i64| *value >= -1)?;
            Some((name.trim().to_owned(), value))
        });
        let known = |name: &str| {
            let name = name.split(':').next().unwrap_or_default();
            ["max_artifact_number", "max_uploaded_data"].contains(&name)
        };
        match pair {
            Some((name, value)) if known(&name) => drop(quotas.insert(name, value)),
            _ => {
                let reason = format!(
                    "{text:?} is not max_artifact_number=number or max_uploaded_data=bytes, with \
                     :type behind the name for one type"
                );
                reader.refuse(SECTION, "artifact_quotas", &reason);
            }
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, load_text};

    #[test]
    fn artifacts_are_off_until_they_are_asked_for() {
        assert!(!load_text("").unwrap().control.artifacts.enabled);
        let text = "[fresnel]\nartifacts = true\nartifact_quotas = max_artifact_number:images=5\n";
        let artifacts = load_text(text).unwrap().control.artifacts;
        assert!(artifacts.enabled);
        assert_eq!(artifacts.quotas["max_artifact_number:images"], 5);
        assert_eq!(artifacts.types.iter().count(), 6);
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (line, said) in [
            (
                "artifact_types = unknown",
                "no type of artifacts \"unknown\"",
            ),
            ("artifact_type_files = /nowhere", "/nowhere"),
            ("artifact_quotas = max_colours=1", "max_colours"),
            (
                "artifact_quotas = max_artifact_number=-2",
                "max_artifact_number",
            ),
            ("artifact_store = fast", "no store"),
        ] {
            let told = error(&format!("[fresnel]\nartifacts = true\n{line}\n"));
            assert!(told.contains(said), "{told}");
        }
    }
}
