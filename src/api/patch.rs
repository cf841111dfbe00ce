//! The bodies of `PATCH /v2/images/{id}` as typed changes (reference A.4.4).

use serde_json::{Map, Value};

use super::{Error, Result, extract, schema::Schemas, view};
use crate::{
    control::{
        image::{Attribute, Change, Edit},
        location::{HashField, NewLocation},
    },
    model::ProjectId,
};

/// Attributes that only we set.
const READ_ONLY: [&str; 13] = [
    "created_at",
    "updated_at",
    "status",
    "checksum",
    "size",
    "virtual_size",
    "direct_url",
    "self",
    "file",
    "schema",
    "id",
    "os_hash_algo",
    "os_hash_value",
];

/// Names that no property may have.
const RESERVED: [&str; 3] = ["location", "deleted", "deleted_at"];

/// Properties that begin so are Glance's own.
const RESERVED_PREFIX: &str = "os_glance";

/// The longest name of a property, in characters.
pub(super) const NAME_LENGTH_MAX: usize = 255;

/// The two media types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `application/openstack-images-v2.0-json-patch`: `{"add": "/x", "value": ...}`.
    V2_0,
    /// `application/openstack-images-v2.1-json-patch`: `{"op": "add", "path": "/x", ...}`.
    V2_1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Remove,
    Replace,
}

impl Operation {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Add, "add"),
        (Self::Remove, "remove"),
        (Self::Replace, "replace"),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl Version {
    /// By the media type, without its parameters.
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/openstack-images-v2.0-json-patch" => Some(Self::V2_0),
            "application/openstack-images-v2.1-json-patch" => Some(Self::V2_1),
            _ => None,
        }
    }
}

/// Parses a body.
///
/// # Errors
/// [`Error::BadRequest`] and [`Error::Forbidden`] with Glance's texts, and those of
/// [`extract::json`].
pub fn parse(version: Version, body: &[u8], schemas: &Schemas) -> Result<Vec<Change>> {
    changes(version, extract::json(body)?, schemas)
}

/// The changes of a body that is JSON.
pub(super) fn changes(version: Version, body: Value, schemas: &Schemas) -> Result<Vec<Change>> {
    let Value::Array(operations) = body else {
        return bad("Request body must be a JSON array of operation objects.");
    };
    let operations = operations.into_iter();
    operations
        .map(|operation| match operation {
            Value::Object(members) => change(version, members, schemas),
            _ => bad("Operations must be JSON objects."),
        })
        .collect()
}

fn bad<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::BadRequest(text.into().into()))
}

fn change(version: Version, mut members: Map<String, Value>, schemas: &Schemas) -> Result<Change> {
    let (operation, pointer) = match version {
        Version::V2_1 => operation_v2_1(&members)?,
        Version::V2_0 => operation_v2_0(&members)?,
    };
    let path = decode_pointer(&pointer)?;
    let depth = match (path[0].as_str(), operation) {
        ("locations", Operation::Add | Operation::Remove) => 2,
        _ => 1,
    };
    if path.len() != depth {
        return bad(format!(
            "Invalid JSON pointer for this resource: '/{}'",
            path.join("/")
        ));
    }
    let value = match (operation, members.remove("value")) {
        (Operation::Remove, _) => Value::Null,
        (_, Some(value)) => value,
        (_, None) => {
            return bad(format!(
                "Operation \"{}\" requires a member named \"value\".",
                operation.as_str()
            ));
        }
    };
    let mut path = path.into_iter();
    let root = path.next().unwrap_or_default();
    writable(&root)?;
    if operation != Operation::Remove {
        matches_schema(&root, &value, depth, schemas)?;
    }
    if root == "locations" {
        return Ok(locations(operation, path.next().unwrap_or_default(), value));
    }
    typed(version, operation, root, value)
}

fn operation_v2_1(members: &Map<String, Value>) -> Result<(Operation, Value)> {
    let available = "It must be one of the following: add, remove, replace.";
    let operation = match members.get("op") {
        None | Some(Value::Null) => {
            return bad(format!(
                "Unable to find `op` in JSON Schema change. {available}"
            ));
        }
        Some(name) => Operation::ALL.into_iter().find(|(_, text)| name == text),
    };
    let Some((operation, _)) = operation else {
        let name = &members["op"];
        let name = name
            .as_str()
            .map_or_else(|| name.to_string(), str::to_owned);
        return bad(format!("Invalid operation: `{name}`. {available}"));
    };
    match members.get("path") {
        Some(path) => Ok((operation, path.clone())),
        None => bad("Unable to find 'path' in JSON Schema change"),
    }
}

fn operation_v2_0(members: &Map<String, Value>) -> Result<(Operation, Value)> {
    let mut named = Operation::ALL
        .into_iter()
        .filter_map(|(operation, name)| Some((operation, members.get(name)?.clone())));
    match (named.next(), named.next()) {
        (Some(found), None) => Ok(found),
        (None, _) => bad(
            "Operation objects must contain exactly one member named \"add\", \"remove\", or \
             \"replace\".",
        ),
        (Some(_), Some(_)) => bad(
            "Operation objects must contain only one member named \"add\", \"remove\", or \
             \"replace\".",
        ),
    }
}

/// The parts of a JSON pointer, of which there is at least one.
fn decode_pointer(pointer: &Value) -> Result<Vec<String>> {
    let text = match pointer {
        Value::String(text) => text.as_str(),
        other => return bad(format!("Pointer `{other}` does not start with \"/\".")),
    };
    let Some(rest) = text.strip_prefix('/') else {
        return bad(format!("Pointer `{text}` does not start with \"/\"."));
    };
    let parts: Vec<&str> = rest.split('/').collect();
    // Between two slashes of the rest, and only there: the first part may be empty.
    let inner = parts.get(1..parts.len() - 1).unwrap_or_default();
    if inner.iter().any(|part| part.trim().is_empty()) {
        return bad(format!("Pointer `{text}` contains adjacent \"/\"."));
    }
    if text.len() > 1 && text.ends_with('/') {
        return bad(format!("Pointer `{text}` end with \"/\"."));
    }
    if rest.trim() == "/" {
        return bad(format!("Pointer `{text}` does not contains valid token."));
    }
    if text
        .split('~')
        .skip(1)
        .any(|after| !after.starts_with(['0', '1']))
    {
        return bad(format!(
            "Pointer `{text}` contains \"~\" not part of a recognized escape sequence."
        ));
    }
    let parts = text.trim_start_matches('/').split('/');
    let unescape = |part: &str| part.replace("~1", "/").replace("~0", "~").trim().to_owned();
    Ok(parts.map(unescape).collect())
}

fn writable(root: &str) -> Result<()> {
    if READ_ONLY.contains(&root) {
        return Err(Error::Forbidden(format!(
            "Attribute '{root}' is read-only."
        )));
    }
    if is_reserved(root) {
        return Err(Error::Forbidden(format!("Attribute '{root}' is reserved.")));
    }
    if root.chars().count() > NAME_LENGTH_MAX {
        return bad("Custom property should not be greater than 255 characters.");
    }
    Ok(())
}

/// Whether no client may use the name. What is Glance's own is so in capitals too: to MySQL a name is
/// the same in either.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || name.to_lowercase().starts_with(RESERVED_PREFIX)
}

/// Checks the part of an image that the operation would set.
fn matches_schema(root: &str, value: &Value, depth: usize, schemas: &Schemas) -> Result<()> {
    let value = match depth {
        1 => value.clone(),
        _ => Value::Array(vec![value.clone()]),
    };
    let part = Map::from_iter([(root.to_owned(), value)]);
    schemas.validate(&part).map_err(Error::schema)
}

fn typed(version: Version, operation: Operation, root: String, value: Value) -> Result<Change> {
    if let Some(base) = view::SETTABLE.into_iter().find(|name| *name == root) {
        return match (operation, version) {
            (Operation::Remove, _) => Ok(Change::RemoveBase(base)),
            (Operation::Add, Version::V2_0) => Ok(Change::SetNew(base)),
            _ => attribute(base, value).map(Change::Set),
        };
    }
    let value = property_value(value);
    let edit = match (operation, version) {
        (Operation::Add, Version::V2_1) => Edit::Add(value),
        (Operation::Add, Version::V2_0) => Edit::AddNew(value),
        (Operation::Replace, _) => Edit::Replace(value),
        (Operation::Remove, _) => Edit::Remove,
    };
    Ok(Change::Property { name: root, edit })
}

/// A change of locations that the schema has accepted.
fn locations(operation: Operation, place: String, value: Value) -> Change {
    match (operation, value) {
        (Operation::Remove, _) => Change::RemoveLocation(place),
        (Operation::Replace, Value::Array(items)) => {
            Change::ReplaceLocations(items.into_iter().map(location).collect())
        }
        (Operation::Add | Operation::Replace, value) => Change::AddLocation {
            place,
            location: location(value),
        },
    }
}

fn location(value: Value) -> NewLocation {
    let mut members = match value {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let mut take = |name: &str| members.remove(name);
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let object = |value: Option<Value>| match value {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let validation = object(take("validation_data")).into_iter();
    NewLocation {
        url: take("url").map(text).unwrap_or_default(),
        metadata: object(take("metadata")),
        validation: validation
            .filter_map(|(name, value)| Some((HashField::of(&name)?, text(value))))
            .collect(),
    }
}

/// What a custom property's column holds. Only an operator's schema allows other than text.
pub(super) fn property_value(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// A value that the schema has accepted.
fn attribute(name: &str, value: Value) -> Result<Attribute> {
    let truth = || value.as_bool().unwrap_or_default();
    let text = || value.as_str().map(str::to_owned);
    Ok(match name {
        "container_format" => Attribute::ContainerFormat(text()),
        "disk_format" => Attribute::DiskFormat(text()),
        "min_disk" => Attribute::MinDisk(whole(&value)),
        "min_ram" => Attribute::MinRam(whole(&value)),
        "name" => Attribute::Name(text()),
        "os_hidden" => Attribute::OsHidden(truth()),
        "owner" => Attribute::Owner(owner(&value)),
        "protected" => Attribute::Protected(truth()),
        "tags" => Attribute::Tags(tags(value)),
        "visibility" => match value.as_str().unwrap_or_default().parse() {
            Ok(visibility) => Attribute::Visibility(visibility),
            Err(_) => return bad(format!("Invalid visibility value: {value}")),
        },
        _ => return bad(format!("Attribute '{name}' cannot be set.")),
    })
}

/// A whole number, also where JSON writes it as `1.0`.
pub(super) fn whole(value: &Value) -> i64 {
    let fractional = || value.as_f64().map(|number| number as i64);
    value.as_i64().or_else(fractional).unwrap_or_default()
}

/// Nobody where there is no text.
pub(super) fn owner(value: &Value) -> Option<ProjectId> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(ProjectId::new)
}

/// As given: the quota counts repetitions.
pub(super) fn tags(value: Value) -> Vec<String> {
    let Value::Array(items) = value else {
        return Vec::new();
    };
    let texts = items.into_iter().filter_map(|item| match item {
        Value::String(tag) => Some(tag),
        _ => None,
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Settings;

    fn schemas() -> Schemas {
        let settings = Settings::default();
        Schemas::new(&settings.disk_formats, &settings.container_formats, None).unwrap()
    }

    fn parsed(body: &str) -> Vec<Change> {
        parse(Version::V2_1, body.as_bytes(), &schemas()).unwrap()
    }

    fn error(version: Version, body: &str) -> String {
        let error = parse(version, body.as_bytes(), &schemas()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn operations_become_changes() {
        let body = r#"[{"op": "replace", "path": "/name", "value": "n"},
                       {"op": "add", "path": "/a~1b~0", "value": "v"},
                       {"op": "remove", "path": "/x"},
                       {"op": "add", "path": "/kernel_id", "value": null}]"#;
        let property = |name: &str, edit| Change::Property {
            name: name.into(),
            edit,
        };
        let expected = [
            Change::Set(Attribute::Name(Some("n".into()))),
            property("a/b~", Edit::Add(Some("v".into()))),
            property("x", Edit::Remove),
            property("kernel_id", Edit::Add(None)),
        ];
        assert_eq!(parsed(body), expected);
    }

    #[test]
    fn version_2_0_names_the_operation_by_member() {
        let body = br#"[{"add": "/x", "value": "1"}, {"replace": "/name", "value": null}]"#;
        let changes = parse(Version::V2_0, body, &schemas()).unwrap();
        assert_eq!(changes[1], Change::Set(Attribute::Name(None)));
        assert!(matches!(
            &changes[0],
            Change::Property { edit: Edit::AddNew(Some(value)), .. } if value == "1"
        ));
        assert_eq!(
            error(Version::V2_0, r#"[{"value": 1}]"#),
            "Operation objects must contain exactly one member named \"add\", \"remove\", or \
             \"replace\"."
        );
        assert_eq!(
            error(Version::V2_0, r#"[{"add": "/x", "remove": "/y"}]"#),
            "Operation objects must contain only one member named \"add\", \"remove\", or \
             \"replace\"."
        );
    }

    #[test]
    fn malformed_operations_are_told_as_glance_tells_them() {
        let cases = [
            (
                "{}",
                "Request body must be a JSON array of operation objects.",
            ),
            ("[1]", "Operations must be JSON objects."),
            (
                "[{}]",
                "Unable to find `op` in JSON Schema change. It must be one of the following: add, \
                 remove, replace.",
            ),
            (
                r#"[{"op": "x"}]"#,
                "Invalid operation: `x`. It must be one of the following: add, remove, replace.",
            ),
            (
                r#"[{"op": "add"}]"#,
                "Unable to find 'path' in JSON Schema change",
            ),
            (
                r#"[{"op": "add", "path": "/name"}]"#,
                "Operation \"add\" requires a member named \"value\".",
            ),
            (
                r#"[{"op": "add", "path": "/a/b", "value": "1"}]"#,
                "Invalid JSON pointer for this resource: '/a/b'",
            ),
            ("{", "Malformed JSON in request body."),
            ("7", "Unexpected body type. Expected list/dict."),
        ];
        for (body, text) in cases {
            assert_eq!(error(Version::V2_1, body), text, "{body}");
        }
    }

    #[test]
    fn pointers_are_checked() {
        let cases = [
            ("name", "Pointer `name` does not start with \"/\"."),
            ("/a//b", "Pointer `/a//b` contains adjacent \"/\"."),
            ("/a/ /b", "Pointer `/a/ /b` contains adjacent \"/\"."),
            ("/a/", "Pointer `/a/` end with \"/\"."),
            ("//", "Pointer `//` end with \"/\"."),
            (
                "/a~2",
                "Pointer `/a~2` contains \"~\" not part of a recognized escape sequence.",
            ),
            (
                "/a~",
                "Pointer `/a~` contains \"~\" not part of a recognized escape sequence.",
            ),
        ];
        for (pointer, text) in cases {
            let body = format!(r#"[{{"op": "add", "path": "{pointer}", "value": "1"}}]"#);
            assert_eq!(error(Version::V2_1, &body), text);
        }
    }

    #[test]
    fn some_names_cannot_be_written() {
        let cases = [
            ("size", "Attribute 'size' is read-only."),
            ("deleted", "Attribute 'deleted' is reserved."),
            ("os_glance_x", "Attribute 'os_glance_x' is reserved."),
            ("OS_Glance_x", "Attribute 'OS_Glance_x' is reserved."),
        ];
        for (name, text) in cases {
            let body = format!(r#"[{{"op": "remove", "path": "/{name}"}}]"#);
            assert_eq!(error(Version::V2_1, &body), text);
        }
    }

    #[test]
    fn values_must_match_the_schema() {
        let text = error(
            Version::V2_1,
            r#"[{"op": "add", "path": "/name", "value": 1}]"#,
        );
        assert!(text.starts_with(
            "Provided object does not match schema 'image': 1 is not of type 'null', 'string'"
        ));
    }

    #[test]
    fn locations_have_their_own_depth() {
        let body = r#"[{"op": "remove", "path": "/locations/0"},
                       {"op": "add", "path": "/locations/-", "value": {"url": "rbd://a/b/c/d",
                        "metadata": {"k": "v"}, "validation_data": {"os_hash_algo": "sha512",
                        "os_hash_value": "00"}}},
                       {"op": "replace", "path": "/locations", "value": []}]"#;
        let location = NewLocation {
            url: "rbd://a/b/c/d".into(),
            metadata: Map::from_iter([("k".to_owned(), "v".into())]),
            validation: vec![
                (HashField::OsHashAlgo, "sha512".into()),
                (HashField::OsHashValue, "00".into()),
            ],
        };
        let place = "-".to_owned();
        let expected = [
            Change::RemoveLocation("0".into()),
            Change::AddLocation { place, location },
            Change::ReplaceLocations(Vec::new()),
        ];
        assert_eq!(parsed(body), expected);
    }
}
