//! An artifact as its fields: read, set, shown and found by their names.

use serde_json::{Map, Value};

use super::{
    types::{Kind, Type},
    value::{operand, time_text},
    version::Version,
};
use crate::{
    control::db::Indexed,
    model::artifact::{Artifact, Status, Visibility},
};

/// All fields but bytes.
pub fn document(kind: &Type, artifact: &Artifact) -> Map<String, Value> {
    let fields = kind.fields.iter();
    let fields = fields.filter(|(_, field)| !matches!(field.kind, Kind::Blob | Kind::Folder));
    let shown = fields.map(|(name, _)| (name.clone(), get(kind, artifact, name)));
    shown.collect()
}

/// A time as the API writes it: its second.
pub fn shown_time(us: i64) -> Value {
    time_text(us).into()
}

/// A field, or what its type has where it is not set.
pub(super) fn get(kind: &Type, artifact: &Artifact, name: &str) -> Value {
    match name {
        "id" => artifact.id.as_str().into(),
        "type_name" => artifact.type_name.as_str().into(),
        "display_type_name" => artifact.display_type_name.clone().into(),
        "name" => artifact.name.as_str().into(),
        "version" => artifact.version.as_str().into(),
        "owner" => artifact.owner.as_str().into(),
        "visibility" => artifact.visibility.as_str().into(),
        "status" => artifact.status.as_str().into(),
        "description" => artifact.description.clone().into(),
        "created_at" => shown_time(artifact.created_at_us),
        "updated_at" => shown_time(artifact.updated_at_us),
        "activated_at" => artifact.activated_at_us.map_or(Value::Null, shown_time),
        name => match artifact.fields.get(name) {
            Some(value) => value.clone(),
            None => kind
                .fields
                .get(name)
                .map_or(Value::Null, |field| field.default.clone()),
        },
    }
}

/// Sets a field to what its type takes.
///
/// # Errors
/// When the value is none of the field's after all.
pub(super) fn set(artifact: &mut Artifact, name: &str, value: Value) -> Result<(), String> {
    let text = || value.as_str().unwrap_or_default();
    let unknown = || format!("Field {name} cannot be {value}");
    match name {
        "name" => artifact.name = text().to_owned(),
        "version" => {
            let version = Version::parse(text())?;
            artifact.version = version.text;
            artifact.version_key = version.key;
        }
        "description" => artifact.description = value.as_str().map(str::to_owned),
        "status" => artifact.status = Status::named(text()).ok_or_else(unknown)?,
        "visibility" => artifact.visibility = Visibility::named(text()).ok_or_else(unknown)?,
        _ if value.is_null() => drop(artifact.fields.remove(name)),
        _ => drop(artifact.fields.insert(name.to_owned(), value)),
    }
    Ok(())
}

/// The columns of the record; every other field is found by its values.
pub(super) const COLUMNS: [&str; 12] = [
    "id",
    "type_name",
    "display_type_name",
    "name",
    "version",
    "owner",
    "visibility",
    "status",
    "description",
    "created_at",
    "updated_at",
    "activated_at",
];

/// The values by which it is found.
pub(super) fn indexed(kind: &Type, artifact: &Artifact) -> Vec<Indexed> {
    let mut found = Vec::new();
    for name in kind.fields.keys() {
        if COLUMNS.contains(&name.as_str()) {
            continue;
        }
        let mut add = |key: Option<&str>, value: &Value| {
            found.extend(operand(value).map(|value| Indexed {
                name: name.clone(),
                key: key.map(str::to_owned),
                value,
            }));
        };
        match &get(kind, artifact, name) {
            Value::Array(items) => items.iter().for_each(|item| add(None, item)),
            Value::Object(members) => members
                .iter()
                .for_each(|(key, value)| add(Some(key), value)),
            value => add(None, value),
        }
    }
    found
}
