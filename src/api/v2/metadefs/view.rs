//! Definitions as the API shows them. What is not set is left out.

use chrono::NaiveDateTime;
use serde_json::{Map, Value, json};

use super::property;
use crate::model::{
    ProjectId,
    metadef::{Association, Contents, Item, Namespace, ResourceType},
};

/// A namespace without what it holds.
pub(super) fn namespace(one: &Namespace) -> Map<String, Value> {
    object([
        ("namespace", Some(one.name.clone().into())),
        ("display_name", one.display_name.clone().map(Value::from)),
        ("description", one.description.clone().map(Value::from)),
        ("visibility", Some(one.visibility.clone().into())),
        ("protected", Some(one.protected.into())),
        (
            "owner",
            one.owner.as_ref().map(|id| ProjectId::as_str(id).into()),
        ),
        ("created_at", Some(time(one.created_at))),
        ("updated_at", Some(time(one.updated_at))),
        ("self", Some(address(&one.name).into())),
        ("schema", Some("/v2/schemas/metadefs/namespace".into())),
    ])
}

/// A namespace with all that it holds, its properties as they are called on resources of a type.
pub(super) fn whole(one: &Namespace, contents: &Contents, resource_type: Option<&str>) -> Value {
    let associated = contents.associations.iter();
    let associated =
        associated.filter(|association| Some(association.name.as_str()) == resource_type);
    let prefix = associated
        .filter_map(|association| association.prefix.as_deref())
        .next();
    let prefix = prefix.unwrap_or_default();
    let mut shown = namespace(one);
    let mut put = |name: &str, value: Value, empty: bool| {
        if !empty {
            shown.insert(name.to_owned(), value);
        }
    };
    let Contents {
        associations,
        objects,
        properties,
        tags,
    } = contents;
    let of = associations.iter().map(association).collect();
    put("resource_type_associations", of, associations.is_empty());
    let of = properties.iter();
    let of = of.map(|item| (format!("{prefix}{}", item.name), property(item)));
    put(
        "properties",
        Value::Object(of.collect()),
        properties.is_empty(),
    );
    let of = objects.iter().map(|item| prefixed(item, &one.name, prefix));
    put("objects", of.collect(), objects.is_empty());
    put("tags", tags.iter().map(tag_name).collect(), tags.is_empty());
    Value::Object(shown)
}

pub(super) fn association(one: &Association) -> Value {
    Value::Object(object([
        ("name", Some(one.name.clone().into())),
        ("prefix", one.prefix.clone().map(Value::from)),
        (
            "properties_target",
            one.properties_target.clone().map(Value::from),
        ),
        ("created_at", Some(time(one.created_at))),
        ("updated_at", Some(time(one.updated_at))),
    ]))
}

pub(super) fn resource_type(one: &ResourceType) -> Value {
    json!({
        "name": one.name,
        "created_at": time(one.created_at),
        "updated_at": time(one.updated_at),
    })
}

/// An object with all of its parts.
pub(super) fn metadef_object(one: &Item, namespace: &str) -> Map<String, Value> {
    object([
        ("name", Some(one.name.clone().into())),
        (
            "required",
            Some(json!(one.required.as_deref().unwrap_or_default())),
        ),
        ("description", one.description.clone().map(Value::from)),
        ("properties", Some(Value::Object(properties(&one.schema)))),
        ("created_at", Some(time(one.created_at))),
        ("updated_at", Some(time(one.updated_at))),
        (
            "self",
            Some(format!("{}/objects/{}", address(namespace), one.name).into()),
        ),
        ("schema", Some("/v2/schemas/metadefs/object".into())),
    ])
}

/// A property under a name that stands elsewhere.
pub(super) fn property(one: &Item) -> Value {
    Value::Object(property::shown(&one.schema))
}

pub(super) fn tag(one: &Item) -> Value {
    json!({
        "name": one.name,
        "created_at": time(one.created_at),
        "updated_at": time(one.updated_at),
    })
}

pub(super) fn tag_name(one: &Item) -> Value {
    json!({"name": one.name})
}

pub(super) fn address(namespace: &str) -> String {
    format!("/v2/metadefs/namespaces/{namespace}")
}

fn prefixed(one: &Item, namespace: &str, prefix: &str) -> Value {
    let mut one = one.clone();
    let schema = std::mem::take(&mut one.schema).into_iter();
    one.schema = schema
        .map(|(name, value)| (format!("{prefix}{name}"), value))
        .collect();
    for name in one.required.iter_mut().flatten() {
        name.insert_str(0, prefix);
    }
    Value::Object(metadef_object(&one, namespace))
}

fn properties(of: &Map<String, Value>) -> Map<String, Value> {
    let shown = of.iter().map(|(name, value)| {
        let empty = Map::new();
        let value = property::shown(value.as_object().unwrap_or(&empty));
        (name.clone(), Value::Object(value))
    });
    shown.collect()
}

fn object<const N: usize>(parts: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let set = parts.into_iter();
    set.filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn time(time: NaiveDateTime) -> Value {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}
