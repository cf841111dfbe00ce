//! The schema documents of metadata definitions, and the checks of what clients send of them
//! (reference A.11.6).

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Violation, collection, document, validate::Validator};

/// What of each there is, in Glance's words: documents without their lists.
const DOCUMENTS: &str = include_str!("metadef.json");

/// A document, and the check of what a client sends of it.
#[derive(Debug)]
pub struct Form {
    /// As errors call it.
    pub name: String,
    /// `GET /v2/schemas/metadefs/...`.
    pub one: Bytes,
    /// The same, of a list.
    pub many: Bytes,
    validator: Validator,
}

impl Form {
    /// Checks what a client sent.
    pub fn validate(&self, object: &Map<String, Value>) -> Result<(), Violation> {
        self.validator.validate(object)
    }
}

/// All of them.
#[derive(Debug)]
pub struct Metadefs {
    /// Namespaces.
    pub namespace: Form,
    /// Associations with resource types.
    pub resource_type: Form,
    /// Properties.
    pub property: Form,
    /// Objects.
    pub object: Form,
    /// Tags.
    pub tag: Form,
    /// A body of several tags.
    pub tag_list: Form,
    /// A property whose name stands elsewhere.
    pub nameless: Form,
}

impl Metadefs {
    /// From the documents that are compiled in.
    pub fn new() -> Result<Self, regex::Error> {
        let mut documents: Value = serde_json::from_str(DOCUMENTS).expect("metadef.json is JSON");
        let mut nameless = documents["property"].clone();
        nameless["required"] = json!(["type", "title"]);
        let mut form = |name: &str, list: &str| {
            let document = documents[name].take();
            let (item, definitions) = item(&document);
            Form::new(document, listed(list, &item, definitions))
        };
        Ok(Self {
            namespace: form("namespace", "namespaces")?,
            resource_type: form("resource_type", "resource_type_associations")?,
            object: form("object", "objects")?,
            tag: form("tag", "tags")?,
            tag_list: form("tag_list", "tags")?,
            property: {
                let (item, definitions) = item(&nameless);
                let list = json!({"type": "object", "additionalProperties": item});
                let mut list = with_pages("properties", list);
                list["definitions"] = definitions.unwrap_or_default();
                Form::new(documents["property"].take(), list)?
            },
            nameless: Form::new(nameless, Value::Null)?,
        })
    }
}

impl Form {
    fn new(one: Value, many: Value) -> Result<Self, regex::Error> {
        Ok(Self {
            name: one["name"].as_str().unwrap_or_default().to_owned(),
            one: document(&one),
            many: document(&many),
            validator: Validator::new(one)?,
        })
    }
}

/// A document as the item of a list, whose definitions are the list's.
fn item(document: &Value) -> (Value, Option<Value>) {
    let mut item = document.clone();
    let members = item.as_object_mut().expect("a document is an object");
    let definitions = members.shift_remove("definitions");
    (item, definitions)
}

fn listed(name: &str, item: &Value, definitions: Option<Value>) -> Value {
    let mut list = collection(name, item, true);
    if let Some(definitions) = definitions {
        list["definitions"] = definitions;
    }
    list
}

/// A list that is no array.
fn with_pages(name: &str, list: Value) -> Value {
    let mut pages = collection(name, &Value::Null, true);
    pages["properties"][name] = list;
    pages
}
