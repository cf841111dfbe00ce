//! `/v2/metadefs/namespaces/{namespace}/properties`.

use chrono::{NaiveDateTime, Utc};
use serde_json::{Map, Value, json};

use super::{
    READ_ONLY_TIMES, body, created, document, json, name, namespace, params::Params, property,
    text, view,
};
use crate::{
    api::{
        Api, Call, Result,
        operation::{Answer, Content, Operation, Parameter, Shape},
        v2::no_content,
    },
    control::metadef::ItemQuery,
    http::Response,
    model::metadef::{Item, Kind},
};

pub(in crate::api) const LIST: Operation = Operation::new(
    "List properties",
    "",
    &[Answer::ok("Properties", "All of them, by their names.")],
    &[403, 404],
);

/// `GET`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let (query, kind) = (ItemQuery::default(), Kind::Property);
    let found = api
        .control
        .metadef_list(&call.caller, namespace(&call), kind, &query);
    let shown = found.await?;
    let shown = shown
        .iter()
        .map(|one| (one.name.clone(), view::property(one)));
    let shown: Map<String, Value> = shown.collect();
    Ok(json(document(json!({"properties": shown}))))
}

pub(in crate::api) const CREATE: Operation = Operation::new(
    "Create a property",
    "",
    &[Answer::created("Property", "The property.")],
    &[403, 404, 409],
)
.takes(&[Content::json("Property")]);

/// `POST`.
pub async fn create(api: &Api, mut call: Call) -> Result<Response> {
    let new = sent(api, &mut call).await?;
    let made = api
        .control
        .metadef_create(&call.caller, namespace(&call), Kind::Property, &new);
    made.await?;
    Ok(created(document(named(&new))))
}

pub(in crate::api) const SHOW: Operation = Operation::new(
    "Show a property",
    "",
    &[Answer::ok("Property", "The property.")],
    &[403, 404],
)
.reads(&[Parameter::query(
    "resource_type",
    Shape::Text,
    "The name in the path is the one on resources of this type.",
)]);

/// `GET .../{property}`, by the name that it has on resources of `?resource_type=`.
pub async fn show(api: &Api, call: Call) -> Result<Response> {
    let params = Params::parse(call.head.uri.query().unwrap_or_default())?;
    let of = params.get("resource_type").filter(|name| !name.is_empty());
    let (within, name) = (namespace(&call), name(&call));
    let found = api
        .control
        .metadef_show(&call.caller, within, Kind::Property, name, of);
    Ok(json(document(named(&found.await?))))
}

pub(in crate::api) const UPDATE: Operation = Operation::new(
    "Replace a property",
    "",
    &[Answer::ok("Property", "The property.")],
    &[403, 404, 409],
)
.takes(&[Content::json("Property")]);

/// `PUT .../{property}`.
pub async fn update(api: &Api, mut call: Call) -> Result<Response> {
    let new = sent(api, &mut call).await?;
    let (within, name) = (namespace(&call), name(&call));
    let updated = api
        .control
        .metadef_update(&call.caller, within, Kind::Property, name, &new);
    Ok(json(document(named(&updated.await?))))
}

pub(in crate::api) const DELETE: Operation = Operation::new(
    "Delete a property",
    "",
    &[Answer::empty(204, "It is gone.")],
    &[403, 404],
);

/// `DELETE .../{property}`.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    let (within, name) = (namespace(&call), name(&call));
    let deleted = api
        .control
        .metadef_delete(&call.caller, within, Kind::Property, name);
    deleted.await?;
    Ok(no_content())
}

async fn sent(api: &Api, call: &mut Call) -> Result<Item> {
    let form = &api.schemas.metadefs.property;
    let body = body(api, call, form, &READ_ONLY_TIMES).await?;
    let name = text(&body, "name").unwrap_or_default();
    item(&name, &body, Utc::now().naive_utc())
}

/// A property as a client writes it.
pub(super) fn item(name: &str, body: &Map<String, Value>, at: NaiveDateTime) -> Result<Item> {
    let mut item = Item::named(name, at);
    item.schema = property::parsed(body)?;
    Ok(item)
}

/// What a client has sent of properties by their names, as Glance's model has it.
pub(super) fn echoed(given: &Value) -> Value {
    let given = given.as_object().into_iter().flatten();
    let shown = given.map(|(name, property)| {
        let empty = Map::new();
        let shown = property::shown(property.as_object().unwrap_or(&empty));
        (name.clone(), Value::Object(shown))
    });
    Value::Object(shown.collect())
}

/// A property with its name.
fn named(one: &Item) -> Value {
    let mut schema = one.schema.clone();
    schema.insert("name".to_owned(), one.name.clone().into());
    Value::Object(property::shown(&schema))
}
