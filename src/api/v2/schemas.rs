//! `/v2/schemas` (reference A.3.2).

use super::{discovery::protections, json};
use crate::{
    api::{
        Api, Call, Result,
        operation::{Answer, Operation},
    },
    http::Response,
};

/// What a schema's endpoint promises; `what` says whose schema it is.
pub(in crate::api) const fn of(what: &'static str) -> Operation {
    const ANSWERS: &[Answer] = &[Answer::ok("Schema", "The schema.")];
    Operation::new(what, "", ANSWERS, &[])
}

/// `GET /v2/schemas/image`.
pub async fn image(api: &Api, call: Call) -> Result<Response> {
    Ok(json(match protections(api, &call.caller) {
        None => api.schemas.image.clone(),
        Some(rules) => api.schemas.protected(rules).0,
    }))
}

/// `GET /v2/schemas/images`.
pub async fn images(api: &Api, call: Call) -> Result<Response> {
    Ok(json(match protections(api, &call.caller) {
        None => api.schemas.images.clone(),
        Some(rules) => api.schemas.protected(rules).1,
    }))
}

/// `GET /v2/schemas/member`.
pub async fn member(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.member.clone()))
}

/// `GET /v2/schemas/task`.
pub async fn task(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.task.clone()))
}

/// `GET /v2/schemas/tasks`.
pub async fn tasks(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.tasks.clone()))
}

/// `GET /v2/schemas/members`.
pub async fn members(api: &Api, _: Call) -> Result<Response> {
    Ok(json(api.schemas.members.clone()))
}

/// `GET /v2/schemas/metadefs/...`: one and many of each.
macro_rules! metadefs {
    ($($one:ident, $many:ident = $form:ident;)+) => {$(
        #[doc = concat!("`", stringify!($one), "`")]
        pub async fn $one(api: &Api, _: Call) -> Result<Response> {
            Ok(json(api.schemas.metadefs.$form.one.clone()))
        }

        #[doc = concat!("`", stringify!($many), "`")]
        pub async fn $many(api: &Api, _: Call) -> Result<Response> {
            Ok(json(api.schemas.metadefs.$form.many.clone()))
        }
    )+};
}

metadefs! {
    metadef_namespace, metadef_namespaces = namespace;
    metadef_resource_type, metadef_resource_types = resource_type;
    metadef_property, metadef_properties = property;
    metadef_object, metadef_objects = object;
    metadef_tag, metadef_tags = tag;
}
