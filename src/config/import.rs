//! Interoperable import and tasks (reference A.5.3, A.5.4, A.8, E.10).

use std::{path::PathBuf, time::Duration};

use super::{
    Stores,
    option::section,
    plugins,
    reader::Reader,
    value::{Bracketed, Value},
};
use crate::{
    control::import::{LocalStaging, Method, Settings, Staging},
    model::StoreId,
};

section! {
    /// How images are imported.
    Import in "DEFAULT" {
        /// The ways: of `glance-direct`, `web-download`, `copy-image` and `glance-download`. None turns
        /// import off.
        enabled_import_methods: Methods = "[glance-direct,web-download,copy-image]";
        /// Where staged data waits for its import without `enabled_backends`: `file://` and a
        /// directory. Unset: `${fresnel.data_dir}/staging`.
        node_staging_uri: Option<String>;
        /// The URL of this very process, where several stage data in directories of their own: the
        /// others send the import there. Unset: `public_endpoint`.
        worker_self_reference_url: Option<String>;
    }
}

section! {
    /// Where staged data waits for its import with `enabled_backends`.
    StagingStore in "os_glance_staging_store" {
        /// The directory. Nodes that share it can import what any of them has staged. Unset:
        /// `${fresnel.data_dir}/staging`.
        filesystem_store_datadir: Option<String>;
    }
}

section! {
    /// What goes on after its request is answered.
    Tasks in "task" {
        /// Hours for which a task that has ended is remembered.
        task_time_to_live: u32 = "48", was &[("DEFAULT", "task_time_to_live")];
    }
}

/// Import methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Methods(Vec<Method>);

impl Value for Methods {
    const KIND: &'static str = "list";

    fn parse(text: &str) -> Result<Self, String> {
        let mut methods = Vec::new();
        for name in Bracketed::parse(text)?.0 {
            match name.parse::<Method>() {
                Ok(method) if methods.contains(&method) => {}
                Ok(method) => methods.push(method),
                Err(_) => return Err(format!("{name:?} is not an import method")),
            }
        }
        Ok(Self(methods))
    }
}

/// Reads all that is about imports. The host's name is the running system's to say.
pub(super) fn read(
    reader: &mut Reader<'_>,
    stores: &Stores,
    staging_store: Option<&str>,
    public_endpoint: Option<&String>,
    warnings: &mut Vec<String>,
) -> Settings {
    let import = Import::read(reader, &["DEFAULT"]);
    let own = StagingStore::read(reader, &["os_glance_staging_store"]);
    let tasks = Tasks::read(reader, &["task"]);
    let (plugins, download_properties) = plugins::read(reader, warnings);
    let staging = match staging_store {
        Some(id) => {
            check_store(reader, stores, id);
            Staging {
                store: StoreId::new(id),
                local: None,
            }
        }
        None => Staging {
            store: StoreId::new(Settings::STAGING_STORE),
            local: Some(LocalStaging {
                path: directory(reader, stores, own, import.node_staging_uri),
                host: String::new(),
            }),
        },
    };
    let ttl = Duration::from_secs(3600 * u64::from(tasks.task_time_to_live));
    let local = staging.local.as_ref().map(|local| local.path.clone());
    Settings {
        methods: import.enabled_import_methods.0,
        plugins,
        download_properties,
        scratch: local.unwrap_or_else(|| reader.path_below_data_dir("import").into()),
        staging,
        self_url: import
            .worker_self_reference_url
            .or_else(|| public_endpoint.cloned()),
        task_time_to_live: ttl,
    }
}

/// Each mode has its option, as in Glance.
fn directory(
    reader: &mut Reader<'_>,
    stores: &Stores,
    own: StagingStore,
    uri: Option<String>,
) -> PathBuf {
    let fallback = || reader.path_below_data_dir("staging");
    if stores.multistore {
        return own.filesystem_store_datadir.unwrap_or_else(fallback).into();
    }
    let Some(uri) = uri else {
        return fallback().into();
    };
    match uri.strip_prefix("file://") {
        Some(path) if path.starts_with('/') => path.trim_end_matches('/').into(),
        _ => {
            let reason = format!("{uri:?} is not file:// and an absolute path");
            reader.refuse("DEFAULT", "node_staging_uri", &reason);
            PathBuf::new()
        }
    }
}

/// Images never rest where data is staged: the names are the same.
fn check_store(reader: &mut Reader<'_>, stores: &Stores, id: &str) {
    let known = stores
        .stores
        .iter()
        .any(|store| store.settings.id.as_str() == id);
    let is_default = stores.default.as_str() == id;
    let reason = match (stores.multistore, known, is_default) {
        (false, _, _) => "needs enabled_backends",
        (true, false, _) => "must name one of enabled_backends",
        (true, true, true) => "cannot be default_backend: no image rests there",
        (true, true, false) => return,
    };
    reader.refuse("fresnel", "staging_store", reason);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::tests::{error, load_text};

    const TWO: &str = "[DEFAULT]\nenabled_backends = a:file, b:file\n[glance_store]\n\
                       default_backend = a\n[a]\nfilesystem_store_datadir = /a\n[b]\n\
                       filesystem_store_datadir = /b\n";

    #[test]
    fn each_mode_has_its_directory_of_staged_data() {
        let staging = |text: &str| load_text(text).unwrap().control.import.staging.local;
        let one = staging("[DEFAULT]\nnode_staging_uri = file:///tmp/staging/\n").unwrap();
        assert_eq!(one.path, Path::new("/tmp/staging"));
        let reserved = "[os_glance_staging_store]\nfilesystem_store_datadir = /s\n";
        let two = staging(&format!("{TWO}{reserved}")).unwrap();
        assert_eq!(two.path, Path::new("/s"));
        let none = staging("").unwrap();
        assert_eq!(none.path, Path::new("./fresnel-data/staging"));
    }

    #[test]
    fn a_staging_store_takes_no_images() {
        let config = load_text(&format!("{TWO}[fresnel]\nstaging_store = b\n")).unwrap();
        let control = config.control;
        assert!(control.import.staging.local.is_none());
        assert_eq!(control.stores.len(), 1);
        for (store, reason) in [
            ("a", "cannot be default_backend"),
            ("c", "must name one of"),
        ] {
            let refused = error(&format!("{TWO}[fresnel]\nstaging_store = {store}\n"));
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn methods_are_those_of_the_operator() {
        let methods = |text: &str| load_text(text).unwrap().control.import.methods;
        assert_eq!(methods(""), Method::ALL[..3]);
        let text = "[DEFAULT]\nenabled_import_methods = ['glance-download', web-download]";
        assert_eq!(methods(text), [Method::GlanceDownload, Method::WebDownload]);
        assert!(methods("[DEFAULT]\nenabled_import_methods = []").is_empty());
        let refused = error("[DEFAULT]\nenabled_import_methods = [by-post]");
        assert!(refused.contains("by-post"), "{refused}");
    }
}
