//! `enabled_backends`, `[glance_store]` and the section of each store (reference E.1, E.3).

use std::{collections::HashMap, path::PathBuf};

use serde_json::Value;

use super::{
    default::Backends,
    option::section,
    reader::Reader,
    value::{Many, Pairs},
};
use crate::{
    control::StoreSettings,
    model::StoreId,
    store::file::{self, Datadir},
};

/// Ids that Glance keeps for itself begin so.
const RESERVED_PREFIX: &str = "os_glance_";
/// The section of values that all stores share, below their own.
const SHARED_SECTION: &str = "backend_defaults";
/// The section of the one store where there are no `enabled_backends`.
const SINGLE_SECTION: &str = "glance_store";

/// The types that `enabled_backends` may name, and whether this version serves them.
const TYPES: &[(&str, Served)] = &[
    ("cinder", Served::NotYet),
    ("file", Served::Yes),
    ("http", Served::NotYet),
    ("rbd", Served::NotYet),
    ("s3", Served::NotYet),
    ("swift", Served::NotYet),
    ("vmware", Served::Never),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    Yes,
    NotYet,
    Never,
}

section! {
    /// The default store, and with `enabled_backends` unset the one store there is.
    GlanceStore in "glance_store" {
        /// The store that takes an upload that names none: one of `enabled_backends`.
        default_backend: Option<String>;
        /// Store types in use where there are no `enabled_backends`. Only `file` is served.
        stores: Vec<String> = "file,http";
        /// The store type that takes uploads where there are no `enabled_backends`.
        default_store: String = "file";
    }
}

section! {
    /// What every store has, in the section of its name or in `[backend_defaults]`.
    AnyStore in "glance_store" {
        /// What `/v2/info/stores` says of the store.
        store_description: Option<String>;
        /// Of an image in several stores, the one with the greatest weight is read first.
        weight: i64 = "0";
    }
}

section! {
    /// A store of type `file`: in the section of its name or in `[backend_defaults]`, and in
    /// `[glance_store]` where there are no `enabled_backends`.
    FileStore in "glance_store" {
        /// Directory of the images. Must be set for each of `enabled_backends`; the one store of a
        /// configuration without them has `${fresnel.data_dir}/images`.
        filesystem_store_datadir: Option<String>;
        /// Directories of the images as `path:priority`, instead of one: the greatest priority with
        /// room is written to, of equal ones that with most room.
        filesystem_store_datadirs: Many;
        /// Permissions of image files, in octal digits; 0 leaves them to the umask.
        filesystem_store_file_perm: i64 = "0";
        /// Leave holes in image files where the image has zeroes.
        filesystem_thin_provisioning: bool = "false";
    }
}

/// All stores of the process.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Whether `enabled_backends` is set.
    pub multistore: bool,
    /// In the operator's order; never empty.
    pub stores: Vec<Store>,
    /// Which of them takes an upload that names none.
    pub default: StoreId,
}

/// One store.
#[derive(Clone, Debug)]
pub struct Store {
    /// What the API tells of it.
    pub settings: StoreSettings,
    /// What it is.
    pub kind: Kind,
}

/// What a store is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Files in directories.
    File(file::Config),
}

/// Reads all that is about stores.
pub(super) fn read(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> Stores {
    let backends = Backends::read(reader, &["DEFAULT"]);
    let common = GlanceStore::read(reader, &[SINGLE_SECTION]);
    match &backends.enabled_backends {
        Some(Pairs(pairs)) if !pairs.is_empty() => several(reader, pairs, &common),
        _ => single(reader, &common, warnings),
    }
}

fn several(reader: &mut Reader<'_>, pairs: &[(String, String)], common: &GlanceStore) -> Stores {
    let refuse = |reader: &mut Reader<'_>, reason: String| {
        reader.refuse("DEFAULT", "enabled_backends", &reason);
    };
    for (id, kind) in pairs {
        if id.starts_with(RESERVED_PREFIX) {
            refuse(
                reader,
                format!("store {id}: names that begin with {RESERVED_PREFIX} are reserved"),
            );
        }
        let served = TYPES.iter().find(|(name, _)| name == kind);
        match served.map(|(_, served)| *served) {
            Some(Served::Yes) => {}
            Some(Served::NotYet) => refuse(
                reader,
                format!("store {id}: type {kind} is not supported yet"),
            ),
            Some(Served::Never) => {
                refuse(reader, format!("store {id}: type {kind} is not supported"))
            }
            None => refuse(
                reader,
                format!("store {id}: {kind:?} is not a type of store"),
            ),
        }
    }
    let default = common.default_backend.clone().unwrap_or_default();
    if default.is_empty() {
        let reason = "must name one of enabled_backends";
        let place = reader.place("DEFAULT", "enabled_backends");
        reader.refuse_at(place, "glance_store", "default_backend", reason);
    } else if !pairs.iter().any(|(id, _)| *id == default) {
        let reason = format!("{default:?} is not one of enabled_backends");
        reader.refuse("glance_store", "default_backend", &reason);
    }
    let files = pairs.iter().filter(|(_, kind)| kind == "file");
    let stores = files.map(|(id, _)| file_store(reader, id, &[id, SHARED_SECTION], None));
    let stores: Vec<Store> = stores.collect();
    refuse_shared_directories(reader, &stores);
    Stores {
        multistore: true,
        stores,
        default: StoreId::new(&default),
    }
}

fn single(reader: &mut Reader<'_>, common: &GlanceStore, warnings: &mut Vec<String>) -> Stores {
    for kind in &common.stores {
        match kind.as_str() {
            "file" => {}
            // Glance's default list has it: images at foreign addresses are read through it.
            "http" => {
                if let Some(place) = reader.place("glance_store", "stores") {
                    warnings.push(format!(
                        "{place}: [glance_store] stores: http is not supported yet"
                    ));
                }
            }
            other => {
                let reason = format!("{other:?} is not supported without enabled_backends");
                reader.refuse("glance_store", "stores", &reason);
            }
        }
    }
    if !["file", "filesystem"].contains(&common.default_store.as_str()) {
        let reason = format!("{:?} is not supported, only file is", common.default_store);
        reader.refuse("glance_store", "default_store", &reason);
    }
    let images = reader.path_below_data_dir("images");
    Stores {
        multistore: false,
        stores: vec![file_store(reader, "file", &[SINGLE_SECTION], Some(images))],
        default: StoreId::new("file"),
    }
}

/// A store of type file. `fallback` is its directory where none is configured.
fn file_store(
    reader: &mut Reader<'_>,
    id: &str,
    sections: &[&str],
    fallback: Option<String>,
) -> Store {
    let own = FileStore::read(reader, sections);
    let any = AnyStore::read(reader, sections);
    let section = sections[0];
    let datadirs = match (
        own.filesystem_store_datadir,
        &own.filesystem_store_datadirs.0[..],
    ) {
        (Some(_), [_, ..]) => {
            let reason = "excludes filesystem_store_datadir: set one of them";
            reader.refuse(section, "filesystem_store_datadirs", reason);
            Vec::new()
        }
        (Some(path), []) => vec![in_dir(path)],
        (None, []) => match fallback {
            Some(path) => vec![in_dir(path)],
            None => {
                let place = reader.place("DEFAULT", "enabled_backends");
                let reason = "must be set (Glance's default is /var/lib/glance/images)";
                reader.refuse_at(place, section, "filesystem_store_datadir", reason);
                Vec::new()
            }
        },
        (None, many) => prioritized(reader, section, many),
    };
    Store {
        settings: StoreSettings {
            properties: told(&datadirs, own.filesystem_thin_provisioning),
            id: StoreId::new(id),
            description: any.store_description,
            weight: any.weight,
            read_only: false,
        },
        kind: Kind::File(file::Config {
            datadirs,
            file_perm: permissions(reader, section, own.filesystem_store_file_perm),
            thin_provisioning: own.filesystem_thin_provisioning,
        }),
    }
}

/// What `GET /v2/info/stores/detail` tells of a file store. The chunk is Glance's default: ours are
/// not for clients to know.
fn told(datadirs: &[Datadir], thin_provisioning: bool) -> serde_json::Map<String, Value> {
    let path = datadirs.first().map(|dir| dir.path.display().to_string());
    serde_json::Map::from_iter([
        ("data_dir".to_owned(), path.into()),
        ("chunk_size".to_owned(), 65536.into()),
        ("thin_provisioning".to_owned(), thin_provisioning.into()),
    ])
}

fn in_dir(path: String) -> Datadir {
    Datadir {
        path: path.into(),
        priority: 0,
    }
}

fn prioritized(reader: &mut Reader<'_>, section: &str, texts: &[String]) -> Vec<Datadir> {
    let mut found: Vec<Datadir> = Vec::new();
    for text in texts {
        let reason = match text.parse::<Datadir>() {
            Ok(dir) if found.iter().all(|known| known.path != dir.path) => {
                found.push(dir);
                continue;
            }
            Ok(dir) => format!("{} is there twice", dir.path.display()),
            Err(error) => error.to_string(),
        };
        reader.refuse(section, "filesystem_store_datadirs", &reason);
    }
    found
}

fn permissions(reader: &mut Reader<'_>, section: &str, digits: i64) -> Option<u32> {
    file::config::file_perm(digits).unwrap_or_else(|error| {
        reader.refuse(section, "filesystem_store_file_perm", &error.to_string());
        None
    })
}

/// An address must belong to one store.
fn refuse_shared_directories(reader: &mut Reader<'_>, stores: &[Store]) {
    let mut owners: HashMap<PathBuf, &StoreId> = HashMap::new();
    for Store { settings, kind } in stores {
        let Kind::File(file::Config { datadirs, .. }) = kind;
        for Datadir { path, .. } in datadirs {
            if let Some(other) = owners.insert(path.components().collect(), &settings.id) {
                let reason = format!("{} belongs to store {other} too", path.display());
                let section = settings.id.as_str();
                let place = reader.place(section, "filesystem_store_datadir");
                reader.refuse_at(place, section, "filesystem_store_datadir", &reason);
            }
        }
    }
}
