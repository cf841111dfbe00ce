//! `/v2/metadefs/resource_types` and `/v2/metadefs/namespaces/{namespace}/resource_types`.

use chrono::{NaiveDateTime, Utc};
use serde_json::{Map, Value, json};

use super::{READ_ONLY_TIMES, body, created, document, json, name, namespace, text, view};
use crate::{
    api::{
        Api, Call, Result,
        operation::{Answer, Content, Operation},
        v2::no_content,
    },
    http::Response,
    model::metadef::{Association, ResourceType},
};

pub(in crate::api) const LIST: Operation = Operation::new(
    "List resource types",
    "",
    &[Answer::ok("ResourceTypes", "All of them.")],
    &[403],
);

/// `GET /v2/metadefs/resource_types`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let types = api.control.resource_type_list(&call.caller).await?;
    let shown: Vec<Value> = types.iter().map(view::resource_type).collect();
    Ok(json(document(json!({"resource_types": shown}))))
}

pub(in crate::api) const CREATE: Operation = Operation::new(
    "Create a resource type",
    "Not Glance's, which makes one when a namespace is first for it.",
    &[Answer::created("ResourceType", "The type.")],
    &[403, 409],
)
.takes(&[Content::json("Tag")]);

/// `POST /v2/metadefs/resource_types`: a name. Ours.
pub async fn create(api: &Api, mut call: Call) -> Result<Response> {
    let form = &api.schemas.metadefs.tag;
    let body = body(api, &mut call, form, &READ_ONLY_TIMES).await?;
    let at = Utc::now().naive_utc();
    let new = ResourceType {
        name: text(&body, "name").unwrap_or_default(),
        protected: false,
        created_at: at,
        updated_at: at,
    };
    let made = api.control.resource_type_create(&call.caller, &new.name);
    made.await?;
    Ok(created(document(view::resource_type(&new))))
}

pub(in crate::api) const DELETE: Operation = Operation::new(
    "Delete a resource type",
    "Not Glance's.",
    &[Answer::empty(204, "It is gone.")],
    &[403, 404, 409],
);

/// `DELETE /v2/metadefs/resource_types/{resource_type}`. Ours.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    let deleted = api
        .control
        .resource_type_delete(&call.caller, &call.params[0]);
    deleted.await?;
    Ok(no_content())
}

pub(in crate::api) const ASSOCIATIONS: Operation = Operation::new(
    "List what a namespace is for",
    "",
    &[Answer::ok("Associations", "The types of resources.")],
    &[403, 404],
);

/// `GET .../{namespace}/resource_types`.
pub async fn associations(api: &Api, call: Call) -> Result<Response> {
    let found = api.control.association_list(&call.caller, namespace(&call));
    let shown: Vec<Value> = found.await?.iter().map(view::association).collect();
    Ok(json(document(json!({"resource_type_associations": shown}))))
}

pub(in crate::api) const ASSOCIATE: Operation = Operation::new(
    "Say what a namespace is for",
    "A type that there is not is made.",
    &[Answer::created("Association", "The association.")],
    &[403, 404, 409],
)
.takes(&[Content::json("Association")]);

/// `POST .../{namespace}/resource_types`.
pub async fn associate(api: &Api, mut call: Call) -> Result<Response> {
    let form = &api.schemas.metadefs.resource_type;
    let body = body(api, &mut call, form, &READ_ONLY_TIMES).await?;
    let new = association(&body, Utc::now().naive_utc());
    let added = api
        .control
        .association_add(&call.caller, namespace(&call), &new);
    added.await?;
    Ok(created(document(view::association(&new))))
}

pub(in crate::api) const DISSOCIATE: Operation = Operation::new(
    "Say that a namespace is not for a type",
    "",
    &[Answer::empty(204, "It is gone.")],
    &[403, 404],
);

/// `DELETE .../{namespace}/resource_types/{resource_type}`.
pub async fn dissociate(api: &Api, call: Call) -> Result<Response> {
    let (within, name) = (namespace(&call), name(&call));
    let deleted = api.control.association_delete(&call.caller, within, name);
    deleted.await?;
    Ok(no_content())
}

/// An association as a client writes it.
pub(super) fn association(body: &Map<String, Value>, at: NaiveDateTime) -> Association {
    Association {
        name: text(body, "name").unwrap_or_default(),
        prefix: text(body, "prefix"),
        properties_target: text(body, "properties_target"),
        created_at: at,
        updated_at: at,
    }
}
