//! `/v2/images/{id}/members` (reference A.7).

use serde_json::Value;

use super::{json, no_content};
use crate::{
    api::{
        Api, Call, Error, Result,
        operation::{Answer, Content, Operation},
        view,
    },
    http::Response,
    model::ProjectId,
};

pub(in crate::api) const LIST: Operation = Operation::new(
    "List the members of an image",
    "All for the owner; a member sees itself.",
    &[Answer::ok("Members", "The memberships.")],
    &[403, 404],
);

/// `GET .../members`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    let members = api.control.member_list(&call.caller, &id).await?;
    Ok(json(view::members(&members)))
}

pub(in crate::api) const CREATE: Operation = Operation::new(
    "Share an image with a project",
    "The image must be `shared`. The project sees it in lists once it has accepted.",
    &[Answer::ok("Member", "The membership.")],
    &[403, 404, 409, 413],
)
.takes(&[Content::json("NewMember")]);

/// `POST .../members`.
pub async fn create(api: &Api, mut call: Call) -> Result<Response> {
    let body = call.json(api.settings.json_body_limit_bytes).await?;
    let member = ProjectId::new(new_member(&body)?);
    let id = call.image_id();
    let created = api.control.member_create(&call.caller, &id, &member);
    Ok(json(view::member(&created.await?)))
}

pub(in crate::api) const SHOW: Operation = Operation::new(
    "Show a membership",
    "",
    &[Answer::ok("Member", "The membership.")],
    &[403, 404],
);

/// `GET .../members/{member}`.
pub async fn show(api: &Api, call: Call) -> Result<Response> {
    let (id, member) = (call.image_id(), member_of(&call));
    let found = api.control.member_show(&call.caller, &id, &member).await?;
    Ok(json(view::member(&found)))
}

pub(in crate::api) const UPDATE: Operation = Operation::new(
    "Answer to an offer",
    "By the member, not by the owner.",
    &[Answer::ok("Member", "The membership.")],
    &[403, 404],
)
.takes(&[Content::json("MemberStatus")]);

/// `PUT .../members/{member}`.
pub async fn update(api: &Api, mut call: Call) -> Result<Response> {
    let body = call.json(api.settings.json_body_limit_bytes).await?;
    let status = new_status(&body)?;
    let (id, member) = (call.image_id(), member_of(&call));
    let updated = api
        .control
        .member_update(&call.caller, &id, &member, status);
    Ok(json(view::member(&updated.await?)))
}

pub(in crate::api) const DELETE: Operation = Operation::new(
    "Share an image no more",
    "",
    &[Answer::empty(204, "The project is no member.")],
    &[403, 404],
);

/// `DELETE .../members/{member}`.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    let (id, member) = (call.image_id(), member_of(&call));
    api.control
        .member_delete(&call.caller, &id, &member)
        .await?;
    Ok(no_content())
}

fn member_of(call: &Call) -> ProjectId {
    ProjectId::new(call.params[1].as_str())
}

/// What the column of the database holds.
const MEMBER_CHARS_MAX: usize = 255;

fn new_member(body: &Value) -> Result<&str> {
    let text = match body.get("member") {
        None if body.is_object() => "Member to be added not specified",
        Some(Value::String(member)) if member.chars().count() > MEMBER_CHARS_MAX => {
            "Member can't be longer than 255 characters"
        }
        Some(Value::String(member)) if !member.is_empty() => return Ok(member),
        Some(Value::String(_) | Value::Null) => "Member can't be empty",
        _ => "Expected a member in the form: {\"member\": \"image_id\"}",
    };
    Err(Error::BadRequest(text.into()))
}

/// Any text: whether it is a status is for control, which first looks for the member.
fn new_status(body: &Value) -> Result<&str> {
    let text = match body.get("status") {
        None if body.is_object() => "Status not specified",
        Some(Value::String(status)) => return Ok(status),
        Some(_) => return Ok(""),
        None => "Expected a status in the form: {\"status\": \"status\"}",
    };
    Err(Error::BadRequest(text.into()))
}
