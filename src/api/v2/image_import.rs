//! `/v2/images/{image}/stage` and `/import` (reference A.5.3, A.5.4).

use ::http::{HeaderValue, StatusCode};
use serde_json::Value;

use super::{accepted, done, image_data, json};
use crate::{
    api::{
        Api, Call, Error, REQUEST_ID, Result,
        operation::{Answer, Content, Operation, Parameter, Shape},
        view,
    },
    control::{
        import::{self, Begun, ImportRequest, Method, Remote, Web},
        upload::{Destination, Running, UploadRequest},
    },
    http::Response,
};

/// Which of another service's addresses is asked.
const INTERFACE: &str = "glance_service_interface";

pub(in crate::api) const STAGE: Operation = Operation::new(
    "Stage image data",
    "For an import with the method `glance-direct`. The image is `uploading`.",
    &[Answer::empty(204, "The data waits for its import.")],
    &[403, 404, 408, 409, 410, 413, 415],
)
.takes(&[Content::OCTETS])
.reads(&[
    Parameter::header(
        "X-Openstack-Image-Size",
        Shape::Whole,
        "The size of the data in bytes; wins over `Content-Length`. 0 is unknown.",
    ),
    image_data::PLAIN_SENT,
]);

/// `PUT .../stage`: 204 once the data waits for its import.
pub async fn stage(api: &Api, call: Call) -> Result<Response> {
    if !api.control.settings.import.has("glance-direct") {
        return Err(Error::NoStaging);
    }
    image_data::check_media_type(&call)?;
    let request = UploadRequest {
        image: call.image_id(),
        size: image_data::declared_size(&call)?,
        to: Destination::Staging,
        is_plain: image_data::is_plain(&call)?,
        token: call.token,
    };
    let source = Box::new(image_data::ClientBody(call.body));
    let running = Running::start(
        api.control.clone(),
        api.plane.clone(),
        call.caller,
        request,
        source,
    );
    running.outcome().await?;
    Ok(done())
}

pub(in crate::api) const IMPORT: Operation = Operation::new(
    "Import image data",
    "A task fetches the data and puts it into the stores that are named: the image, its properties `os_glance_*` and its \
     tasks tell how far it is. Methods are in `GET /v2/info/import`.",
    &[Answer::empty(202, "A task does it.")],
    &[403, 404, 409, 413, 502, 504],
)
.takes(&[Content::json("Import")])
.reads(&[
    Parameter::header("X-Image-Meta-Store", Shape::Text, "The one store to write to, where the body names none."),
]);

/// `POST .../import`: 202 once a task does it.
pub async fn import(api: &Api, mut call: Call) -> Result<Response> {
    let body = call.json(api.settings.task_body_limit_bytes).await?;
    let request = request(api, &mut call, body)?;
    match api.control.import(&call.caller, &request).await? {
        Begun::Here => Ok(accepted()),
        Begun::Elsewhere(host) => {
            let (control, token) = (&api.control, request.token.as_ref());
            let asked = control.forward_import(&host, &request.image, token, &request.body);
            forwarded(accepted(), &asked.await?)
        }
    }
}

/// The answer of the worker that was asked for the client.
pub(super) fn forwarded(mut response: Response, answer: &import::Answer) -> Result<Response> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    if !status.is_success() {
        let reason = answer.reason.clone();
        return Err(Error::Forwarded { status, reason });
    }
    let id = answer.request_id.as_deref();
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(response)
}

pub(in crate::api) const TASKS: Operation = Operation::new(
    "List the tasks of an image",
    "Imports, the oldest first; of more than `api_limit_max` the newest.",
    &[Answer::ok(
        "ImageTasks",
        "The tasks that the caller may see and that are not expired.",
    )],
    &[403, 404],
);

/// `GET .../tasks`.
pub async fn tasks(api: &Api, call: Call) -> Result<Response> {
    let id = call.image_id();
    let most = api.settings.api_limit_max;
    let tasks = api.control.tasks_of_image(&call.caller, &id, most).await?;
    Ok(json(view::image_tasks(&tasks)))
}

/// The body, in the order in which Glance refuses.
fn request(api: &Api, call: &mut Call, mut body: Value) -> Result<ImportRequest> {
    let bad = |text: &str| Error::BadRequest(text.to_owned().into());
    let method = body
        .get("method")
        .ok_or_else(|| bad("Import request requires a 'method' field."))?;
    let name = method
        .get("name")
        .ok_or_else(|| bad("Import request requires a 'name' field."))?;
    let unknown = || {
        let name = name
            .as_str()
            .map_or_else(|| name.to_string(), str::to_owned);
        bad(&format!("Unknown import method name '{name}'."))
    };
    let known: Option<Method> = name.as_str().and_then(|name| name.parse().ok());
    let enabled = &api.control.settings.import.methods;
    let known = known.filter(|method| enabled.contains(method));
    let known = known.ok_or_else(unknown)?;
    let truth = |name: &str, default| match body.get(name) {
        None => Ok(default),
        Some(Value::Bool(value)) => Ok(*value),
        Some(_) => Err(bad(&format!("'{name}' must be boolean value only"))),
    };
    let must_succeed = truth("all_stores_must_succeed", true)?;
    let all_stores = truth("all_stores", false)?;
    let stores = match body.get("stores") {
        None => None,
        Some(Value::Array(names)) => {
            let names = names.iter().map(|name| name.as_str().map(str::to_owned));
            let names: Option<Vec<String>> = names.collect();
            Some(names.ok_or_else(|| bad("'stores' must be a list of names"))?)
        }
        Some(_) => return Err(bad("'stores' must be a list of names")),
    };
    let uri = method.get("uri").and_then(Value::as_str);
    let web = uri.map(|uri| Web {
        uri: uri.to_owned(),
    });
    let remote = (known == Method::GlanceDownload).then(|| remote(&mut body["method"]));
    Ok(ImportRequest {
        image: call.image_id(),
        method: known,
        web,
        remote,
        token: call.token.take(),
        stores,
        all_stores,
        must_succeed,
        store: call.header(&image_data::IMAGE_STORE).map(str::to_owned),
        body,
    })
}

/// Of which image of which service, as far as it is said. The task shows the interface too.
fn remote(method: &mut Value) -> Remote {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if method.get(INTERFACE).is_none() {
        method[INTERFACE] = "public".into();
    }
    Remote {
        region: method.get("glance_region").map(text),
        image: method.get("glance_image_id").map(text),
        interface: text(&method[INTERFACE]),
    }
}
