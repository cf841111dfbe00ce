//! What is told of things: Glance's payloads. Where an image's bytes are is never told.

use chrono::{NaiveDateTime, Utc};
use serde_json::{Value, json};

use super::Sent;
use crate::model::{Image, Member, ProjectId, Task, Visibility};

pub(super) fn image(image: &Image) -> Value {
    json!({
        "id": image.id.as_str(),
        "name": image.name,
        "status": image.status.as_str(),
        "created_at": time(image.created_at),
        "updated_at": time(image.updated_at),
        "min_disk": image.min_disk_gib,
        "min_ram": image.min_ram_mib,
        "protected": image.protected,
        "checksum": image.checksum,
        "owner": project(image.owner.as_ref()),
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": image.size_bytes,
        "virtual_size": image.virtual_size_bytes,
        "is_public": image.visibility == Visibility::Public,
        "visibility": image.visibility.as_str(),
        "properties": image.properties,
        "tags": image.tags,
        "deleted": false,
        "deleted_at": null,
    })
}

pub(super) fn member(member: &Member) -> Value {
    json!({
        "image_id": member.image_id.as_str(),
        "member_id": member.member.as_str(),
        "status": member.status.as_str(),
        "created_at": time(member.created_at),
        "updated_at": time(member.updated_at),
        "deleted": false,
        "deleted_at": null,
    })
}

/// A task without what was asked for and what came of it, which may be nobody's business.
pub(super) fn task(task: &Task) -> Value {
    let owner = Some(&task.owner).filter(|owner| !owner.as_str().is_empty());
    json!({
        "id": task.id.to_string(),
        "type": task.kind,
        "status": task.status.as_str(),
        "result": null,
        "owner": project(owner),
        "message": null,
        // Glance tells the time of the message where there is none.
        "expires_at": time(task.expires_at.unwrap_or_else(|| Utc::now().naive_utc())),
        "created_at": time(task.created_at),
        "updated_at": time(task.updated_at),
        "deleted": false,
        "deleted_at": null,
    })
}

pub(super) fn sent(sent: &Sent, sent_bytes: u64) -> Value {
    json!({
        "bytes_sent": sent_bytes,
        "image_id": sent.image.as_str(),
        "owner_id": project(sent.owner.as_ref()),
        "receiver_tenant_id": project(sent.project.as_ref()),
        "receiver_user_id": sent.user,
    })
}

/// The same thing, gone.
pub(super) fn deleted(mut payload: Value, at: NaiveDateTime) -> Value {
    payload["deleted"] = true.into();
    payload["deleted_at"] = time(at).into();
    payload
}

/// The stores that an import goes to and those that it failed at, as lists.
pub(super) fn with_imports(mut payload: Value, image: &Image) -> Value {
    for name in ["os_glance_importing_to_stores", "os_glance_failed_import"] {
        let stores = image.properties.get(name).and_then(Option::as_deref);
        let stores = stores.filter(|stores| !stores.is_empty());
        let stores: Vec<&str> = stores.map_or_else(Vec::new, |stores| stores.split(',').collect());
        payload[name] = stores.into();
    }
    payload
}

fn project(project: Option<&ProjectId>) -> Option<&str> {
    project.map(ProjectId::as_str)
}

pub(super) fn time(time: NaiveDateTime) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
