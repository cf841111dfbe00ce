//! What is told of metadata definitions (reference H.4).

use serde_json::{Map, Value, json};

use super::{Event, Teller, payload::time};
use crate::model::{
    ProjectId,
    metadef::{Association, Item, Kind, Namespace},
};

/// A change of the definitions.
#[derive(Clone, Copy, Debug)]
pub enum MetadefChange<'a> {
    /// Something new.
    Created(Thing<'a>),
    /// Something is gone.
    Deleted(Thing<'a>),
    /// A namespace is other than it was under that name.
    NamespaceUpdated(&'a Namespace, &'a str),
    /// An item is other than it was under that name.
    ItemUpdated(&'a Namespace, Kind, &'a Item, &'a str),
    /// All items of a kind are gone.
    Cleared(&'a Namespace, Kind),
}

/// What a change can be of; what is in a namespace comes with the namespace's name.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are the model's")]
pub enum Thing<'a> {
    Namespace(&'a Namespace),
    Item(&'a str, Kind, &'a Item),
    Association(&'a str, &'a Association),
}

impl<'a> From<&'a Namespace> for Thing<'a> {
    fn from(namespace: &'a Namespace) -> Self {
        Self::Namespace(namespace)
    }
}

impl<'a> From<(&'a str, Kind, &'a Item)> for Thing<'a> {
    fn from((within, kind, item): (&'a str, Kind, &'a Item)) -> Self {
        Self::Item(within, kind, item)
    }
}

impl<'a> From<(&'a str, &'a Association)> for Thing<'a> {
    fn from((within, association): (&'a str, &'a Association)) -> Self {
        Self::Association(within, association)
    }
}

impl Thing<'_> {
    /// The group of its events.
    fn group(self) -> &'static str {
        match self {
            Self::Namespace(_) => "metadef_namespace",
            Self::Item(_, Kind::Object, _) => "metadef_object",
            Self::Item(_, Kind::Property, _) => "metadef_property",
            Self::Item(_, Kind::Tag, _) => "metadef_tag",
            Self::Association(..) => "metadef_resource_type",
        }
    }

    fn payload(self) -> Value {
        match self {
            Self::Namespace(one) => namespace(one),
            Self::Item(within, kind, one) => item(within, kind, one),
            Self::Association(within, one) => json!({
                "namespace": within,
                "name": one.name,
                "name_old": one.name,
                "prefix": one.prefix,
                "properties_target": one.properties_target,
                "created_at": time(one.created_at),
                "updated_at": time(one.updated_at),
                "deleted": false,
                "deleted_at": null,
            }),
        }
    }
}

impl Teller {
    /// The event of a change.
    pub(in crate::control) fn metadef(&self, change: &MetadefChange<'_>) -> Option<Event> {
        let (event_type, payload) = match *change {
            MetadefChange::Created(thing) => (kind(thing.group(), "create"), thing.payload()),
            MetadefChange::Deleted(thing) => {
                let now = chrono::Utc::now().naive_utc();
                let gone = super::payload::deleted(thing.payload(), now);
                (kind(thing.group(), "delete"), gone)
            }
            MetadefChange::NamespaceUpdated(one, before) => {
                let mut payload = namespace(one);
                payload["namespace_old"] = before.into();
                ("metadef_namespace.update".to_owned(), payload)
            }
            MetadefChange::ItemUpdated(within, of, one, before) => {
                let thing = Thing::Item(&within.name, of, one);
                let mut payload = thing.payload();
                payload["name_old"] = before.into();
                (kind(thing.group(), "update"), payload)
            }
            MetadefChange::Cleared(one, of) => {
                let what = match of {
                    Kind::Object => "delete_objects",
                    Kind::Property => "delete_properties",
                    Kind::Tag => "delete_tags",
                };
                (kind("metadef_namespace", what), namespace(one))
            }
        };
        self.info(&event_type, || payload)
    }
}

fn kind(group: &str, what: &str) -> String {
    format!("{group}.{what}")
}

fn namespace(one: &Namespace) -> Value {
    json!({
        "namespace": one.name,
        "namespace_old": one.name,
        "display_name": one.display_name,
        "protected": one.protected,
        "visibility": one.visibility,
        "owner": one.owner.as_ref().map(ProjectId::as_str),
        "description": one.description,
        "created_at": time(one.created_at),
        "updated_at": time(one.updated_at),
        "deleted": false,
        "deleted_at": null,
    })
}

fn item(within: &str, kind: Kind, one: &Item) -> Value {
    let mut payload = json!({
        "namespace": within,
        "name": one.name,
        "name_old": one.name,
    });
    let members = payload.as_object_mut().expect("it is one");
    match kind {
        Kind::Object => {
            let properties = one.schema.iter().map(|(name, property)| {
                let mut shown = Map::from_iter([("name".to_owned(), name.as_str().into())]);
                let empty = Map::new();
                parts(
                    &mut shown,
                    property.as_object().unwrap_or(&empty),
                    is_something,
                );
                Value::Object(shown)
            });
            members.insert("properties".into(), properties.collect());
            members.insert("required".into(), json!(one.required));
            members.insert("description".into(), json!(one.description));
        }
        Kind::Property => parts(members, &one.schema, |_| true),
        Kind::Tag => {}
    }
    if kind != Kind::Property {
        members.insert("created_at".into(), time(one.created_at).into());
        members.insert("updated_at".into(), time(one.updated_at).into());
    }
    members.insert("deleted".into(), false.into());
    members.insert("deleted_at".into(), Value::Null);
    payload
}

/// What is told of a property; null where it has no such part.
fn parts(shown: &mut Map<String, Value>, property: &Map<String, Value>, told: fn(&Value) -> bool) {
    const PARTS: [&str; 16] = [
        "type",
        "title",
        "description",
        "default",
        "minimum",
        "maximum",
        "enum",
        "pattern",
        "minLength",
        "maxLength",
        "confidential",
        "items",
        "uniqueItems",
        "minItems",
        "maxItems",
        "additionalItems",
    ];
    for part in PARTS {
        let value = property.get(part).filter(|value| told(value));
        shown.insert(part.to_owned(), value.cloned().unwrap_or_default());
    }
}

/// Python's truth, by which Glance tells of an object's properties.
fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}
