//! `enabled_backends`, `[glance_store]` and the section of each store (reference E.1).

mod cinder;
mod file;
mod http;
mod rbd;
mod s3;
mod swift;

use std::{collections::HashMap, path::PathBuf};

use serde_json::{Map, Value};

use super::{
    default::{Backends, Images},
    option::{Table, section},
    reader::Reader,
    value::Pairs,
};
use crate::{client::web, control::StoreSettings, model::StoreId, store};

/// The options of each type of store.
pub(super) const CINDER: Table = cinder::CinderStore::TABLE;
pub(super) const FILE: Table = file::FileStore::TABLE;
pub(super) const HTTP: Table = http::HttpStore::TABLE;
pub(super) const RBD: Table = rbd::RbdStore::TABLE;
pub(super) const S3: Table = s3::S3Store::TABLE;
pub(super) const SWIFT: Table = swift::SwiftStore::TABLE;

/// Ids that Glance keeps for itself begin so.
const RESERVED_PREFIX: &str = "os_glance_";
/// The section of values that all stores share, below their own.
const SHARED_SECTION: &str = "backend_defaults";
/// The section of the one store where there are no `enabled_backends`.
const SINGLE_SECTION: &str = "glance_store";

/// The types that `enabled_backends` may name, and whether this version serves them.
const TYPES: &[(&str, Served)] = &[
    ("cinder", Served::Yes),
    ("file", Served::Yes),
    ("http", Served::Yes),
    ("rbd", Served::Yes),
    ("s3", Served::Yes),
    ("swift", Served::Yes),
    ("vmware", Served::Never),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    Yes,
    Never,
}

section! {
    /// The default store, and with `enabled_backends` unset the one store there is.
    GlanceStore in "glance_store" {
        /// The store that takes an upload that names none: one of `enabled_backends`.
        default_backend: Option<String>;
        /// Store types in use where there are no `enabled_backends`. `cinder`, `file`, `http`, `rbd`, `s3` and `swift` are served.
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
        /// Id of a key in the key manager, asked for at start, as the service: whatever is put into the store is
        /// encrypted with it, and users see plain bytes. For a store in which nothing else lies and that
        /// nobody else reads: not with `show_image_direct_url` or `show_multiple_locations`. Without effect on
        /// stores that only read.
        fresnel_encryption_key: Option<String>;
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
    /// Volumes of Cinder.
    Cinder(Box<store::cinder::Config>),
    /// Files in directories.
    File(store::file::Config),
    /// Addresses of the web.
    Http(web::Config),
    /// RBD images in a pool of a Ceph cluster.
    Rbd(store::rbd::Config),
    /// Objects in a bucket of an S3 server.
    S3(store::s3::Config),
    /// Objects in an account of Swift.
    Swift(Box<store::swift::Config>),
}

impl Stores {
    /// The id of the key that a store encrypts with, where it does.
    pub fn encryption_key(&self, store: &StoreId) -> Option<&str> {
        let found = self.stores.iter().find(|s| s.settings.id == *store);
        found?.settings.encryption_key.as_deref()
    }
}

/// A text that stands for something: empty is unset.
fn set(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Reads all that is about stores.
pub(super) fn read(reader: &mut Reader<'_>, images: &Images, warnings: &mut Vec<String>) -> Stores {
    let backends = Backends::read(reader, &["DEFAULT"]);
    let common = GlanceStore::read(reader, &[SINGLE_SECTION]);
    let stores = match &backends.enabled_backends {
        Some(Pairs(pairs)) if !pairs.is_empty() => several(reader, pairs, &common, warnings),
        _ => single(reader, &common, warnings),
    };
    refuse_places(reader, &stores, images);
    stores
}

/// Who is told where an image is reads it there, and what is there is encrypted.
fn refuse_places(reader: &mut Reader<'_>, stores: &Stores, images: &Images) {
    let encrypts = |store: &&Store| store.settings.encryption_key.is_some();
    let Some(store) = stores.stores.iter().find(encrypts) else {
        return;
    };
    let id = &store.settings.id;
    let reason = format!("cannot be with fresnel_encryption_key of the store {id}");
    for (name, is_set) in [
        ("show_image_direct_url", images.show_image_direct_url),
        ("show_multiple_locations", images.show_multiple_locations),
    ] {
        if is_set {
            reader.refuse("DEFAULT", name, &reason);
        }
    }
}

fn several(
    reader: &mut Reader<'_>,
    pairs: &[(String, String)],
    common: &GlanceStore,
    warnings: &mut Vec<String>,
) -> Stores {
    refuse_unserved(reader, pairs);
    let default = common.default_backend.clone().unwrap_or_default();
    if default.is_empty() {
        let reason = "must name one of enabled_backends";
        let place = reader.place("DEFAULT", "enabled_backends");
        reader.refuse_at(place, "glance_store", "default_backend", reason);
    } else if !pairs.iter().any(|(id, _)| *id == default) {
        let reason = format!("{default:?} is not one of enabled_backends");
        reader.refuse("glance_store", "default_backend", &reason);
    } else if pairs.contains(&(default.clone(), "http".to_owned())) {
        let reason = format!("{default:?} is of type http and takes no uploads");
        reader.refuse("glance_store", "default_backend", &reason);
    }
    let stores = pairs.iter().filter_map(|(id, kind)| {
        let sections = [id.as_str(), SHARED_SECTION];
        match kind.as_str() {
            "cinder" => Some(cinder::store(reader, id, &sections, true)),
            "file" => Some(file::store(reader, id, &sections, None)),
            "http" => Some(http::store(reader, id, &sections, warnings)),
            "rbd" => Some(rbd::store(reader, id, &sections, warnings)),
            "s3" => Some(s3::store(reader, id, &sections, warnings)),
            "swift" => Some(swift::store(reader, id, &sections)),
            _ => None,
        }
    });
    let stores: Vec<Store> = stores.collect();
    refuse_shared_places(reader, &stores);
    Stores {
        multistore: true,
        stores,
        default: StoreId::new(&default),
    }
}

fn refuse_unserved(reader: &mut Reader<'_>, pairs: &[(String, String)]) {
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
            Some(Served::Never) => {
                refuse(reader, format!("store {id}: type {kind} is not supported"))
            }
            None => refuse(
                reader,
                format!("store {id}: {kind:?} is not a type of store"),
            ),
        }
    }
}

fn single(reader: &mut Reader<'_>, common: &GlanceStore, warnings: &mut Vec<String>) -> Stores {
    let default = match common.default_store.as_str() {
        "filesystem" => "file",
        other => other,
    };
    if !["cinder", "file", "rbd", "s3", "swift"].contains(&default) {
        let reason =
            format!("{default:?} is not supported, only cinder, file, rbd, s3 and swift are");
        reader.refuse("glance_store", "default_store", &reason);
    } else if !common.stores.iter().any(|kind| kind == default) {
        let reason = format!("{default:?} is not one of stores");
        reader.refuse("glance_store", "default_store", &reason);
    }
    let images = reader.path_below_data_dir("images");
    let mut stores = Vec::new();
    for kind in &common.stores {
        match kind.as_str() {
            "file" => stores.push(file::store(
                reader,
                "file",
                &[SINGLE_SECTION],
                Some(images.clone()),
            )),
            "cinder" => stores.push(cinder::store(reader, "cinder", &[SINGLE_SECTION], false)),
            "rbd" => stores.push(rbd::store(reader, "rbd", &[SINGLE_SECTION], warnings)),
            "s3" => stores.push(s3::store(reader, "s3", &[SINGLE_SECTION], warnings)),
            "swift" => stores.push(swift::store(reader, "swift", &[SINGLE_SECTION])),
            "http" => stores.push(http::store(reader, "http", &[SINGLE_SECTION], warnings)),
            other => {
                let reason = format!("{other:?} is not supported without enabled_backends");
                reader.refuse("glance_store", "stores", &reason);
            }
        }
    }
    Stores {
        multistore: false,
        stores,
        default: StoreId::new(default),
    }
}

impl AnyStore {
    /// What the API tells of a store; `properties` are those of its type.
    fn settings(self, id: &str, properties: Map<String, Value>) -> StoreSettings {
        let encryption_key = set(self.fresnel_encryption_key);
        StoreSettings {
            id: StoreId::new(id),
            description: self.store_description,
            weight: self.weight,
            read_only: false,
            properties: match encryption_key {
                // They say where its objects are.
                Some(_) => Map::new(),
                None => properties,
            },
            encryption_key,
        }
    }
}

/// An address must belong to one store.
fn refuse_shared_places(reader: &mut Reader<'_>, stores: &[Store]) {
    let mut owners: HashMap<PathBuf, &StoreId> = HashMap::new();
    for Store { settings, kind } in stores {
        let (option, places): (_, Vec<PathBuf>) = match kind {
            // Their addresses name the store.
            Kind::Cinder(_) => ("cinder_volume_type", Vec::new()),
            Kind::Http(_) => ("https_insecure", vec!["http://".into()]),
            Kind::File(config) => {
                let paths = config.datadirs.iter().map(|dir| &dir.path);
                // Without `.`, doubled slashes or a slash at its end.
                let paths = paths.map(|path| path.components().collect());
                ("filesystem_store_datadir", paths.collect())
            }
            Kind::Swift(config) => {
                let account = &config.default;
                let user = account.user.as_ref().unwrap_or(&account.name);
                let place = format!("container {} of {user}", config.container);
                let place = format!("{place} at {}", account.auth_address);
                ("swift_store_container", vec![place.into()])
            }
            Kind::Rbd(config) => {
                let cluster = config.ceph_conf.as_deref().unwrap_or_default();
                let place = format!("pool {} of {cluster:?}", config.pool);
                ("rbd_store_pool", vec![place.into()])
            }
            Kind::S3(config) => {
                let place = format!("bucket {} of {}", config.bucket, config.host);
                ("s3_store_bucket", vec![place.into()])
            }
        };
        for shared in places {
            let shown = shared.display().to_string();
            if let Some(other) = owners.insert(shared, &settings.id) {
                let reason = format!("{shown} belongs to store {other} too");
                let section = settings.id.as_str();
                let place = reader.place(section, option);
                reader.refuse_at(place, section, option, &reason);
            }
        }
    }
}
