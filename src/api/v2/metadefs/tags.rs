//! `/v2/metadefs/namespaces/{namespace}/tags`.

use ::http::HeaderName;
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::{
    LIMIT, MARKER, READ_ONLY_TIMES, UNHEEDED_VISIBILITY, body, check, created, document, json,
    name, namespace, params::Params, text, view,
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

const APPEND: HeaderName = HeaderName::from_static("x-openstack-append");
const TRUE: [&str; 6] = ["1", "t", "true", "on", "y", "yes"];
const SORT_KEYS: [&str; 4] = ["created_at", "id", "name", "updated_at"];

pub(in crate::api) const LIST: Operation = Operation::new(
    "List tags",
    "",
    &[Answer::ok("TagList", "Their names.")],
    &[403, 404],
)
.reads(&[
    LIMIT,
    MARKER,
    Parameter::sort_key(&SORT_KEYS),
    Parameter::SORT_DIR,
    UNHEEDED_VISIBILITY,
]);

/// `GET`: names alone.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let params = Params::parse(call.head.uri.query().unwrap_or_default())?;
    let order = params.order(&SORT_KEYS)?;
    params.visibility(&["public", "private", "shared"])?;
    let query = ItemQuery {
        marker: params.marker(),
        limit: params.limit(0)?,
        order,
    };
    let found = api
        .control
        .metadef_list(&call.caller, namespace(&call), Kind::Tag, &query);
    Ok(json(document(names(&found.await?))))
}

pub(in crate::api) const CREATE_MANY: Operation = Operation::new(
    "Set all tags",
    "They replace those that are there.",
    &[Answer::created("TagList", "Their names.")],
    &[403, 404, 409],
)
.takes(&[Content::json("TagList")])
.reads(&[Parameter::header(
    "X-Openstack-Append",
    Shape::Text,
    "With `true` they are added to those that are there.",
)]);

/// `POST`: sets all, or adds to them with `X-Openstack-Append`.
pub async fn create_many(api: &Api, mut call: Call) -> Result<Response> {
    let form = &api.schemas.metadefs.tag_list;
    let body = body(api, &mut call, form, &READ_ONLY_TIMES).await?;
    let at = Utc::now().naive_utc();
    let tags = body
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let names_of = tags.filter_map(|tag| tag["name"].as_str());
    let new: Vec<Item> = names_of.map(|name| Item::named(name, at)).collect();
    let append = call
        .header(&APPEND)
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    let append = TRUE.contains(&append.as_str());
    let set = api
        .control
        .metadef_tags_set(&call.caller, namespace(&call), &new, append);
    set.await?;
    Ok(created(document(names(&new))))
}

pub(in crate::api) const CREATE: Operation = Operation::new(
    "Create a tag",
    "",
    &[Answer::created("Tag", "The tag.")],
    &[403, 404, 409],
);

/// `POST .../{tag}`.
pub async fn create(api: &Api, call: Call) -> Result<Response> {
    let tag = Map::from_iter([("name".to_owned(), name(&call).into())]);
    check(&api.schemas.metadefs.tag, &tag)?;
    let new = Item::named(name(&call), Utc::now().naive_utc());
    let made = api
        .control
        .metadef_create(&call.caller, namespace(&call), Kind::Tag, &new);
    made.await?;
    Ok(created(document(view::tag(&new))))
}

pub(in crate::api) const SHOW: Operation = Operation::new(
    "Show a tag",
    "",
    &[Answer::ok("Tag", "The tag.")],
    &[403, 404],
);

/// `GET .../{tag}`.
pub async fn show(api: &Api, call: Call) -> Result<Response> {
    let (within, name) = (namespace(&call), name(&call));
    let found = api
        .control
        .metadef_show(&call.caller, within, Kind::Tag, name, None);
    Ok(json(document(view::tag(&found.await?))))
}

pub(in crate::api) const UPDATE: Operation = Operation::new(
    "Rename a tag",
    "",
    &[Answer::ok("Tag", "The tag.")],
    &[403, 404, 409],
)
.takes(&[Content::json("Tag")]);

/// `PUT .../{tag}`: another name.
pub async fn update(api: &Api, mut call: Call) -> Result<Response> {
    let form = &api.schemas.metadefs.tag;
    let body = body(api, &mut call, form, &READ_ONLY_TIMES).await?;
    let new = text(&body, "name").unwrap_or_default();
    let new = Item::named(&new, Utc::now().naive_utc());
    let (within, name) = (namespace(&call), name(&call));
    let updated = api
        .control
        .metadef_update(&call.caller, within, Kind::Tag, name, &new);
    Ok(json(document(view::tag(&updated.await?))))
}

pub(in crate::api) const DELETE: Operation = Operation::new(
    "Delete a tag",
    "",
    &[Answer::empty(204, "It is gone.")],
    &[403, 404],
);

/// `DELETE .../{tag}`.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    let (within, name) = (namespace(&call), name(&call));
    let deleted = api
        .control
        .metadef_delete(&call.caller, within, Kind::Tag, name);
    deleted.await?;
    Ok(no_content())
}

fn names(tags: &[Item]) -> Value {
    json!({"tags": tags.iter().map(view::tag_name).collect::<Vec<_>>()})
}
