//! The table of types: what artifacts of a type may hold, as documents.
//!
//! A document is the JSON schema that the API shows of the type, with what a schema does not say:
//! `maxBlobSize` and `maxFolderSize` in bytes, and `maxKeyLength` in characters. So the shipped types
//! and an operator's are of one kind, and the schema that a Glare shows of a type of its own is such
//! a document already.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

/// What every artifact has.
const BASE: &str = include_str!("types/base.json");

/// Glare's own types.
const SHIPPED: [&str; 7] = [
    include_str!("types/all.json"),
    include_str!("types/heat_environments.json"),
    include_str!("types/heat_templates.json"),
    include_str!("types/images.json"),
    include_str!("types/murano_packages.json"),
    include_str!("types/secrets.json"),
    include_str!("types/tosca_templates.json"),
];

/// The type that shows artifacts of every other.
pub const ALL: &str = "all";

/// 10 MiB, Glare's.
const BLOB_BYTES_MAX: u64 = 10_485_760;
/// 2550 MiB, Glare's.
const FOLDER_BYTES_MAX: u64 = 2_673_868_800;
const KEY_CHARS_MAX: usize = 255;
/// Of a list, a dict or a folder: Glare's.
const ITEMS_MAX: usize = 255;

/// What only a document has, and no schema.
const OURS: [&str; 3] = ["maxBlobSize", "maxFolderSize", "maxKeyLength"];

/// Why a document is none. The text says which part.
pub type Wrong = String;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are JSON's, or say it")]
pub enum Scalar {
    Text,
    Integer,
    Float,
    Boolean,
    Time,
    Version,
    /// `/artifacts/{type}/{id}`, or an address on the web.
    Link,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    One(Scalar),
    /// Values in an order.
    List(Scalar),
    /// Values by keys.
    Dict(Scalar),
    /// Bytes.
    Blob,
    /// Bytes by keys.
    Folder,
}

/// What values must be.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// One of these.
    pub allowed: Option<Vec<Value>>,
    /// Characters at least.
    pub chars_min: Option<usize>,
    /// Characters at most.
    pub chars_max: Option<usize>,
    /// At their beginning, as Python matches.
    pub pattern: Option<Regex>,
    /// At least.
    pub least: Option<f64>,
    /// At most.
    pub most: Option<f64>,
}

/// A field of a type.
#[derive(Clone, Debug)]
pub struct Field {
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it is where nothing is set; null is nothing.
    pub default: Value,
    /// Whether it may change in an active artifact.
    pub mutable: bool,
    /// Whether lists may be sorted by it.
    pub sortable: bool,
    /// Whether no client sets it.
    pub system: bool,
    /// Whether an artifact needs it to become active.
    pub required_on_activate: bool,
    /// The operators of filters, by their names.
    pub operators: Vec<String>,
    /// Of the value, or of each.
    pub limits: Limits,
    /// Values or keys at most.
    pub items_max: usize,
    /// No value twice.
    pub unique: bool,
    /// The only keys that there may be.
    pub keys: Option<Vec<String>>,
    /// Characters of a key at most.
    pub key_chars_max: usize,
    /// Bytes of a blob at most.
    pub blob_bytes_max: u64,
    /// Bytes of all blobs of a folder at most.
    pub folder_bytes_max: u64,
}

/// A type.
#[derive(Clone, Debug)]
pub struct Type {
    /// In addresses.
    pub name: String,
    /// For people.
    pub display_name: Option<String>,
    /// What its artifacts hold.
    pub fields: BTreeMap<String, Field>,
    /// What the API shows of it.
    pub schema: Value,
}

/// The types of this site.
#[derive(Clone, Debug, Default)]
pub struct Types {
    types: BTreeMap<String, Type>,
}

impl Types {
    /// The enabled ones of the shipped types and the operator's, and `all`.
    ///
    /// # Errors
    /// What is wrong with a document, or that a type is not there.
    pub fn new(enabled: &[String], documents: &[String]) -> Result<Self, Wrong> {
        let base = document(BASE)?;
        let mut known = BTreeMap::new();
        let shipped = SHIPPED.iter().copied();
        for text in shipped.chain(documents.iter().map(String::as_str)) {
            let found = Type::read(document(text)?, &base)?;
            known.insert(found.name.clone(), found);
        }
        let mut types = BTreeMap::new();
        for name in enabled.iter().map(String::as_str).chain([ALL]) {
            if let Some(found) = known.remove(name) {
                types.insert(name.to_owned(), found);
            } else if !types.contains_key(name) {
                return Err(format!("there is no type of artifacts {name:?}"));
            }
        }
        Ok(Self { types })
    }

    /// A type by its name.
    pub fn get(&self, name: &str) -> Option<&Type> {
        self.types.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Type> {
        self.types.values()
    }
}

impl Type {
    fn read(mut own: Map<String, Value>, base: &Map<String, Value>) -> Result<Self, Wrong> {
        let name = own.get("name").and_then(Value::as_str);
        let name = name.ok_or("a type of artifacts has no name")?.to_owned();
        let display_name = own.get("display_name").and_then(Value::as_str);
        let display_name = display_name.map(str::to_owned);
        let version = own.get("version").and_then(Value::as_str).unwrap_or("1.0");
        let version = version.to_owned();
        let mut properties = match own.remove("properties") {
            Some(Value::Object(properties)) => properties,
            _ => return Err(format!("type {name}: it has no properties")),
        };
        let common = base["properties"].as_object().cloned().unwrap_or_default();
        properties.extend(common);
        let mut fields = BTreeMap::new();
        for (field, shown) in &mut properties {
            let wrong = |text: &str| format!("type {name}, field {field}: {text}");
            let members = shown.as_object_mut();
            let members = members.ok_or_else(|| wrong("it is no object"))?;
            let mut read = Field::read(members).map_err(|text| wrong(&text))?;
            if field == "version" {
                // Its pattern is for people.
                read.kind = Kind::One(Scalar::Version);
                read.limits = Limits::default();
            }
            if field == "type_name" && name != ALL {
                return Err(wrong("every artifact has it already"));
            }
            fields.insert(field.clone(), read);
        }
        let schema = json!({
            "name": name,
            "display_name": display_name,
            "version": version,
            "title": format!("Artifact type {name} of version {version}"),
            "type": "object",
            "properties": properties,
            "required": ["name"],
        });
        Ok(Self {
            name,
            display_name,
            fields,
            schema,
        })
    }

    /// Whether nothing of it can be written.
    pub fn is_read_only(&self) -> bool {
        self.name == ALL
    }
}

impl Field {
    /// Reads a field, and leaves of its document what the API shows.
    fn read(shown: &mut Map<String, Value>) -> Result<Self, Wrong> {
        let kind = shown.get("glareType").and_then(Value::as_str);
        let kind = kind.and_then(kind_of).ok_or("its glareType is unknown")?;
        let elements = match kind {
            Kind::List(_) => shown.get("items"),
            Kind::Dict(_) => elements_of_dict(shown),
            Kind::One(_) | Kind::Blob | Kind::Folder => None,
        };
        let limits = match (kind, elements.and_then(Value::as_object)) {
            (Kind::One(_), _) => Limits::read(shown)?,
            (_, Some(elements)) => Limits::read(elements)?,
            (_, None) => Limits::default(),
        };
        let keys = match kind {
            Kind::Dict(_) => shown.get("properties").and_then(Value::as_object),
            _ => None,
        };
        let keys = keys.map(|properties| properties.keys().cloned().collect());
        let truth = |name: &str, otherwise| {
            shown
                .get(name)
                .and_then(Value::as_bool)
                .unwrap_or(otherwise)
        };
        let whole = |name: &str| shown.get(name).and_then(Value::as_u64);
        let operators = shown.get("filter_ops").and_then(Value::as_array);
        let operators = operators.into_iter().flatten().filter_map(Value::as_str);
        let types = shown.get("type").and_then(Value::as_array);
        let is_blob = matches!(kind, Kind::Blob | Kind::Folder);
        let field = Self {
            kind,
            nullable: is_blob || types.is_some_and(|types| types.iter().any(|t| t == "null")),
            default: shown.get("default").cloned().unwrap_or_default(),
            mutable: truth("mutable", false),
            sortable: truth("sortable", false),
            system: truth("readOnly", false),
            required_on_activate: truth("required_on_activate", true),
            operators: operators.map(str::to_owned).collect(),
            limits,
            items_max: whole("maxItems")
                .or_else(|| whole("maxProperties"))
                .map_or(ITEMS_MAX, |most| most as usize),
            unique: truth("uniqueItems", false),
            keys,
            key_chars_max: whole("maxKeyLength").map_or(KEY_CHARS_MAX, |most| most as usize),
            blob_bytes_max: whole("maxBlobSize").unwrap_or(BLOB_BYTES_MAX),
            folder_bytes_max: whole("maxFolderSize").unwrap_or(FOLDER_BYTES_MAX),
        };
        for name in OURS {
            shown.remove(name);
        }
        match kind {
            Kind::Blob => shown.extend(blob_schema()),
            Kind::Folder => {
                drop(shown.insert("additionalProperties".to_owned(), blob_schema().into()))
            }
            Kind::One(_) | Kind::List(_) | Kind::Dict(_) => {}
        }
        Ok(field)
    }
}

impl Limits {
    fn read(schema: &Map<String, Value>) -> Result<Self, Wrong> {
        let whole = |name: &str| schema.get(name).and_then(Value::as_u64);
        let number = |name: &str| schema.get(name).and_then(Value::as_f64);
        let pattern = schema.get("pattern").and_then(Value::as_str);
        let pattern = pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})")));
        Ok(Self {
            allowed: schema.get("enum").and_then(Value::as_array).cloned(),
            chars_min: whole("minLength").map(|least| least as usize),
            chars_max: whole("maxLength").map(|most| most as usize),
            pattern: pattern.transpose().map_err(|error| error.to_string())?,
            least: number("minimum"),
            most: number("maximum"),
        })
    }
}

fn document(text: &str) -> Result<Map<String, Value>, Wrong> {
    let parsed = serde_json::from_str(text);
    parsed.map_err(|error| format!("a type of artifacts is no JSON object: {error}"))
}

/// By `glareType`.
fn kind_of(name: &str) -> Option<Kind> {
    const SCALARS: [(&str, Scalar); 6] = [
        ("String", Scalar::Text),
        ("Integer", Scalar::Integer),
        ("Float", Scalar::Float),
        ("Boolean", Scalar::Boolean),
        ("DateTime", Scalar::Time),
        ("Link", Scalar::Link),
    ];
    let scalar = |name: &str| {
        let found = SCALARS.iter().find(|(known, _)| *known == name);
        found.map(|(_, scalar)| *scalar)
    };
    let list = || name.strip_suffix("List").and_then(scalar).map(Kind::List);
    let dict = || name.strip_suffix("Dict").and_then(scalar).map(Kind::Dict);
    match name {
        "Blob" => Some(Kind::Blob),
        "BlobDict" => Some(Kind::Folder),
        _ => scalar(name).map(Kind::One).or_else(list).or_else(dict),
    }
}

/// What the values of a dict must be: the same under every key.
fn elements_of_dict(shown: &Map<String, Value>) -> Option<&Value> {
    let named = shown.get("properties").and_then(Value::as_object);
    let named = named.and_then(|properties| properties.values().next());
    named.or_else(|| shown.get("additionalProperties"))
}

/// What the API shows of bytes.
fn blob_schema() -> Map<String, Value> {
    let text = json!({"type": ["string", "null"]});
    let schema = json!({
        "type": ["object", "null"],
        "properties": {
            "size": {"type": ["number", "null"]},
            "md5": text,
            "sha1": text,
            "sha256": text,
            "external": {"type": "boolean"},
            "status": {"type": "string", "enum": ["saving", "active"]},
            "content_type": {"type": "string"},
        },
        "required": ["size", "md5", "sha1", "sha256", "external", "status", "content_type"],
        "additionalProperties": false,
    });
    schema.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(enabled: &[&str], documents: &[&str]) -> Result<Types, Wrong> {
        let owned = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        Types::new(&owned(enabled), &owned(documents))
    }

    #[test]
    fn the_shipped_types_are_read() {
        let names = [
            "heat_environments",
            "heat_templates",
            "images",
            "murano_packages",
            "secrets",
            "tosca_templates",
        ];
        let types = types(&names, &[]).unwrap();
        assert_eq!(types.iter().count(), names.len() + 1);
        let images = types.get("images").unwrap();
        assert_eq!(images.fields["image"].blob_bytes_max, 1_073_741_824_000);
        assert_eq!(
            images.schema["properties"]["image"].get("maxBlobSize"),
            None
        );
        assert_eq!(images.fields["version"].kind, Kind::One(Scalar::Version));
        let templates = types.get("heat_templates").unwrap();
        assert_eq!(templates.fields["nested_templates"].kind, Kind::Folder);
        assert_eq!(
            templates.fields["environments"].kind,
            Kind::Dict(Scalar::Link)
        );
    }

    #[test]
    fn a_document_that_is_none_says_why() {
        for (document, said) in [
            ("[]", "no JSON object"),
            ("{}", "no name"),
            (r#"{"name": "t"}"#, "no properties"),
            (
                r#"{"name": "t", "properties": {"f": {"glareType": "Colour"}}}"#,
                "field f",
            ),
            (
                r#"{"name": "t", "properties": {"f": {"glareType": "String", "pattern": "("}}}"#,
                "field f",
            ),
            (
                r#"{"name": "t", "properties": {"type_name": {"glareType": "Integer"}}}"#,
                "has it already",
            ),
        ] {
            let wrong = types(&[], &[document]).unwrap_err();
            assert!(wrong.contains(said), "{wrong}");
        }
        assert!(types(&["unknown"], &[]).is_err());
    }
}
