//! What a rule is asked about, with the attributes that `%(key)s` can name.

use std::borrow::Cow;

use chrono::{NaiveDateTime, Timelike};
use serde_json::{Map, Value as Json, json};

use super::check::{Attribute, Value};
use crate::{
    control::Caller,
    model::{Image, ProjectId, Visibility, artifact::Artifact, metadef::Namespace},
};

/// What a rule is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// An image that the caller has found.
    Image(&'a Image),
    /// An image that the caller wants to create.
    Proposed {
        /// Who would own it.
        owner: Option<&'a ProjectId>,
        /// What was asked for; Glance takes `private` where nothing was.
        visibility: Option<Visibility>,
    },
    /// A namespace of metadata definitions that the caller has found.
    Namespace(&'a Namespace),
    /// An artifact that the caller has found.
    Artifact(&'a Artifact),
    /// Whatever belongs to the caller's project.
    Own,
    /// Nothing in particular.
    Service,
    /// The caller itself (`context_is_admin`).
    Caller,
}

/// Python's `str` of a value that is there.
type Shown<'a> = Option<Cow<'a, str>>;

impl<'a> Target<'a> {
    /// The attribute as Python's `%s` shows it; none where the target lacks it.
    pub(super) fn get(self, key: &str, caller: &'a Caller) -> Shown<'a> {
        match self {
            Self::Image(image) => of_image(image, key, caller),
            Self::Proposed { owner, visibility } => match key {
                "project_id" | "owner" => project(owner),
                "visibility" => {
                    let visibility = visibility.unwrap_or(Visibility::Private);
                    Some(visibility.as_str().into())
                }
                _ => None,
            },
            Self::Namespace(namespace) => match key {
                "project_id" => project(namespace.owner.as_ref()),
                "visibility" => Some(namespace.visibility.as_str().into()),
                _ => None,
            },
            Self::Artifact(artifact) => of_artifact(artifact, key),
            Self::Own => match key {
                "project_id" => project(caller.project.as_ref()),
                _ => None,
            },
            Self::Service => None,
            Self::Caller => of_caller(caller, key),
        }
    }

    /// All of it, for another service to decide upon.
    pub(super) fn to_json(self, caller: &Caller) -> Map<String, Json> {
        let mut map = Map::new();
        let mut put = |key: &str, value: Json| drop(map.insert(key.to_owned(), value));
        let id = |project: Option<&ProjectId>| json!(project.map(|project| project.as_str()));
        match self {
            Self::Image(image) => {
                for (name, value) in &image.properties {
                    put(name, json!(value));
                }
                put("extra_properties", json!(image.properties));
                put("image_id", json!(image.id.as_str()));
                put("name", json!(image.name));
                put("status", json!(image.status.as_str()));
                put("visibility", json!(image.visibility.as_str()));
                put("created_at", json!(time(image.created_at)));
                put("updated_at", json!(time(image.updated_at)));
                put("min_disk", json!(image.min_disk_gib));
                put("min_ram", json!(image.min_ram_mib));
                put("protected", json!(image.protected));
                put("os_hidden", json!(image.os_hidden));
                put("checksum", json!(image.checksum));
                put("os_hash_algo", json!(image.os_hash_algo));
                put("os_hash_value", json!(image.os_hash_value));
                put("disk_format", json!(image.disk_format));
                put("container_format", json!(image.container_format));
                put("size", json!(image.size_bytes));
                put("virtual_size", json!(image.virtual_size_bytes));
                put("tags", json!(image.tags));
                put("owner", id(image.owner.as_ref()));
                put("project_id", id(image.owner.as_ref()));
                put("member", id(membership(image, caller)));
            }
            Self::Proposed { owner, visibility } => {
                put("owner", id(owner));
                put("project_id", id(owner));
                let visibility = visibility.unwrap_or(Visibility::Private);
                put("visibility", json!(visibility.as_str()));
            }
            Self::Namespace(namespace) => {
                put("project_id", id(namespace.owner.as_ref()));
                put("visibility", json!(namespace.visibility));
            }
            Self::Artifact(artifact) => {
                for (name, value) in &artifact.fields {
                    put(name, value.clone());
                }
                put("id", json!(artifact.id));
                put("type_name", json!(artifact.type_name));
                put("name", json!(artifact.name));
                put("version", json!(artifact.version));
                put("owner", json!(artifact.owner.as_str()));
                put("status", json!(artifact.status.as_str()));
                put("visibility", json!(artifact.visibility.as_str()));
            }
            Self::Own => put("project_id", id(caller.project.as_ref())),
            Self::Service => {}
            Self::Caller => {
                put("user", json!(caller.user));
                put("project_id", id(caller.project.as_ref()));
                put("roles", json!(caller.roles));
            }
        }
        map
    }
}

fn of_image<'a>(image: &'a Image, key: &str, caller: &'a Caller) -> Shown<'a> {
    Some(match key {
        "project_id" | "owner" => return project(image.owner.as_ref()),
        "visibility" => image.visibility.as_str().into(),
        "member_id" | "member" => return project(membership(image, caller)),
        "id" | "image_id" => image.id.as_str().into(),
        "name" => return text(image.name.as_deref()),
        "status" => image.status.as_str().into(),
        "created_at" => time(image.created_at),
        "updated_at" => time(image.updated_at),
        "min_disk" => image.min_disk_gib.to_string().into(),
        "min_ram" => image.min_ram_mib.to_string().into(),
        "protected" => truth(image.protected),
        "os_hidden" => truth(image.os_hidden),
        "checksum" => return text(image.checksum.as_deref()),
        "os_hash_algo" => return text(image.os_hash_algo.as_deref()),
        "os_hash_value" => return text(image.os_hash_value.as_deref()),
        "disk_format" => return text(image.disk_format.as_deref()),
        "container_format" => return text(image.container_format.as_deref()),
        "size" => return number(image.size_bytes),
        "virtual_size" => return number(image.virtual_size_bytes),
        property => return text(image.properties.get(property)?.as_deref()),
    })
}

fn of_artifact<'a>(artifact: &'a Artifact, key: &str) -> Shown<'a> {
    Some(match key {
        "id" => artifact.id.as_str().into(),
        "type_name" => artifact.type_name.as_str().into(),
        "name" => artifact.name.as_str().into(),
        "version" => artifact.version.as_str().into(),
        "owner" => artifact.owner.as_str().into(),
        "status" => artifact.status.as_str().into(),
        "visibility" => artifact.visibility.as_str().into(),
        "description" => return text(artifact.description.as_deref()),
        field => match artifact.fields.get(field)? {
            Json::String(value) => value.as_str().into(),
            Json::Bool(value) => truth(*value),
            Json::Number(value) => value.to_string().into(),
            Json::Null | Json::Array(_) | Json::Object(_) => return None,
        },
    })
}

/// The project through whose membership the caller has found the image: there is no other way to
/// a shared image of others, but for an administrator, for whom Glance says the same.
fn membership<'a>(image: &Image, caller: &'a Caller) -> Option<&'a ProjectId> {
    let shared = image.visibility == Visibility::Shared;
    let project = caller.project.as_ref();
    project.filter(|project| shared && image.owner.as_ref() != Some(*project))
}

fn of_caller<'a>(caller: &'a Caller, key: &str) -> Shown<'a> {
    let attribute = match key {
        "user" => Attribute::UserId,
        "project" => Attribute::ProjectId,
        "domain" => Attribute::DomainId,
        "user_domain" => Attribute::UserDomainId,
        "project_domain" => Attribute::ProjectDomainId,
        "project_id" | "system_scope" | "is_admin_project" => Attribute::named(key),
        "read_only" => return Some(truth(caller.read_only)),
        "request_id" => return Some(caller.request_id.as_str().into()),
        _ => return None,
    };
    match attribute.of(caller) {
        Value::Text(value) => text(value),
        Value::Truth(value) => Some(truth(value)),
        Value::List(_) | Value::Absent => None,
    }
}

fn text(value: Option<&str>) -> Shown<'_> {
    Some(value.unwrap_or("None").into())
}

fn project(value: Option<&ProjectId>) -> Shown<'_> {
    text(value.map(|project| project.as_str()))
}

fn number(value: Option<u64>) -> Shown<'static> {
    Some(value.map_or("None".into(), |value| value.to_string().into()))
}

fn truth(value: bool) -> Cow<'static, str> {
    if value { "True" } else { "False" }.into()
}

/// Python's `str` of a datetime: microseconds only where there are any.
fn time(value: NaiveDateTime) -> Cow<'static, str> {
    let format = match value.nanosecond() / 1000 {
        0 => "%Y-%m-%d %H:%M:%S",
        _ => "%Y-%m-%d %H:%M:%S%.6f",
    };
    value.format(format).to_string().into()
}
