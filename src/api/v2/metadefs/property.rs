//! What a property is, as Glance's typed model has it: its parts in one order, each of its type,
//! whatever a client or a file of definitions has written.

use serde_json::{Map, Value};

use crate::api::{Error, Result, schema::python_repr};

/// What a part holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Texts,
    Truth,
    Whole,
    /// Any value, kept as the text that Python writes of it.
    Shown,
    /// Of what an array holds: `type` and `enum`.
    Items,
}

const PARTS: [(&str, Type); 18] = [
    ("name", Type::Text),
    ("type", Type::Text),
    ("title", Type::Text),
    ("description", Type::Text),
    ("operators", Type::Texts),
    ("default", Type::Shown),
    ("readonly", Type::Truth),
    ("minimum", Type::Whole),
    ("maximum", Type::Whole),
    ("enum", Type::Texts),
    ("pattern", Type::Text),
    ("minLength", Type::Whole),
    ("maxLength", Type::Whole),
    ("confidential", Type::Truth),
    ("items", Type::Items),
    ("uniqueItems", Type::Truth),
    ("minItems", Type::Whole),
    ("maxItems", Type::Whole),
];
/// It stands last.
const ADDITIONAL_ITEMS: &str = "additionalItems";

/// A property as it is stored and shown. What no property has is left out.
pub(super) fn shown(given: &Map<String, Value>) -> Map<String, Value> {
    let last = (ADDITIONAL_ITEMS, Type::Truth);
    let parts = PARTS.iter().chain(std::iter::once(&last));
    let parts = parts.filter_map(|(name, kind)| {
        let value = given.get(*name)?;
        Some(((*name).to_owned(), kind.shown(value)))
    });
    parts.collect()
}

/// The same of what a client sent.
///
/// # Errors
/// [`Error::BadRequest`] for what no property has, and for lists that hold anything but texts.
pub(super) fn parsed(given: &Map<String, Value>) -> Result<Map<String, Value>> {
    let known = |name: &str| name == ADDITIONAL_ITEMS || PARTS.iter().any(|part| part.0 == name);
    if let Some(name) = given.keys().find(|name| !known(name)) {
        let text = format!("Unknown attribute: {name}");
        return Err(Error::BadRequest(text.into()));
    }
    let items = given.get("items").and_then(Value::as_object);
    if let Some(items) = items {
        if let Some(name) = items.keys().find(|name| *name != "type" && *name != "enum") {
            let text = format!("Unknown attribute: items.{name}");
            return Err(Error::BadRequest(text.into()));
        }
        if !items.contains_key("type") {
            let text = "Invalid input for field/attribute type. Mandatory field missing.";
            return Err(Error::BadRequest(text.into()));
        }
    }
    let lists = [given.get("enum"), items.and_then(|items| items.get("enum"))];
    let words = lists.iter().flatten().filter_map(|list| list.as_array());
    if words.flatten().any(|word| !word.is_string()) {
        let text = "Invalid input for field/attribute enum. Its values must be strings.";
        return Err(Error::BadRequest(text.into()));
    }
    Ok(shown(given))
}

impl Type {
    fn shown(self, value: &Value) -> Value {
        match (self, value) {
            (_, Value::Null) => Value::Null,
            (Self::Shown, Value::String(_)) => value.clone(),
            (Self::Shown, Value::Bool(_) | Value::Number(_)) => python_repr(value).into(),
            (Self::Shown, Value::Array(_) | Value::Object(_)) => Value::Null,
            (Self::Whole, Value::Number(number)) if !number.is_i64() && !number.is_u64() => number
                .as_f64()
                .map_or(Value::Null, |n| (n.trunc() as i64).into()),
            (Self::Items, Value::Object(items)) => {
                let parts = ["type", "enum"].iter();
                let parts = parts.filter_map(|part| Some((part, items.get(*part)?)));
                let parts = parts.map(|(part, value)| ((*part).to_owned(), value.clone()));
                Value::Object(parts.collect())
            }
            _ => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn parts_have_an_order_and_types() {
        let given = of(json!({"title": "t", "maximum": 1.5, "type": "integer", "default": false}));
        let expected = json!({"type": "integer", "title": "t", "default": "False", "maximum": 1});
        assert_eq!(
            Value::Object(shown(&given)).to_string(),
            expected.to_string()
        );
    }

    #[test]
    fn what_no_property_has_is_refused_and_not_shown() {
        let given = of(json!({"type": "string", "title": "t", "required": ["x"]}));
        assert!(parsed(&given).is_err());
        assert_eq!(shown(&given).len(), 2);
        assert!(parsed(&of(json!({"enum": [1]}))).is_err());
        assert!(parsed(&of(json!({"items": {"enum": ["a"]}}))).is_err());
    }
}
