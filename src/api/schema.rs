//! The schema documents of `/v2/schemas`, and the check of request bodies against the image's
//! (reference A.3.2).

pub mod metadef;
mod python;
pub mod validate;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use metadef::Metadefs;
use validate::Validator;
pub use validate::Violation;

use crate::{control::encryption, data::encrypt::Format};

/// The attribute that encrypted images may have a word of their own for.
pub(super) const DISK_FORMAT: &str = "disk_format";

/// What the stock `schema-image.json` declares: properties that many deployments set.
const STOCK_PROPERTIES: &str = include_str!("schema/stock.json");

/// The attributes of every image. The formats are filled in.
const BASE_PROPERTIES: &str = include_str!("schema/base.json");

/// The attributes of a member.
const MEMBER_PROPERTIES: &str = include_str!("schema/member.json");

/// The attributes of a task.
const TASK_PROPERTIES: &str = include_str!("schema/task.json");

/// What a service says of a location that it registers.
const REGISTRATION_PROPERTIES: &str = include_str!("schema/registration.json");

/// The documents, ready to send, and the validators of images and locations.
#[derive(Debug)]
pub struct Schemas {
    /// `GET /v2/schemas/image`.
    pub image: Bytes,
    /// `GET /v2/schemas/images`.
    pub images: Bytes,
    /// `GET /v2/schemas/member`.
    pub member: Bytes,
    /// `GET /v2/schemas/members`.
    pub members: Bytes,
    /// `GET /v2/schemas/task`.
    pub task: Bytes,
    /// `GET /v2/schemas/tasks`.
    pub tasks: Bytes,
    /// Of metadata definitions.
    pub metadefs: Metadefs,
    properties: Map<String, Value>,
    schema: Value,
    validator: Validator,
    registrations: Validator,
    new_tasks: Validator,
}

/// A `schema-image.json` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON.
    #[error("it is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Not an object of objects.
    #[error("it must be an object of property schemas, or have one as \"properties\"")]
    Shape,
    /// A base property of another shape.
    #[error("custom properties ({0}) conflict with base properties")]
    Conflict(String),
    /// A `pattern` that is no regular expression.
    #[error(transparent)]
    Pattern(#[from] regex::Error),
    /// A `$ref` that leads to itself.
    #[error("a \"$ref\" leads back to itself")]
    Endless,
}

impl Schemas {
    /// `properties_json` is the text of `schema-image.json`, flat or with `properties` and
    /// `required`; none stands for the stock file.
    pub fn new(
        disk_formats: &[String],
        container_formats: &[String],
        properties_json: Option<&str>,
    ) -> Result<Self, Error> {
        let mut properties = base_properties(disk_formats, container_formats);
        let custom: Value = serde_json::from_str(properties_json.unwrap_or(STOCK_PROPERTIES))?;
        let required = merge(&mut properties, custom)?;
        let image = image_schema(&properties, required);
        if validate::is_endless(&image) {
            return Err(Error::Endless);
        }
        let images = collection("images", &image, true);
        let member = json!({"name": "member", "properties": member_properties()});
        let members = collection("members", &member, false);
        let (task, tasks) = tasks();
        Ok(Self {
            image: document(&image),
            images: document(&images),
            member: document(&member),
            members: document(&members),
            task: document(&task),
            tasks: document(&tasks),
            metadefs: Metadefs::new()?,
            properties,
            schema: image.clone(),
            validator: Validator::new(image)?,
            registrations: Validator::new(registration_schema())?,
            new_tasks: Validator::new(task)?,
        })
    }

    /// What the API shows and takes, by the names that the reference has for it.
    pub fn served(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let Metadefs {
            namespace,
            resource_type,
            property,
            object,
            tag,
            tag_list,
            nameless: _,
        } = &self.metadefs;
        let documents = [
            ("Image", &self.image),
            ("Images", &self.images),
            ("Member", &self.member),
            ("Members", &self.members),
            ("Task", &self.task),
            ("Tasks", &self.tasks),
            ("Namespace", &namespace.one),
            ("Namespaces", &namespace.many),
            ("Association", &resource_type.one),
            ("Associations", &resource_type.many),
            ("Property", &property.one),
            ("Properties", &property.many),
            ("Object", &object.one),
            ("Objects", &object.many),
            ("Tag", &tag.one),
            ("TagList", &tag_list.one),
        ];
        let read = |document: &Bytes| serde_json::from_slice(document).expect("it is JSON");
        let documents = documents.map(|(name, document)| (name, read(document)));
        documents
            .into_iter()
            .chain([("NewLocation", new_location())])
    }

    /// The documents of an image and of images for a caller with these rules about properties.
    pub fn protected(&self, rules: Value) -> (Bytes, Bytes) {
        let mut image = self.schema.clone();
        image["property_protections"] = rules;
        (
            document(&image),
            document(&collection("images", &image, true)),
        )
    }

    /// Checks the registration of a location, as a client sent it.
    pub fn validate_registration(&self, registration: Value) -> Result<(), Violation> {
        let whole = Map::from_iter([("add_location".to_owned(), registration)]);
        self.registrations.validate(&whole)
    }

    /// Checks a task, as a client sent it.
    pub fn validate_task(&self, task: &Map<String, Value>) -> Result<(), Violation> {
        self.new_tasks.validate(task)
    }

    /// Checks an image, or a part of one, as a client sent it. One that is to be encrypted may be `luks`,
    /// whether or not that is configured.
    pub fn validate(&self, object: &Map<String, Value>) -> Result<(), Violation> {
        if !is_luks(object) {
            return self.validator.validate(object);
        }
        let mut rest = object.clone();
        rest.insert(DISK_FORMAT.to_owned(), Value::Null);
        self.validator.validate(&rest)
    }

    /// Whether the schema names the property; one that it names may be null.
    pub fn declares(&self, property: &str) -> bool {
        self.properties.contains_key(property)
    }
}

/// Whether it is what encrypted images are, and says how it is encrypted.
fn is_luks(object: &Map<String, Value>) -> bool {
    let word = |name: &str| object.get(name).and_then(Value::as_str);
    let declared = word(encryption::FORMAT).and_then(Format::from_name);
    word(DISK_FORMAT) == Some(encryption::LUKS) && declared.is_some()
}

/// Python's `repr` of a value.
pub(super) fn python_repr(value: &Value) -> String {
    python::repr(value)
}

fn document(schema: &Value) -> Bytes {
    schema.to_string().into()
}

/// Adds the operator's properties; returns what is required.
fn merge(properties: &mut Map<String, Value>, custom: Value) -> Result<Option<Value>, Error> {
    let Value::Object(mut custom) = custom else {
        return Err(Error::Shape);
    };
    let mut required = None;
    if custom.contains_key("properties") {
        required = custom
            .remove("required")
            .filter(|names| names.as_array().is_some_and(|names| !names.is_empty()));
        custom = match custom.remove("properties") {
            Some(Value::Object(inner)) => inner,
            _ => return Err(Error::Shape),
        };
    }
    let mut conflicts = Vec::new();
    for (name, mut schema) in custom {
        let members = schema.as_object_mut().ok_or(Error::Shape)?;
        members.insert("is_base".into(), Value::Bool(false));
        if properties.get(&name).is_some_and(|base| *base != schema) {
            conflicts.push(name);
        } else {
            properties.insert(name, schema);
        }
    }
    if conflicts.is_empty() {
        Ok(required)
    } else {
        Err(Error::Conflict(conflicts.join(", ")))
    }
}

fn image_schema(properties: &Map<String, Value>, required: Option<Value>) -> Value {
    let mut schema = json!({
        "name": "image",
        "properties": properties,
        "additionalProperties": {"type": "string"},
    });
    if let Some(required) = required {
        schema["required"] = required;
    }
    schema["links"] = json!([
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ]);
    schema
}

fn registration_schema() -> Value {
    let properties: Value =
        serde_json::from_str(REGISTRATION_PROPERTIES).expect("registration.json is an object");
    json!({
        "name": "location",
        "properties": properties,
        "additionalProperties": {"type": "string"},
    })
}

/// What a service registers. Glance's schema calls its address read-only, and takes it.
fn new_location() -> Value {
    let mut location = registration_schema()["properties"]["add_location"].take();
    if let Some(address) = location["properties"]["url"].as_object_mut() {
        address.shift_remove("readOnly");
    }
    location
}

/// A list of items; `paged` lists link to their pages.
fn collection(name: &str, item: &Value, paged: bool) -> Value {
    let mut properties = Map::new();
    properties.insert(name.into(), json!({"type": "array", "items": item}));
    let mut links = Vec::new();
    if paged {
        for page in ["first", "next"] {
            properties.insert(page.into(), json!({"type": "string"}));
            links.push(json!({"rel": page, "href": format!("{{{page}}}")}));
        }
    }
    properties.insert("schema".into(), json!({"type": "string"}));
    links.push(json!({"rel": "describedby", "href": "{schema}"}));
    json!({"name": name, "properties": properties, "links": links})
}

/// The attributes of every image, in Glance's order and words.
fn base_properties(disk_formats: &[String], container_formats: &[String]) -> Map<String, Value> {
    let mut properties: Map<String, Value> =
        serde_json::from_str(BASE_PROPERTIES).expect("base.json is an object");
    for (name, formats) in [
        (DISK_FORMAT, disk_formats),
        ("container_format", container_formats),
    ] {
        let formats = formats.iter().map(|format| Value::from(format.as_str()));
        let formats = std::iter::once(Value::Null).chain(formats).collect();
        properties[name]["enum"] = formats;
    }
    properties
}

/// The schemas of a task, and of tasks, which are listed without what they are about.
fn tasks() -> (Value, Value) {
    let whole: Map<String, Value> =
        serde_json::from_str(TASK_PROPERTIES).expect("task.json is an object");
    let mut stub = whole.clone();
    stub.retain(|name, _| !["input", "result", "message"].contains(&name.as_str()));
    let schema = |properties| json!({"name": "task", "properties": properties});
    (schema(whole), collection("tasks", &schema(stub), false))
}

fn member_properties() -> Value {
    serde_json::from_str(MEMBER_PROPERTIES).expect("member.json is an object")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas() -> Schemas {
        let formats = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        Schemas::new(&formats("raw qcow2"), &formats("bare"), None).unwrap()
    }

    fn violation(body: Value) -> String {
        let violation = schemas().validate(body.as_object().unwrap()).unwrap_err();
        violation.to_string()
    }

    #[test]
    fn a_wrong_type_is_told_as_jsonschema_tells_it() {
        let expected = "1 is not of type 'null', 'string'\n\nFailed validating 'type' in \
                        schema['properties']['name']:\n    {'type': ['null', 'string'],\n     \
                        'description': 'Descriptive name for the image',\n     'maxLength': \
                        255}\n\nOn instance['name']:\n    1";
        assert_eq!(violation(json!({"name": 1})), expected);
    }

    #[test]
    fn items_and_extras_are_located() {
        let tags = violation(json!({"tags": ["a", 1]}));
        assert!(
            tags.contains("schema['properties']['tags']['items']"),
            "{tags}"
        );
        assert!(tags.ends_with("On instance['tags'][1]:\n    1"), "{tags}");
        let extra = violation(json!({"foo": 1}));
        assert!(
            extra.contains("schema['additionalProperties']:\n    {'type': 'string'}"),
            "{extra}"
        );
    }

    #[test]
    fn the_shallowest_break_and_of_those_the_last_by_name_is_told() {
        let text = violation(json!({"name": 1, "min_ram": "x", "tags": [1], "zz": 3}));
        assert!(text.starts_with("3 is not of type 'string'"), "{text}");
    }

    #[test]
    fn formats_ids_and_lengths_are_checked() {
        let format = violation(json!({"disk_format": "foo"}));
        assert!(
            format.starts_with("'foo' is not one of [None, 'raw', 'qcow2']"),
            "{format}"
        );
        let id = violation(json!({"id": "x"}));
        assert!(id.starts_with("'x' does not match '^("), "{id}");
        let name = violation(json!({"name": "é".repeat(256)}));
        assert!(name.contains("' is too long"), "{name}");
        assert!(
            schemas()
                .validate(json!({"name": "é".repeat(255)}).as_object().unwrap())
                .is_ok()
        );
    }

    #[test]
    fn an_image_that_is_to_be_encrypted_may_be_luks() {
        let is_fine = |body: Value| schemas().validate(body.as_object().unwrap()).is_ok();
        for (format, expected) in [("LUKSv1", true), ("LUKSv2", true), ("GPG", false)] {
            let image = json!({"disk_format": "luks", "os_encrypt_format": format});
            assert_eq!(is_fine(image), expected, "{format}");
        }
        assert!(!is_fine(json!({"disk_format": "luks"})));
        let other = json!({"disk_format": "luks", "os_encrypt_format": "LUKSv1", "min_ram": "x"});
        assert!(!is_fine(other));
    }

    #[test]
    fn whole_numbers_are_integers_and_truth_is_not() {
        assert!(
            schemas()
                .validate(json!({"min_disk": 1.0}).as_object().unwrap())
                .is_ok()
        );
        assert!(violation(json!({"min_disk": true})).starts_with("True is not of type 'integer'"));
    }

    #[test]
    fn the_operators_file_is_merged_in_both_forms() {
        let flat = Schemas::new(&[], &[], Some(r#"{"x": {"type": "string"}}"#)).unwrap();
        assert!(flat.declares("x") && !flat.declares("kernel_id"));
        let text = r#"{"properties": {"x": {"type": "string"}}, "required": ["x"]}"#;
        let nested = Schemas::new(&[], &[], Some(text)).unwrap();
        let error = nested.validate(&Map::new()).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "'x' is a required property\n\nFailed validating 'required' in schema:"
            )
        );
    }

    #[test]
    fn a_reference_that_never_ends_is_refused() {
        let with = |schema: &str| Schemas::new(&[], &[], Some(schema));
        let own = r##"{"x": {"$ref": "#/properties/x"}}"##;
        assert!(matches!(with(own), Err(Error::Endless)));
        let around =
            r##"{"x": {"allOf": [{"$ref": "#/properties/y"}]}, "y": {"$ref": "#/properties/x"}}"##;
        assert!(matches!(with(around), Err(Error::Endless)));
        // A tree of its own kind ends where the value ends.
        let tree = r##"{"x": {"items": {"$ref": "#/properties/x"}}}"##;
        assert!(with(tree).is_ok());
    }

    #[test]
    fn a_base_property_cannot_be_redefined() {
        let error = Schemas::new(&[], &[], Some(r#"{"name": {"type": "string"}}"#)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "custom properties (name) conflict with base properties"
        );
    }
}
