//! Artifacts as JSON.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::{
    control::artifact::{Kind, Type, document},
    model::artifact::{Artifact, Blob},
};

/// What ends a path, or is no letter of one, besides what is not ASCII.
const NOT_OF_A_PATH: AsciiSet = CONTROLS.add(b' ').add(b'#').add(b'%').add(b'?');

/// An artifact as its type shows it.
pub(super) fn artifact(kind: &Type, artifact: &Artifact) -> Value {
    let mut shown = document(kind, artifact);
    for (name, field) in &kind.fields {
        let value = match field.kind {
            Kind::Blob => match artifact.blob(name, None) {
                Some(blob) => self::blob(artifact, blob),
                None => Value::Null,
            },
            Kind::Folder => folder(artifact, name),
            Kind::One(_) | Kind::List(_) | Kind::Dict(_) => continue,
        };
        shown.insert(name.clone(), value);
    }
    shown.into()
}

fn folder(artifact: &Artifact, name: &str) -> Value {
    let blobs = artifact.blobs.iter().filter(|blob| blob.field == name);
    let keys = blobs.filter_map(|blob| blob.key.as_deref());
    let shown = keys.filter_map(|key| {
        let blob = artifact.blob(name, Some(key))?;
        Some((key.to_owned(), self::blob(artifact, blob)))
    });
    Value::Object(Map::from_iter(shown))
}

fn blob(artifact: &Artifact, blob: &Blob) -> Value {
    let url = match (blob.external, &blob.key) {
        (true, _) => blob.url.clone().unwrap_or_default(),
        (false, None) => own(artifact, &blob.field),
        (false, Some(key)) => {
            let key = utf8_percent_encode(key, &NOT_OF_A_PATH);
            own(artifact, &format!("{}/{key}", blob.field))
        }
    };
    json!({
        "url": url,
        "size": blob.size_bytes,
        "md5": blob.md5,
        "sha1": blob.sha1,
        "sha256": blob.sha256,
        "external": blob.external,
        "status": blob.status.as_str(),
        "content_type": blob.content_type,
    })
}

fn own(artifact: &Artifact, place: &str) -> String {
    format!("/artifacts/{}/{}/{place}", artifact.type_name, artifact.id)
}
