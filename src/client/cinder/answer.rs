//! What Cinder answers.

use std::time::SystemTime;

use chrono::NaiveDateTime;
use reqwest::Response;
use serde_json::Value;

use super::{Error, Metadata, unexpected};
use crate::{base::limits::MIB, client::transport};

/// No answer of a page of volumes has more.
const BODY_BYTES_MAX: usize = 16 * MIB;
/// What is quoted of an answer that refuses.
const QUOTED_CHARS: usize = 300;

/// A volume as Cinder tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its id, which is part of the name that it has in its back end.
    pub id: String,
    /// Its name; empty where it has none.
    pub name: String,
    /// GiB.
    pub size_gib: u64,
    /// `available`, `in-use`, `creating`, ...
    pub status: String,
    /// Its type by name.
    pub volume_type: Option<String>,
    /// What is noted on it.
    pub metadata: Metadata,
    /// Who has it.
    pub attachments: Vec<Attached>,
    /// When it was last changed, or made, by Cinder's clock.
    pub modified: Option<SystemTime>,
}

/// An attachment as its volume tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its id.
    pub id: String,
    /// The `mountpoint` of its connector; empty where there is none.
    pub device: String,
}

/// An attachment, whether anybody uses it or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its id.
    pub id: String,
    /// `connection_info`; null while it is only reserved.
    pub connection: Value,
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order of their ids.
    pub volumes: Vec<Volume>,
    /// The id after which the next page begins; none when this is the last.
    pub next: Option<String>,
}

impl Attachment {
    pub(super) fn of(about: &Value) -> Result<Self, Error> {
        let id = about["id"].as_str().map(str::to_owned);
        Ok(Self {
            id: id.ok_or_else(|| unexpected("an attachment without an id"))?,
            connection: about["connection_info"].clone(),
        })
    }
}

impl Page {
    pub(super) fn of(about: &Value) -> Result<Self, Error> {
        let volumes = about["volumes"].as_array();
        let volumes = volumes.ok_or_else(|| unexpected("a list of volumes that is none"))?;
        let volumes: Vec<Volume> = volumes.iter().map(Volume::of).collect::<Result<_, _>>()?;
        let mut links = about["volumes_links"].as_array().into_iter().flatten();
        let last = volumes
            .last()
            .filter(|_| links.any(|link| link["rel"] == "next"));
        Ok(Self {
            next: last.map(|volume| volume.id.clone()),
            volumes,
        })
    }
}

impl Volume {
    pub(super) fn of(about: &Value) -> Result<Self, Error> {
        Self::read(about).ok_or_else(|| unexpected("a volume that is none"))
    }

    fn read(about: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = about["metadata"].as_object().into_iter().flatten();
        let attachments = about["attachments"].as_array().into_iter().flatten();
        let attachments = attachments.filter_map(|attached| {
            Some(Attached {
                id: attached["attachment_id"].as_str()?.to_owned(),
                device: text(&attached["device"]),
            })
        });
        Some(Self {
            id: about["id"].as_str()?.to_owned(),
            name: text(&about["name"]),
            size_gib: about["size"].as_u64()?,
            status: about["status"].as_str()?.to_owned(),
            volume_type: about["volume_type"].as_str().map(str::to_owned),
            metadata: metadata
                .map(|(key, value)| (key.clone(), text(value)))
                .collect(),
            attachments: attachments.collect(),
            modified: time(&about["updated_at"]).or_else(|| time(&about["created_at"])),
        })
    }
}

/// UTC, which is not said.
fn time(value: &Value) -> Option<SystemTime> {
    let time = NaiveDateTime::parse_from_str(value.as_str()?, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(time.and_utc().into())
}

/// What an answer says, if it says yes.
pub(super) async fn read(mut answer: Response) -> Result<Value, Error> {
    let status = answer.status();
    let mut bytes = Vec::new();
    loop {
        let next = answer.chunk().await;
        match next.map_err(|error| Error::Unavailable(transport::cause(&error)))? {
            None => break,
            Some(chunk) if bytes.len() + chunk.len() > BODY_BYTES_MAX => {
                return Err(unexpected("more than can be asked for"));
            }
            Some(chunk) => bytes.extend_from_slice(&chunk),
        }
    }
    if status.is_success() {
        return match bytes.is_empty() {
            true => Ok(Value::Null),
            false => serde_json::from_slice(&bytes).map_err(|_| unexpected("no JSON")),
        };
    }
    Err(judged(status.as_u16(), &bytes))
}

/// What a status means that is no success.
fn judged(status: u16, body: &[u8]) -> Error {
    let text = message(body).unwrap_or_else(|| format!("status {status}"));
    match status {
        400 | 409 => Error::Refused(text),
        401 | 403 => Error::Denied(text),
        404 => Error::NotFound,
        413 => Error::Full(text),
        408 | 429 | 500 | 502 | 503 | 504 => Error::Unavailable(text),
        _ => Error::Unexpected(text),
    }
}

/// `{"badRequest": {"code": 400, "message": "..."}}`
fn message(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let (_, fault) = body.as_object()?.iter().next()?;
    let text = fault["message"].as_str()?;
    Some(text.chars().take(QUOTED_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_volume_is_read_as_cinder_tells_it() {
        let volume = Volume::of(&json!({
            "id": "v1", "name": "image-i1", "size": 2, "status": "in-use", "volume_type": "rbd",
            "multiattach": false, "updated_at": null,
            "created_at": "2026-11-21T10:00:00.500000",
            "metadata": {"image_size": "5", "readonly": "True"},
            "attachments": [{"id": "v1", "attachment_id": "a1", "device": "glance_store",
                             "server_id": null, "host_name": null}],
        }));
        let volume = volume.unwrap();
        assert_eq!((volume.id.as_str(), volume.size_gib), ("v1", 2));
        assert_eq!(volume.metadata["image_size"], "5");
        assert_eq!(volume.attachments[0].id, "a1");
        assert_eq!(volume.attachments[0].device, "glance_store");
        assert!(volume.modified.is_some());
    }

    #[test]
    fn a_volume_without_a_name_is_one_all_the_same() {
        let bare = json!({"id": "v1", "name": null, "size": 1, "status": "creating"});
        assert_eq!(Volume::of(&bare).unwrap().name, "");
        for key in ["id", "size", "status"] {
            let mut lacking = bare.clone();
            lacking[key] = Value::Null;
            assert!(Volume::of(&lacking).is_err(), "{key}");
        }
    }

    #[test]
    fn a_page_says_whether_there_are_more() {
        let volume = json!({"id": "v1", "size": 1, "status": "available"});
        let mut page = json!({"volumes": [volume]});
        assert_eq!(Page::of(&page).unwrap().next, None);
        page["volumes_links"] = json!([{"rel": "next", "href": "http://x"}]);
        assert_eq!(Page::of(&page).unwrap().next.as_deref(), Some("v1"));
    }

    #[test]
    fn a_refusal_is_told_in_cinders_words() {
        let body = br#"{"badRequest": {"code": 400, "message": "Invalid volume: it is busy"}}"#;
        assert_eq!(
            judged(400, body),
            Error::Refused("Invalid volume: it is busy".to_owned())
        );
        let body = br#"{"overLimit": {"code": 413, "message": "VolumeSizeExceedsAvailableQuota"}}"#;
        assert!(matches!(judged(413, body), Error::Full(_)));
        assert_eq!(judged(404, b"<html>"), Error::NotFound);
        assert!(matches!(judged(503, b""), Error::Unavailable(_)));
        assert!(matches!(judged(418, b""), Error::Unexpected(text) if text == "status 418"));
    }
}
