//! `/v2/metadefs/namespaces`.

use ::http::header;
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::{
    LIMIT, MARKER, READ_ONLY, body, created, document, json, namespace, objects, params::Params,
    properties, resource_types, text, view,
};
use crate::{
    api::{
        Api, Call, Error, Result, filter,
        operation::{Answer, Content, Operation, Parameter, Shape},
        v2::no_content,
    },
    control::{
        db::NamespaceQuery,
        metadef::{NamespaceChange, NewNamespace},
    },
    http::Response,
    model::{
        ProjectId,
        metadef::{Contents, Item, Kind},
    },
};

const SORT_KEYS: [&str; 9] = [
    "created_at",
    "description",
    "display_name",
    "id",
    "namespace",
    "owner",
    "protected",
    "updated_at",
    "visibility",
];
const LISTS: [&str; 4] = [
    "resource_type_associations",
    "properties",
    "objects",
    "tags",
];

pub(in crate::api) const LIST: Operation = Operation::new(
    "List namespaces",
    "Without what they hold.",
    &[Answer::ok("Namespaces", "A page.")],
    &[403, 404],
)
.reads(&[
    LIMIT,
    MARKER,
    Parameter::sort_key(&SORT_KEYS),
    Parameter::SORT_DIR,
    Parameter::query(
        "visibility",
        Shape::OneOf(&["", "public", "private"]),
        "Only these.",
    ),
    Parameter::query(
        "resource_types",
        Shape::Text,
        "Only namespaces that are for one of these types, with commas.",
    ),
]);

/// `GET`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let params = Params::parse(call.head.uri.query().unwrap_or_default())?;
    let limit = params.limit(i64::MIN)?;
    let order = params.order(&SORT_KEYS)?;
    let visibility = params.visibility(&["public", "private"])?;
    params.limit(0)?;
    let settings = &api.settings;
    let default = usize::try_from(settings.limit_param_default).unwrap_or(usize::MAX);
    let most = usize::try_from(settings.api_limit_max).unwrap_or(usize::MAX);
    let types = params.get("resource_types");
    let types = types.map(|types| filter::few(types.split(',').map(str::to_owned).collect()));
    let query = NamespaceQuery {
        visibility,
        resource_types: types.transpose()?,
        order,
    };
    let marker = params.marker();
    let limit = limit.unwrap_or(default).min(most);
    let page = api
        .control
        .namespace_list(&call.caller, &query, marker.as_deref(), limit);
    let page = page.await?;
    let shown = page.namespaces.iter().map(|(one, associations)| {
        let mut shown = view::namespace(one);
        if !associations.is_empty() {
            let associations = associations.iter().map(view::association).collect();
            shown.insert("resource_type_associations".to_owned(), associations);
        }
        Value::Object(shown)
    });
    let mut list = json!({"namespaces": shown.collect::<Vec<_>>()});
    if let Some(next) = &page.next {
        list["next"] = link(&params.echo(Some(next))).into();
    }
    list["schema"] = "/v2/schemas/metadefs/namespaces".into();
    list["first"] = link(&params.echo(None)).into();
    Ok(json(document(list)))
}

pub(in crate::api) const CREATE: Operation = Operation::new(
    "Create a namespace",
    "With what it is to hold: all of it or nothing.",
    &[Answer::created("Namespace", "The namespace.").and(&[Parameter::LOCATION])],
    &[403, 404, 409],
)
.takes(&[Content::json("Namespace")]);

/// `POST`: with what it is to hold.
pub async fn create(api: &Api, mut call: Call) -> Result<Response> {
    let form = &api.schemas.metadefs.namespace;
    let body = body(api, &mut call, form, &READ_ONLY).await?;
    let new = NewNamespace {
        namespace: change(&body),
        contents: contents(&body)?,
    };
    let one = api.control.namespace_create(&call.caller, &new).await?;
    let mut shown = view::namespace(&one);
    for list in LISTS {
        if let Some(given) = body.get(list) {
            shown.insert(list.to_owned(), echoed(list, given));
        }
    }
    let address = call.absolute(&view::address(&one.name));
    let mut response = created(document(Value::Object(shown)));
    response.headers_mut().insert(header::LOCATION, address);
    Ok(response)
}

pub(in crate::api) const SHOW: Operation = Operation::new(
    "Show a namespace",
    "With all that it holds.",
    &[Answer::ok("Namespace", "The namespace.")],
    &[403, 404],
)
.reads(&[
    Parameter::query(
        "resource_type",
        Shape::Text,
        "Names of properties are as they are on resources of this type.",
    ),
    Parameter::query(
        "visibility",
        Shape::OneOf(&["", "public", "private"]),
        "Is checked and heeded no further.",
    ),
]);

/// `GET .../{namespace}`.
pub async fn show(api: &Api, call: Call) -> Result<Response> {
    let params = Params::parse(call.head.uri.query().unwrap_or_default())?;
    params.visibility(&["public", "private"])?;
    let shown = api.control.namespace_show(&call.caller, namespace(&call));
    let shown = shown.await?;
    let resource_type = params.get("resource_type").filter(|name| !name.is_empty());
    let whole = view::whole(&shown.namespace, &shown.contents, resource_type);
    Ok(json(document(whole)))
}

pub(in crate::api) const UPDATE: Operation = Operation::new(
    "Change a namespace",
    "All but what it holds: what is left out gets its default.",
    &[Answer::ok("Namespace", "The namespace.")],
    &[403, 404, 409],
)
.takes(&[Content::json("Namespace")]);

/// `PUT .../{namespace}`: all but what it holds.
pub async fn update(api: &Api, mut call: Call) -> Result<Response> {
    let form = &api.schemas.metadefs.namespace;
    let body = body(api, &mut call, form, &READ_ONLY).await?;
    let updated = api
        .control
        .namespace_update(&call.caller, namespace(&call), change(&body));
    let shown = view::namespace(&updated.await?);
    Ok(json(document(Value::Object(shown))))
}

pub(in crate::api) const DELETE: Operation = Operation::new(
    "Delete a namespace",
    "With all that it holds.",
    &[Answer::empty(204, "It is gone.")],
    &[403, 404],
);

/// `DELETE .../{namespace}`.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    let deleted = api.control.namespace_delete(&call.caller, namespace(&call));
    deleted.await?;
    Ok(no_content())
}

pub(in crate::api) const DELETE_OBJECTS: Operation = Operation::new(
    "Delete all objects of a namespace",
    "",
    &[Answer::empty(204, "They are gone.")],
    &[403, 404],
);

/// `DELETE .../{namespace}/objects`.
pub async fn delete_objects(api: &Api, call: Call) -> Result<Response> {
    clear(api, &call, Kind::Object).await
}

pub(in crate::api) const DELETE_PROPERTIES: Operation = Operation::new(
    "Delete all properties of a namespace",
    "",
    &[Answer::empty(204, "They are gone.")],
    &[403, 404],
);

/// `DELETE .../{namespace}/properties`.
pub async fn delete_properties(api: &Api, call: Call) -> Result<Response> {
    clear(api, &call, Kind::Property).await
}

pub(in crate::api) const DELETE_TAGS: Operation = Operation::new(
    "Delete all tags of a namespace",
    "",
    &[Answer::empty(204, "They are gone.")],
    &[403, 404],
);

/// `DELETE .../{namespace}/tags`.
pub async fn delete_tags(api: &Api, call: Call) -> Result<Response> {
    clear(api, &call, Kind::Tag).await
}

async fn clear(api: &Api, call: &Call, kind: Kind) -> Result<Response> {
    let cleared = api
        .control
        .namespace_clear(&call.caller, namespace(call), kind);
    cleared.await?;
    Ok(no_content())
}

fn link(query: &str) -> String {
    match query {
        "" => "/v2/metadefs/namespaces".to_owned(),
        query => format!("/v2/metadefs/namespaces?{query}"),
    }
}

fn change(body: &Map<String, Value>) -> NamespaceChange {
    NamespaceChange {
        name: text(body, "namespace").unwrap_or_default(),
        display_name: text(body, "display_name"),
        description: text(body, "description"),
        visibility: text(body, "visibility"),
        protected: body
            .get("protected")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        owner: text(body, "owner").map(ProjectId::new),
    }
}

fn contents(body: &Map<String, Value>) -> Result<Contents> {
    let at = Utc::now().naive_utc();
    let list = |name: &str| {
        let items = body
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        items.filter_map(Value::as_object)
    };
    let named = |object: &Map<String, Value>| {
        text(object, "name").ok_or(Error::BadRequest(
            "Invalid input for field/attribute name. Mandatory field missing.".into(),
        ))
    };
    let mut contents = Contents::default();
    for one in list("resource_type_associations") {
        named(one)?;
        contents
            .associations
            .push(resource_types::association(one, at));
    }
    for one in list("objects") {
        named(one)?;
        contents.objects.push(objects::item(one, at)?);
    }
    for one in list("tags") {
        contents.tags.push(Item::named(&named(one)?, at));
    }
    let properties = body.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let empty = Map::new();
        let property = property.as_object().unwrap_or(&empty);
        contents
            .properties
            .push(properties::item(name, property, at)?);
    }
    Ok(contents)
}

/// What a client has sent of a list, as Glance's model has it.
fn echoed(list: &str, given: &Value) -> Value {
    match list {
        "properties" => properties::echoed(given),
        "objects" => {
            let objects = given.as_array().into_iter().flatten();
            objects.map(objects::echoed).collect()
        }
        _ => given.clone(),
    }
}
