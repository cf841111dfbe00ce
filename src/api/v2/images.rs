//! `/v2/images` (reference A.4).

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use super::{done, image_import, json};
use crate::{
    api::{
        Api, Call, Error, Result, filter,
        operation::{Answer, Content, Operation, Parameter, Shape},
        patch,
        view::Views,
    },
    control::{Caller, image::NewImage},
    http::Response,
    model::{ImageId, image::UnknownWord},
};

const IMPORT_METHODS: HeaderName = HeaderName::from_static("openstack-image-import-methods");
const STORE_IDS: HeaderName = HeaderName::from_static("openstack-image-store-ids");

/// Attributes that a client may not even mention, in the order of their refusal.
const DISALLOWED: [&str; 5] = ["direct_url", "self", "file", "schema", "stores"];

/// Attributes that a new image does not have yet.
const READ_ONLY: [&str; 6] = [
    "created_at",
    "updated_at",
    "status",
    "checksum",
    "size",
    "virtual_size",
];

const CREATED: &[Parameter] = &[
    Parameter::LOCATION,
    Parameter::header(
        "OpenStack-Image-Import-Methods",
        Shape::Text,
        "How its data may be imported, with commas.",
    ),
    Parameter::header(
        "OpenStack-Image-Store-Ids",
        Shape::Text,
        "The stores, with commas, where there are several.",
    ),
];

const PATCH: Content = Content {
    media_type: "application/openstack-images-v2.1-json-patch",
    schema: "Patch",
};

/// Of the first drafts of JSON Patch.
const OLD_PATCH: Content = Content {
    media_type: "application/openstack-images-v2.0-json-patch",
    schema: "OldPatch",
};

pub(in crate::api) const LIST: Operation = Operation::new(
    "List images",
    "Those that the caller may see, the newest first. Any other parameter filters by a column (equality; \
     `<column>_min` and `<column>_max` for numbers) or by a property of that name.",
    &[Answer::ok("Images", "A page. `next` is there while there may be more.")],
    &[403],
)
.reads(&[
    Parameter::query("limit", Shape::Whole, "How many at most; `limit_param_default` without it, never more than `api_limit_max`."),
    Parameter::query("marker", Shape::Text, "The id of the last image of the page before."),
    Parameter::query("sort", Shape::Text, "`key[:dir],...` of name, status, container_format, disk_format, size, id, created_at and updated_at; `asc` or `desc`."),
    Parameter::query("sort_key", Shape::Texts, "The older way to say the same, with `sort_dir`."),
    Parameter::query("sort_dir", Shape::Texts, "`asc` or `desc`: one for all keys or one for each."),
    Parameter::query("visibility", Shape::OneOf(&["public", "private", "shared", "community", "all"]), "Only these."),
    Parameter::query("member_status", Shape::OneOf(&["accepted", "pending", "rejected", "all"]), "Of images that others share; `accepted` without it."),
    Parameter::query("os_hidden", Shape::OneOf(&["true", "false"]), "Only hidden ones; `false` without it."),
    Parameter::query("protected", Shape::OneOf(&["true", "false"]), "Only protected ones, or only others."),
    Parameter::query("tag", Shape::Texts, "Only images that have all of these tags."),
    Parameter::query("name", Shape::Text, "A name, or `in:` and several with commas; so do `id`, `status`, `container_format` and `disk_format`."),
    Parameter::query("created_at", Shape::Text, "A time in ISO 8601, with `gt:`, `gte:`, `lt:`, `lte:`, `eq:` or `neq:` before it; so is `updated_at`."),
]);

/// `GET /v2/images`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let asked = call.head.uri.query().unwrap_or_default();
    let listing = filter::parse(asked, &api.settings)?;
    let page = api.control.image_list(&call.caller, &listing.query).await?;
    let first = match listing.echo.as_str() {
        "" => "/v2/images".to_owned(),
        echo => format!("/v2/images?{echo}"),
    };
    let next = page.next.as_ref().map(|marker| next(&listing.echo, marker));
    let views = views(api, &call.caller);
    Ok(json(views.images(&page.images, &first, next.as_deref())))
}

pub(in crate::api) const CREATE: Operation = Operation::new(
    "Create an image",
    "A record without data, `queued`. Every attribute may be left out; any other member is a property of the image.",
    &[Answer::created("Image", "The image.").and(CREATED)],
    &[403, 409, 413],
)
.takes(&[Content::json("NewImage")]);

/// `POST /v2/images`.
pub async fn create(api: &Api, mut call: Call) -> Result<Response> {
    let body = call.json(api.settings.json_body_limit_bytes).await?;
    let new = new_image(api, body)?;
    let image = api.control.image_create(&call.caller, new).await?;
    let mut response = json(views(api, &call.caller).image(&image));
    *response.status_mut() = StatusCode::CREATED;
    let address = call.absolute(&format!("/v2/images/{}", image.id));
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, address);
    let settings = &api.control.settings;
    let methods = settings.import.methods.iter();
    let methods: Vec<&str> = methods.map(|method| method.as_str()).collect();
    if !methods.is_empty()
        && let Ok(methods) = HeaderValue::from_str(&methods.join(","))
    {
        headers.insert(IMPORT_METHODS, methods);
    }
    if settings.multistore {
        let ids: Vec<&str> = settings.stores.iter().map(|s| s.id.as_str()).collect();
        if let Ok(ids) = HeaderValue::from_str(&ids.join(",")) {
            headers.insert(STORE_IDS, ids);
        }
    }
    Ok(response)
}

pub(in crate::api) const SHOW: Operation = Operation::new(
    "Show an image",
    "",
    &[Answer::ok("Image", "The image.")],
    &[404],
);

/// `GET /v2/images/{id}`.
pub async fn show(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    let image = api.control.image_show(&call.caller, &id).await?;
    Ok(json(views(api, &call.caller).image(&image)))
}

pub(in crate::api) const UPDATE: Operation = Operation::new(
    "Change an image",
    "All changes or none. `add` and `replace` set, `remove` removes a property. Locations change where the operator allows it \
     (`show_multiple_locations`).",
    &[Answer::ok("Image", "The image.")],
    &[403, 404, 409, 413, 415],
)
.takes(&[PATCH, OLD_PATCH]);

/// `PATCH /v2/images/{id}`.
pub async fn update(api: &Api, mut call: Call) -> Result<Response> {
    let version = patch::Version::of(call.content_type()).ok_or(Error::PatchMediaType)?;
    let body = call.json(api.settings.json_body_limit_bytes).await?;
    let changes = patch::changes(version, body, &api.schemas)?;
    let id = call.image_id();
    let (control, token) = (&api.control, call.token.as_ref());
    let updated = control.image_update(&call.caller, &id, &changes, token);
    Ok(json(views(api, &call.caller).image(&updated.await?)))
}

pub(in crate::api) const DELETE: Operation = Operation::new(
    "Delete an image",
    "With its data, unless the operator has that removed later (`delayed_delete`).",
    &[Answer::empty(204, "It is gone.")],
    &[403, 404, 409, 502, 504],
);

/// `DELETE /v2/images/{id}`.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    let (id, control) = (call.image_id(), &api.control);
    let asked = control.forward_delete(&call.caller, &id, call.token.as_ref());
    if let Some(answer) = asked.await? {
        return image_import::forwarded(done(), &answer);
    }
    let token = call.token.as_ref();
    control.image_delete(&call.caller, &id, token).await?;
    Ok(done())
}

fn views<'a>(api: &'a Api, caller: &'a Caller) -> Views<'a> {
    Views {
        settings: &api.control.settings,
        schemas: &api.schemas,
        caller,
    }
}

fn next(echo: &str, marker: &ImageId) -> String {
    let marker = filter::encode([("marker", marker.as_str())].into_iter());
    let separator = if echo.is_empty() { "" } else { "&" };
    format!("/v2/images?{echo}{separator}{marker}")
}

/// The body of a create, in the order in which Glance refuses.
pub(super) fn new_image(api: &Api, body: Value) -> Result<NewImage> {
    let Value::Object(mut members) = body else {
        let text = "Provided object does not match schema 'image': an object is expected";
        return Err(Error::BadRequest(text.into()));
    };
    let read_only = |name: &str| Error::Forbidden(format!("Attribute '{name}' is read-only."));
    if let Some(name) = DISALLOWED
        .into_iter()
        .find(|name| members.contains_key(*name))
    {
        return Err(read_only(name));
    }
    api.schemas.validate(&members).map_err(Error::schema)?;
    let forbidden = READ_ONLY
        .into_iter()
        .find(|name| members.contains_key(*name));
    let mut new = taken(&mut members)?;
    for name in members
        .keys()
        .filter(|name| !READ_ONLY.contains(&name.as_str()))
    {
        if name.chars().count() > patch::NAME_LENGTH_MAX {
            let text = "Custom property should not be greater than 255 characters.";
            return Err(Error::BadRequest(text.into()));
        }
        if patch::is_reserved(name) {
            return Err(Error::ForbiddenDetail(format!(
                "Attribute '{name}' is reserved."
            )));
        }
    }
    if let Some(name) = forbidden {
        return Err(read_only(name));
    }
    if members.contains_key("locations") {
        return Err(Error::Forbidden(
            "Attribute 'locations' is reserved.".into(),
        ));
    }
    let properties = members.into_iter();
    new.properties = properties
        .map(|(name, value)| (name, patch::property_value(value)))
        .collect();
    Ok(new)
}

/// Takes what every image has out of a body that the schema has accepted.
fn taken(members: &mut Map<String, Value>) -> Result<NewImage> {
    let mut take = |name: &str| members.remove(name);
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let truth = |value: Option<Value>| value == Some(Value::Bool(true));
    let number = |value: Option<Value>| value.map_or(0, |value| patch::whole(&value));
    let visibility = match text(take("visibility")).map(|word| word.parse()) {
        None => None,
        Some(Ok(visibility)) => Some(visibility),
        Some(Err(UnknownWord(word))) => {
            return Err(Error::BadRequest(
                format!("Invalid visibility value: {word}").into(),
            ));
        }
    };
    Ok(NewImage {
        id: text(take("id")).map(ImageId::new),
        name: text(take("name")),
        visibility,
        protected: truth(take("protected")),
        os_hidden: truth(take("os_hidden")),
        owner: take("owner").map(|owner| patch::owner(&owner)),
        container_format: text(take("container_format")),
        disk_format: text(take("disk_format")),
        min_disk_gib: number(take("min_disk")),
        min_ram_mib: number(take("min_ram")),
        tags: take("tags").map(patch::tags).unwrap_or_default(),
        properties: Default::default(),
    })
}
