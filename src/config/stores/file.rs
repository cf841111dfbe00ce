//! Stores of type `file` (reference E.3).

use serde_json::Value;

use super::{AnyStore, Kind, Store};
use crate::{
    config::{option::section, reader::Reader, value::Many},
    store::file::{self, Datadir},
};

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

/// A store of type file. `fallback` is its directory where none is configured.
pub(super) fn store(
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
    let told = told(&datadirs, own.filesystem_thin_provisioning);
    Store {
        settings: any.settings(id, told),
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
