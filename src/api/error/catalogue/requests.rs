//! Requests that are wrong whatever they are about, and callers.

use ::http::StatusCode;

use super::{Row, project, row};
use crate::{
    api::Error as A,
    control::{Error as E, KeystoneError, Rule, db},
};

pub(super) fn rows() -> Vec<Row> {
    [of_requests(), of_callers(), of_the_service()]
        .into_iter()
        .flatten()
        .collect()
}

#[rustfmt::skip]
fn of_requests() -> Vec<Row> {
    vec![
        row(A::BadRequest("{what is wrong}".into()),
            "A parameter, a header or the body is not what it must be: the text names it. Of a body that breaks its schema it says where.",
            "Correct it; [API.md](API.md) and `/v2/schemas` say what there may be."),
        row(A::BodyUnexpected, "The request has a body, and this one takes none.", "Send none, and no `Content-Length` over 0."),
        row(A::BodyMissing, "The request must have a body.", "Send one."),
        row(A::BodyMalformed, "The body is no JSON.", "Send JSON."),
        row(A::BodyScalar, "The body is JSON, but neither an object nor an array.", "Send what [API.md](API.md) says."),
        row(A::BodyBroken(std::io::Error::other("")), "The body broke off.", "Send it again."),
        row(A::BodyTooLarge, "A JSON body of over 1 MiB.", "Send less: an image of 128 properties is far below."),
        row(A::Undecodable, "A path, or a query, that is no UTF-8.", "Encode it as UTF-8, then by percents."),
        row(A::RequestIdTooLong { limit: 64 }, "The request brings an id of its own that is longer than `max_request_id_length`.", "Shorten it, or let the service make one."),
        row(A::NotFound, "There is no such path, or this site does not have it.", "Look at the path and the version in it; [API.md](API.md) has all."),
        row(A::MethodNotAllowed { allow: String::new() }, "The path has other methods.", "Use one that `Allow` names. `HEAD` is none."),
        row(A::NotImplemented, "The path is not there, and the method is no API's.", "Correct both."),
        row(A::PatchMediaType, "A `PATCH` of another media type.", "Send one that `Accept-Patch` names."),
        row(A::DataMediaType("Invalid content type {type}".into()), "Image data of another media type, or of none.", "Send `Content-Type: application/octet-stream`."),
        row(A::CacheTarget, "The header names something that a cache does not have.", "Send `cache`, `queue` or no such header."),
        row(A::SingleStore, "The site has one store (`enabled_backends` is not set).", "Do not name stores."),
        row(A::NoStaging, "`glance-direct` is not among the site's `enabled_import_methods`.", "Upload with `PUT .../file`, or import by a method of `GET /v2/info/import`."),
        row(A::TaskDelete, "Tasks are never deleted by request.", "Wait: they go when they are expired (`[task] task_time_to_live`)."),
        row(A::Forbidden("Attribute '{name}' is read-only.".into()), "The attribute is set by the service alone.", "Leave it out."),
        row(A::ForbiddenDetail("Attribute '{name}' is reserved.".into()), "The name is one that the service uses.", "Call the property something else."),
        row(A::Forwarded { status: StatusCode::BAD_GATEWAY, reason: String::new() }, "The worker that has the staged data of the image was asked for the client, and answered with this status.", "As for the status; that worker's log has the request under the same id."),
    ]
}

#[rustfmt::skip]
fn of_callers() -> Vec<Row> {
    vec![
        row(E::Unauthenticated { authenticate_at: "".into() },
            "The token is missing, unknown, over, or of an application credential whose access rules do not have this request.",
            "Get a token where `WWW-Authenticate` says."),
        row(E::IdentityUnavailable(KeystoneError::Invalid), "Keystone does not answer, and the token is not remembered.", "Send the request again with the same token after `Retry-After`."),
        row(E::ReadOnly, "The caller has shown no token and may only look (`allow_anonymous_access`).", "Send a token."),
        row(E::Denied(Rule::AddImage), "The policy's rule of that name says no.", "Ask for the role that it wants: `fresnel policy check` shows who may."),
        row(E::DeniedAsMissing(Rule::GetMember), "The policy's rule of that name says no, and so there is nothing for the caller.", "Ask for the role that it wants: `fresnel policy check` shows who may."),
        row(E::Hidden, "The policy does not let the caller see it, and so there is none.", "Ask for the role that it wants: `fresnel policy check` shows who may."),
        row(E::ForeignOwner("{project}".to_owned()), "Only administrators make images for other projects.", "Leave `owner` out."),
        row(E::NotOwner, "The policy would let the caller, but only an image's owner or an administrator changes it.", "Use a token of the owner's project."),
        row(E::OwnerFixed, "Only administrators give images away.", "Ask one."),
        row(E::LimitExceeded { project: Some(project()), resource: "{limit}", limit: 10, usage: 10, delta: 1 },
            "A limit of the project in Keystone. What uploads that go on have reserved counts too.",
            "Delete images, or ask for a higher limit; `GET /v2/info/usage` tells what is used."),
    ]
}

#[rustfmt::skip]
fn of_the_service() -> Vec<Row> {
    vec![
        row(E::Crashed, "A failure of the service's own.", "Send the request again; tell the operator the request's id."),
        row(E::Staged(std::io::Error::other("")), "Staged data cannot be removed.", "Tell the operator the request's id."),
        row(E::Db(db::Error::Busy), "Other requests were in the way in the database, time and again.", "Send the request again."),
        row(E::Db(db::Error::Unavailable), "The database does not answer.", "Send the request again later."),
        row(E::Db(db::Error::NotFound), "The database failed.", "Tell the operator the request's id."),
    ]
}
