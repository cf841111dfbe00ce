//! `/v2/tasks` (reference A.8): what goes on after its request is answered.

use ::http::{StatusCode, header};
use serde_json::{Map, Value};

use super::{images, json};
use crate::{
    api::{
        Api, Call, Error, Result, filter,
        operation::{Answer, Content, Operation, Parameter, Shape},
        view,
    },
    base::secret::Secret,
    control::{
        Error as ControlError, Rule,
        db::{TASK_SORT_KEYS, TaskQuery},
        image::NewImage,
        policy::Target,
        task::NewTask,
    },
    http::Response,
    model::{TaskId, TaskStatus, task::IMPORT},
};

pub(in crate::api) const LIST: Operation = Operation::new(
    "List tasks",
    "Without what they are about.",
    &[Answer::ok("Tasks", "A page.")],
    &[403],
)
.reads(&[
    Parameter::query("limit", Shape::Whole, "How many at most."),
    Parameter::query(
        "marker",
        Shape::Text,
        "The id of the last task of the page before.",
    ),
    Parameter::sort_key(&TASK_SORT_KEYS),
    Parameter::SORT_DIR,
    Parameter::query(
        "status",
        Shape::OneOf(&["", "pending", "processing", "success", "failure"]),
        "Only these.",
    ),
    Parameter::query("type", Shape::OneOf(&["", "import"]), "Only these."),
]);

/// `GET /v2/tasks`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    allow(api, &call)?;
    let asked = call.head.uri.query().unwrap_or_default();
    let listing = listing(api, asked)?;
    let tasks = api.control.task_list(&call.caller, &listing.query).await?;
    let is_full = !tasks.is_empty() && tasks.len() as u64 == listing.query.limit;
    let marker = tasks
        .last()
        .filter(|_| is_full)
        .map(|task| task.id.to_string());
    let next = marker.map(|marker| {
        let mut params = listing.echo.clone();
        params.push(("marker".to_owned(), marker));
        address(&params)
    });
    let first = address(&listing.echo);
    Ok(json(view::tasks(&tasks, &first, next.as_deref())))
}

pub(in crate::api) const CREATE: Operation = Operation::new(
    "Begin a task",
    "The older way to import: it makes the image too.",
    &[Answer::created("Task", "The task.").and(&[Parameter::LOCATION])],
    &[403, 409, 413],
)
.takes(&[Content::json("NewTask")]);

/// `POST /v2/tasks`.
pub async fn create(api: &Api, mut call: Call) -> Result<Response> {
    allow(api, &call)?;
    let body = call.json(api.settings.task_body_limit_bytes).await?;
    let new = new_task(api, body, call.token.take())?;
    let task = api.control.task_create(&call.caller, new).await?;
    let mut response = json(view::task(&task));
    *response.status_mut() = StatusCode::CREATED;
    let address = call.absolute(&format!("/v2/tasks/{}", task.id));
    response.headers_mut().insert(header::LOCATION, address);
    Ok(response)
}

pub(in crate::api) const SHOW: Operation = Operation::new(
    "Show a task",
    "",
    &[Answer::ok("Task", "The task.")],
    &[403, 404],
);

/// `GET /v2/tasks/{id}`.
pub async fn show(api: &Api, call: Call) -> Result<Response> {
    allow(api, &call)?;
    let text = call.params[0].as_str();
    let missing = || ControlError::TaskNotFound(text.to_owned());
    let id: TaskId = text.parse().map_err(|_| missing())?;
    let task = api.control.task_show(&call.caller, id).await?;
    Ok(json(view::task(&task)))
}

pub(in crate::api) const DELETE: Operation = Operation::new(
    "Delete a task",
    "Never: they go when they are expired.",
    &[],
    &[403, 405],
);

/// `DELETE /v2/tasks/{id}`: never.
pub async fn delete(api: &Api, call: Call) -> Result<Response> {
    allow(api, &call)?;
    Err(Error::TaskDelete)
}

fn allow(api: &Api, call: &Call) -> Result<()> {
    let policy = &api.control.policy;
    Ok(policy.allow(Rule::TasksApiAccess, &call.caller, Target::Service)?)
}

/// The body of a create, in the order in which Glance refuses.
fn new_task(api: &Api, body: Value, token: Option<Secret>) -> Result<NewTask> {
    let mut members = match body {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    for name in ["type", "input"] {
        if !members.contains_key(name) {
            return Err(Error::BadRequest(
                format!("Task '{name}' is required").into(),
            ));
        }
    }
    let valid = api.schemas.validate_task(&members);
    valid.map_err(|violation| Error::schema_of("task", violation))?;
    if members["type"] != IMPORT {
        let text = format!("A task of type {} is not begun by itself.", members["type"]);
        return Err(Error::BadRequest(text.into()));
    }
    let input = members.remove("input").unwrap_or_default();
    Ok(NewTask {
        uri: address_of(&input["import_from"])?,
        image: image_of(api, &input),
        input,
        token,
    })
}

/// An address of the web.
fn address_of(named: &Value) -> Result<String> {
    let bad = |text: String| Err(Error::BadRequest(text.into()));
    let uri = match named {
        Value::Null => return bad("Invalid location: None".to_owned()),
        Value::String(uri) if uri.is_empty() => return bad("Invalid location: ".to_owned()),
        Value::String(uri) => uri,
        other => return bad(format!("Invalid location: {other}")),
    };
    let begins = |schemes: [&str; 2]| schemes.iter().any(|scheme| uri.starts_with(scheme));
    if begins(["http://", "https://"]) {
        return Ok(uri.clone());
    }
    if begins(["file:///", "filesystem:///"]) {
        let text =
            "File based imports are not allowed. Please use a non-local source of image data.";
        return bad(text.to_owned());
    }
    let text = "The given uri is not valid. Please specify a valid uri from the following list of \
                supported uri ['http']";
    bad(text.to_owned())
}

/// The image, or what the task says that has none.
fn image_of(api: &Api, input: &Value) -> Result<NewImage, String> {
    for name in ["import_from_format", "image_properties"] {
        if input.get(name).is_none() {
            return Err(format!("Input does not contain '{name}' field"));
        }
    }
    let image = images::new_image(api, input["image_properties"].clone());
    image.map_err(|error| error.to_string())
}

fn address(params: &[(String, String)]) -> String {
    let params = params.iter().map(|(name, value)| (&**name, &**value));
    match filter::encode(params).as_str() {
        "" => "/v2/tasks".to_owned(),
        encoded => format!("/v2/tasks?{encoded}"),
    }
}

struct Listing {
    query: TaskQuery,
    /// What was asked for, without the marker.
    echo: Vec<(String, String)>,
}

/// The parameters, in the order in which Glance refuses.
fn listing(api: &Api, asked: &str) -> Result<Listing> {
    let bad = |text: String| Error::BadRequest(text.into());
    let params = url::form_urlencoded::parse(asked.as_bytes()).into_owned();
    let params: Vec<(String, String)> = params.collect();
    let last = |name: &str| {
        let mut found = params.iter().rev().filter(|(other, _)| other == name);
        found.next().map(|(_, value)| value.clone())
    };
    let descending = match last("sort_dir").as_deref() {
        None | Some("desc") => true,
        Some("asc") => false,
        Some(other) => return Err(bad(format!("Invalid sort direction: {other}"))),
    };
    let status: Option<TaskStatus> = match last("status").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let status = text.parse();
            Some(status.map_err(|_| bad(format!("Invalid status value: {text}")))?)
        }
    };
    let kind = last("type").filter(|text| !text.is_empty());
    if let Some(kind) = kind.as_ref().filter(|kind| *kind != "import") {
        return Err(bad(format!("Invalid type value: {kind}")));
    }
    let marker = match last("marker").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let id = text.parse::<TaskId>();
            Some(id.map_err(|_| bad("Invalid marker format".to_owned()))?)
        }
    };
    let limit = match last("limit") {
        None => api.settings.limit_param_default,
        Some(text) => {
            let number = text.trim().parse::<i64>();
            let number = number.map_err(|_| bad("limit param must be an integer".to_owned()))?;
            u64::try_from(number).map_err(|_| bad("limit param must be positive".to_owned()))?
        }
    };
    let sort_key = last("sort_key").unwrap_or_else(|| "created_at".to_owned());
    let found = TASK_SORT_KEYS.into_iter().find(|key| *key == sort_key);
    let sort_key = found.ok_or_else(|| bad("Sort key supplied was not valid.".to_owned()))?;
    let limit = limit.min(api.settings.api_limit_max);
    let echo = params.iter().filter(|(name, _)| name != "marker");
    Ok(Listing {
        query: TaskQuery {
            kind,
            status,
            sort_key,
            descending,
            marker,
            limit,
        },
        echo: echo.cloned().collect(),
    })
}
