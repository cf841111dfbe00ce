//! Tasks as the API shows them (reference A.4.5, A.8).

use bytes::Bytes;
use chrono::NaiveDateTime;
use serde_json::{Map, Value, json};

use super::Time;
use crate::model::Task;

/// A task document.
pub fn task(task: &Task) -> Bytes {
    let mut shown = stub(task);
    shown.insert("input".into(), task.input.clone());
    shown.insert("result".into(), task.result.clone());
    let message = task.message.clone().unwrap_or_default();
    shown.insert("message".into(), message.into());
    let image = task.image.as_ref().map(|image| image.as_str().to_owned());
    for (name, value) in [
        ("image_id", image),
        ("request_id", task.request_id.clone()),
        ("user_id", task.user_id.clone()),
    ] {
        if let Some(value) = value {
            shown.insert(name.into(), value.into());
        }
    }
    Value::Object(shown).to_string().into()
}

/// A page of tasks, each without what it is about.
pub fn tasks(tasks: &[Task], first: &str, next: Option<&str>) -> Bytes {
    let shown: Vec<Value> = tasks.iter().map(|task| Value::Object(stub(task))).collect();
    let mut page = json!({
        "tasks": shown,
        "first": first,
        "schema": "/v2/schemas/tasks",
    });
    if let Some(next) = next {
        page["next"] = next.into();
    }
    page.to_string().into()
}

/// The tasks of an image: the rows as Glance's database has them, with times as Python writes them.
pub fn image_tasks(tasks: &[Task]) -> Bytes {
    let shown = tasks.iter().map(|task| {
        json!({
            "id": task.id.to_string(),
            "type": task.kind,
            "status": task.status.as_str(),
            "owner": task.owner.as_str(),
            "expires_at": task.expires_at.map(python_time),
            "created_at": python_time(task.created_at),
            "updated_at": python_time(task.updated_at),
            "deleted_at": null,
            "deleted": false,
            "image_id": task.image.as_ref().map(|image| image.as_str()),
            "request_id": task.request_id,
            "user_id": task.user_id,
            "input": task.input,
            "result": task.result,
            "message": task.message.as_deref().unwrap_or_default(),
        })
    });
    let shown: Vec<Value> = shown.collect();
    json!({"tasks": shown}).to_string().into()
}

fn stub(task: &Task) -> Map<String, Value> {
    let id = task.id.to_string();
    let mut shown = Map::from_iter([
        ("self".to_owned(), Value::from(format!("/v2/tasks/{id}"))),
        ("id".to_owned(), id.into()),
        ("type".to_owned(), task.kind.as_str().into()),
        ("status".to_owned(), task.status.as_str().into()),
        ("owner".to_owned(), task.owner.as_str().into()),
        (
            "created_at".to_owned(),
            Time(task.created_at).to_string().into(),
        ),
        (
            "updated_at".to_owned(),
            Time(task.updated_at).to_string().into(),
        ),
        ("schema".to_owned(), "/v2/schemas/task".into()),
    ]);
    if let Some(expires_at) = task.expires_at {
        shown.insert("expires_at".into(), Time(expires_at).to_string().into());
    }
    shown
}

/// `datetime.isoformat`: a fraction only where there is one.
fn python_time(time: NaiveDateTime) -> String {
    let micros = time.and_utc().timestamp_subsec_micros();
    match micros {
        0 => time.format("%Y-%m-%dT%H:%M:%S").to_string(),
        _ => time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
    }
}
