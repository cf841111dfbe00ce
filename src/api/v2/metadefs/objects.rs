//! `/v2/metadefs/namespaces/{namespace}/objects`.

use chrono::{NaiveDateTime, Utc};
use serde_json::{Map, Value, json};

use super::{
    READ_ONLY, UNHEEDED_VISIBILITY, body, check, created, document, json, name, namespace,
    params::Params, properties, property, text, view,
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

const SORT_KEYS: [&str; 1] = ["created_at"];

pub(in crate::api) const LIST: Operation = Operation::new(
    "List objects",
    "",
    &[Answer::ok("Objects", "All of them.")],
    &[403, 404],
)
.reads(&[
    Parameter::query(
        "limit",
        Shape::WholeOrEmpty,
        "Must be 1 at least, and is heeded no further.",
    ),
    Parameter::SORT_DIR,
    UNHEEDED_VISIBILITY,
]);

/// `GET`. Glance reads the query and heeds nothing of it.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let params = Params::parse(call.head.uri.query().unwrap_or_default())?;
    if params.get("sort_key").is_none() {
        params.order(&SORT_KEYS)?;
    }
    params.visibility(&["public", "private", "shared"])?;
    params.limit(1)?;
    let (query, within) = (ItemQuery::default(), namespace(&call));
    let found = api
        .control
        .metadef_list(&call.caller, within, Kind::Object, &query);
    let shown = found.await?;
    let shown = shown.iter().map(|one| view::metadef_object(one, within));
    let list = json!({
        "objects": shown.collect::<Vec<_>>(),
        // Without the slash before it, in Glance.
        "schema": "v2/schemas/metadefs/objects",
    });
    Ok(json(document(list)))
}

pub(in crate::api) const CREATE: Operation = Operation::new(
    "Create an object",
    "",
    &[Answer::created("Object", "The object.")],
    &[403, 404, 409],
)
.takes(&[Content::json("Object")]);

/// `POST`.
pub async fn create(api: &Api, mut call: Call) -> Result<Response> {
    let forms = &api.schemas.metadefs;
    let body = body(api, &mut call, &forms.object, &READ_ONLY).await?;
    let properties = body.get("properties").and_then(Value::as_object);
    for property in properties.into_iter().flat_map(Map::values) {
        check(&forms.nameless, property.as_object().unwrap_or(&Map::new()))?;
    }
    let (new, within) = (item(&body, Utc::now().naive_utc())?, namespace(&call));
    let made = api
        .control
        .metadef_create(&call.caller, within, Kind::Object, &new);
    made.await?;
    Ok(created(document(given(&new, within, &body))))
}

pub(in crate::api) const SHOW: Operation = Operation::new(
    "Show an object",
    "",
    &[Answer::ok("Object", "The object.")],
    &[403, 404],
);

/// `GET .../{object}`.
pub async fn show(api: &Api, call: Call) -> Result<Response> {
    let (within, name) = (namespace(&call), name(&call));
    let found = api
        .control
        .metadef_show(&call.caller, within, Kind::Object, name, None);
    let shown = view::metadef_object(&found.await?, within);
    Ok(json(document(Value::Object(shown))))
}

pub(in crate::api) const UPDATE: Operation = Operation::new(
    "Replace an object",
    "",
    &[Answer::ok("Object", "The object.")],
    &[403, 404, 409],
)
.takes(&[Content::json("Object")]);

/// `PUT .../{object}`.
pub async fn update(api: &Api, mut call: Call) -> Result<Response> {
    let form = &api.schemas.metadefs.object;
    let body = body(api, &mut call, form, &READ_ONLY).await?;
    let new = item(&body, Utc::now().naive_utc())?;
    let (within, name) = (namespace(&call), name(&call));
    let updated = api
        .control
        .metadef_update(&call.caller, within, Kind::Object, name, &new);
    Ok(json(document(given(&updated.await?, within, &body))))
}

pub(in crate::api) const DELETE: Operation = Operation::new(
    "Delete an object",
    "",
    &[Answer::empty(204, "It is gone.")],
    &[403, 404],
);

/// `DELETE .../{object}`.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    let (within, name) = (namespace(&call), name(&call));
    let deleted = api
        .control
        .metadef_delete(&call.caller, within, Kind::Object, name);
    deleted.await?;
    Ok(no_content())
}

/// An object as a client writes it.
pub(super) fn item(body: &Map<String, Value>, at: NaiveDateTime) -> Result<Item> {
    let mut item = Item::named(&text(body, "name").unwrap_or_default(), at);
    item.description = text(body, "description");
    let required = body.get("required").and_then(Value::as_array);
    item.required = required.map(|names| {
        let names = names.iter().filter_map(Value::as_str);
        names.map(str::to_owned).collect()
    });
    let properties = body.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let parsed = property::parsed(property.as_object().unwrap_or(&Map::new()))?;
        item.schema.insert(name.clone(), Value::Object(parsed));
    }
    Ok(item)
}

/// What a client has sent of an object, as Glance's model has it.
pub(super) fn echoed(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(given) = object.get("properties") {
        object["properties"] = properties::echoed(given);
    }
    object
}

/// The object with those of its parts that the client has sent.
fn given(one: &Item, namespace: &str, body: &Map<String, Value>) -> Value {
    let mut shown = view::metadef_object(one, namespace);
    for part in ["required", "properties"] {
        if !body.contains_key(part) {
            shown.shift_remove(part);
        }
    }
    Value::Object(shown)
}
