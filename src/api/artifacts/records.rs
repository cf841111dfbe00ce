//! `/artifacts/{type}[/{artifact}]`: the records of artifacts.

use serde_json::{Value, json};

use super::{
    Api, Call, Result, created, expect_media_type, invalid, json_of, query::ListQuery, view,
};
use crate::{
    api::{
        operation::{Answer, Content, Operation, Parameter, Shape},
        v2::done,
    },
    control::artifact::{Operation as Patch, Verb},
    http::Response,
};

const PATCH_MEDIA_TYPE: &str = "application/json-patch+json";
/// Operations of a patch: each looks at a whole field again.
const OPERATIONS_MAX: usize = 1000;

pub(in crate::api) const LIST: Operation = Operation::new(
    "List artifacts",
    "Any field may be a parameter: `field=value`, or `field=operator:value` with `eq`, `neq`, `in`, `gt`, `gte`, \
     `lt`, `lte` or `like`, as far as the type's schema has the operator; `and:` or `or:` may stand before \
     it. `field=key` and `field.key=value` ask about dicts. `all` is every type.",
    &[Answer::ok("Artifacts", "A page of them.")],
    &[403, 404, 406],
)
.reads(&[
    Parameter::query("limit", Shape::Whole, "How many at most."),
    Parameter::query("marker", Shape::Text, "The id of the last one of the page before."),
    Parameter::query("sort", Shape::Text, "`field:asc` or `field:desc`, with commas."),
    Parameter::query("version", Shape::Text, "As any field; `latest`: the highest version of each name."),
    Parameter::query("tags", Shape::Text, "All of these, with commas."),
    Parameter::query("tags-any", Shape::Text, "Any of these, with commas."),
]);

/// `GET /artifacts/{type}`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let type_name = call.params[0].as_str();
    let query = ListQuery::parse(api, call.head.uri.query().unwrap_or_default())?;
    let limit = query.request.limit;
    let listed = api
        .control
        .artifact_list(&call.caller, type_name, &query.request);
    let (page, total) = listed.await?;
    let kind = api.control.artifact_type(type_name)?;
    let shown = page.iter().map(|one| view::artifact(kind, one));
    let mut document = json!({
        "type_name": type_name,
        "artifacts": shown.collect::<Vec<Value>>(),
        "first": query.first(type_name),
        "schema": format!("/schemas/{type_name}"),
        "total_count": total,
    });
    if let Some(last) = page.last().filter(|_| page.len() as u64 == limit) {
        document["next"] = query.next(type_name, &last.id).into();
    }
    Ok(json_of(&document))
}

pub(in crate::api) const CREATE: Operation = Operation::new(
    "Create an artifact",
    "It is `drafted` and `private`.",
    &[Answer::created("Artifact", "The artifact.")],
    &[403, 404, 406, 409, 413, 415],
)
.takes(&[Content::json("NewArtifact")]);

/// `POST /artifacts/{type}`.
pub async fn create(api: &Api, mut call: Call) -> Result<Response> {
    expect_media_type(&call, "application/json")?;
    let body = call.json(api.settings.json_body_limit_bytes).await?;
    let Value::Object(fields) = body else {
        return Err(invalid("Dictionary expected as body value."));
    };
    let type_name = call.params[0].as_str();
    let made = api
        .control
        .artifact_create(&call.caller, type_name, &fields);
    let made = made.await?;
    let kind = api.control.artifact_type(type_name)?;
    Ok(created(&view::artifact(kind, &made)))
}

pub(in crate::api) const SHOW: Operation = Operation::new(
    "Show an artifact",
    "",
    &[Answer::ok("Artifact", "The artifact.")],
    &[403, 404, 406],
);

/// `GET /artifacts/{type}/{artifact}`.
pub async fn show(api: &Api, call: Call) -> Result<Response> {
    let (type_name, id) = (call.params[0].as_str(), call.params[1].as_str());
    let found = api.control.artifact_show(&call.caller, type_name, id);
    let found = found.await?;
    let kind = api.control.artifact_type(type_name)?;
    Ok(json_of(&view::artifact(kind, &found)))
}

pub(in crate::api) const UPDATE: Operation = Operation::new(
    "Change an artifact",
    "A JSON patch. `/status` becomes `active` or `deactivated`, and `/visibility` `public`, for good. What is active \
     changes only where its type's schema says `mutable`.",
    &[Answer::ok("Artifact", "The artifact.")],
    &[403, 404, 406, 409, 413, 415],
)
.takes(&[Content { media_type: PATCH_MEDIA_TYPE, schema: "ArtifactPatch" }]);

/// `PATCH /artifacts/{type}/{artifact}`.
pub async fn update(api: &Api, mut call: Call) -> Result<Response> {
    expect_media_type(&call, PATCH_MEDIA_TYPE)?;
    let body = call.json(api.settings.json_body_limit_bytes).await?;
    let operations = operations(body).ok_or_else(|| invalid("Json Patch body is malformed"))?;
    if operations.len() > OPERATIONS_MAX {
        let text = format!("There may be at most {OPERATIONS_MAX} operations.");
        return Err(invalid(text));
    }
    let (type_name, id) = (call.params[0].as_str(), call.params[1].as_str());
    let patched = api
        .control
        .artifact_patch(&call.caller, type_name, id, &operations);
    let patched = patched.await?;
    let kind = api.control.artifact_type(type_name)?;
    Ok(json_of(&view::artifact(kind, &patched)))
}

pub(in crate::api) const DELETE: Operation = Operation::new(
    "Delete an artifact",
    "With all its bytes.",
    &[Answer::empty(204, "It is gone.")],
    &[403, 404, 406, 409],
);

/// `DELETE /artifacts/{type}/{artifact}`.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    let (type_name, id) = (call.params[0].as_str(), call.params[1].as_str());
    api.control
        .artifact_delete(&call.caller, type_name, id)
        .await?;
    Ok(done())
}

/// The operations of a patch; none where it is none.
fn operations(body: Value) -> Option<Vec<Patch>> {
    let Value::Array(operations) = body else {
        return None;
    };
    operations.iter().map(operation).collect()
}

fn operation(given: &Value) -> Option<Patch> {
    let text = |name: &str| given.get(name)?.as_str();
    let verb = Verb::named(text("op")?)?;
    let path = pointer(text("path")?)?;
    let from = match (verb, given.get("from")) {
        (Verb::Move | Verb::Copy, Some(from)) => pointer(from.as_str()?)?,
        (Verb::Move | Verb::Copy, None) => return None,
        (_, None | Some(Value::String(_))) => Vec::new(),
        (_, Some(_)) => return None,
    };
    let value = match verb {
        Verb::Add | Verb::Replace | Verb::Test => given.get("value")?.clone(),
        Verb::Remove | Verb::Move | Verb::Copy => Value::Null,
    };
    Some(Patch {
        verb,
        path,
        from,
        value,
    })
}

/// The parts of a JSON pointer, at least one.
fn pointer(text: &str) -> Option<Vec<String>> {
    let parts = text.strip_prefix('/')?.split('/');
    let unescaped = |part: &str| {
        let mut escapes = part.split('~').skip(1);
        let whole = escapes.all(|rest| rest.starts_with(['0', '1']));
        whole.then(|| part.replace("~1", "/").replace("~0", "~"))
    };
    parts.map(unescaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_a_list_of_operations() {
        let parsed = operations(json!([
            {"op": "replace", "path": "/a~1b~0/0", "value": null},
            {"op": "move", "path": "/a", "from": "/b"},
        ]));
        let parsed = parsed.unwrap();
        assert_eq!(parsed[0].path, ["a/b~", "0"]);
        assert_eq!(parsed[1].from, ["b"]);
        for wrong in [
            json!({}),
            json!([1]),
            json!([{"op": "no-op", "path": "/a", "value": 1}]),
            json!([{"op": "add", "path": "a", "value": 1}]),
            json!([{"op": "add", "path": null, "value": 1}]),
            json!([{"op": "add", "path": "/a"}]),
            json!([{"op": "move", "path": "/a"}]),
            json!([{"op": "remove", "path": "/a", "from": 1}]),
            json!([{"op": "add", "path": "/a~2", "value": 1}]),
        ] {
            assert_eq!(operations(wrong.clone()), None, "{wrong}");
        }
    }
}
