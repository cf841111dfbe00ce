//! Values of fields: read as Python would read them, and held to what their type says.

use std::collections::HashSet;

use chrono::{DateTime, Datelike, NaiveDateTime};
use serde_json::{Map, Value};

use super::{
    types::{Field, Kind, Limits, Scalar},
    version::Version,
};
use crate::control::db::Operand;

/// Tags lose what is there twice; other fields refuse it.
const TAGS: &str = "tags";

/// What a client says of a field, as the artifact keeps it; null stands for nothing.
///
/// # Errors
/// What is wrong with it.
pub(super) fn of_client(name: &str, field: &Field, given: &Value) -> Result<Value, String> {
    if given.is_null() {
        return match field.nullable {
            true => Ok(Value::Null),
            false => Err(format!("Field `{name}' cannot be None")),
        };
    }
    match (field.kind, given) {
        (Kind::One(scalar), _) => one(name, scalar, &field.limits, given),
        (Kind::List(scalar), Value::Array(items)) => list(name, field, scalar, items),
        (Kind::List(_), _) => Err(format!("A list is required in field {name}")),
        (Kind::Dict(scalar), Value::Object(members)) => dict(name, field, scalar, members),
        (Kind::Dict(_), _) => Err(format!("A dict is required in field {name}")),
        (Kind::Blob | Kind::Folder, _) => Err(format!("Field {name} is bytes")),
    }
}

/// A value of a filter, which is a text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn of_filter(name: &str, field: &Field, text: &str) -> Result<Value, String> {
    let no_limits = Limits::default();
    let (scalar, limits) = match field.kind {
        Kind::One(scalar) => (scalar, &field.limits),
        Kind::List(scalar) | Kind::Dict(scalar) => (scalar, &no_limits),
        Kind::Blob | Kind::Folder => return Err("Bytes are no filter".to_owned()),
    };
    one(name, scalar, limits, &Value::from(text))
}

/// Whether a folder takes another key.
///
/// # Errors
/// Why not.
pub(super) fn folder_takes(field: &Field, key: &str, keys: usize) -> Result<(), String> {
    key_fits(field, key)?;
    count_fits(field, keys + 1)
}

/// The links that a value holds.
pub(super) fn links(kind: Kind, value: &Value) -> Vec<&str> {
    let texts: Vec<&Value> = match (kind, value) {
        (Kind::One(Scalar::Link), value) => vec![value],
        (Kind::List(Scalar::Link), Value::Array(items)) => items.iter().collect(),
        (Kind::Dict(Scalar::Link), Value::Object(members)) => members.values().collect(),
        _ => Vec::new(),
    };
    texts.into_iter().filter_map(Value::as_str).collect()
}

fn list(name: &str, field: &Field, scalar: Scalar, items: &[Value]) -> Result<Value, String> {
    // By their JSON, which tells 1 from "1": a client may send as many as its body holds.
    let mut seen = HashSet::new();
    let mut values: Vec<Value> = Vec::new();
    for item in items {
        let value = element(name, scalar, &field.limits, item)?;
        match field.unique && !seen.insert(value.to_string()) {
            true if name == TAGS => {}
            true => return Err("List items must be unique.".to_owned()),
            false => values.push(value),
        }
    }
    count_fits(field, values.len())?;
    Ok(values.into())
}

fn dict(
    name: &str,
    field: &Field,
    scalar: Scalar,
    members: &Map<String, Value>,
) -> Result<Value, String> {
    let mut values = Map::new();
    for (key, member) in members {
        key_fits(field, key)?;
        let value = element(name, scalar, &field.limits, member)?;
        values.insert(key.clone(), value);
    }
    count_fits(field, values.len())?;
    Ok(values.into())
}

fn key_fits(field: &Field, key: &str) -> Result<(), String> {
    let chars = key.chars().count();
    if chars > field.key_chars_max {
        let most = field.key_chars_max;
        return Err(format!("Dict key length {key} must be less than {most}."));
    }
    if chars == 0 {
        return Err("Dict key length  must be bigger than 1.".to_owned());
    }
    match &field.keys {
        Some(keys) if !keys.iter().any(|allowed| allowed == key) => Err(format!(
            "Key {key} is not allowed in dict. Allowed key values: {}",
            keys.join(", ")
        )),
        Some(_) | None => Ok(()),
    }
}

fn count_fits(field: &Field, count: usize) -> Result<(), String> {
    let most = field.items_max;
    match count > most {
        true => Err(format!(
            "Number of items must be less than  {most}. Current size: {count}"
        )),
        false => Ok(()),
    }
}

/// A link in a list or a dict may be nothing; other values may not.
fn element(name: &str, scalar: Scalar, limits: &Limits, given: &Value) -> Result<Value, String> {
    match (scalar, given) {
        (Scalar::Link, Value::Null) => Ok(Value::Null),
        (_, Value::Null) => Err(format!("Field `{name}' cannot be None")),
        _ => one(name, scalar, limits, given),
    }
}

fn one(name: &str, scalar: Scalar, limits: &Limits, given: &Value) -> Result<Value, String> {
    let value = match scalar {
        Scalar::Text => Value::from(text(name, given)?),
        Scalar::Version => Version::parse(&text(name, given)?)?.text.into(),
        Scalar::Integer => integer(given)?.into(),
        Scalar::Float => float(given)?.into(),
        Scalar::Boolean => is_true(given).into(),
        Scalar::Time => time(&text(name, given)?)?.into(),
        Scalar::Link => match given.as_str() {
            Some(link) => link.into(),
            None => return Err(format!("A string is required in field {name}")),
        },
    };
    limits.hold(&value)?;
    Ok(value)
}

/// Python's `str`, of what oslo.versionedobjects takes for a string.
fn text(name: &str, given: &Value) -> Result<String, String> {
    match given {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(true) => Ok("True".to_owned()),
        Value::Bool(false) => Ok("False".to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("A string is required in field {name}"))
        }
    }
}

/// Python's `int`.
fn integer(given: &Value) -> Result<i64, String> {
    let found = match given {
        Value::Bool(truth) => Some(i64::from(*truth)),
        Value::Number(number) => number.as_i64().or_else(|| whole_part(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    found.ok_or_else(|| format!("invalid literal for int() with base 10: {given}"))
}

fn whole_part(number: f64) -> Option<i64> {
    // Beyond 2^53 a float is no certain number.
    (number.abs() < 9_007_199_254_740_992.0).then(|| number.trunc() as i64)
}

/// Python's `float`, of what is a number.
fn float(given: &Value) -> Result<f64, String> {
    let found = match given {
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let found = found.filter(|number: &f64| number.is_finite());
    found.ok_or_else(|| format!("could not convert string to float: {given}"))
}

/// oslo.utils' `bool_from_string`.
fn is_true(given: &Value) -> bool {
    let text = match given {
        Value::String(text) => text.trim().to_lowercase(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => return *truth,
        Value::Null | Value::Array(_) | Value::Object(_) => return false,
    };
    ["1", "t", "true", "on", "y", "yes"].contains(&text.as_str())
}

/// As the API writes times.
fn time(text: &str) -> Result<String, String> {
    let us = time_us(text)?;
    Ok(time_text(us))
}

/// A time in ISO 8601 as microseconds since 1970.
///
/// # Errors
/// When it is none.
pub(super) fn time_us(text: &str) -> Result<i64, String> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|time| time.naive_utc());
    let local = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f");
    let spaced = || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f");
    let time = zoned.or_else(|_| local()).or_else(|_| spaced()).ok();
    // Python's years, and those that are read again as they are written.
    let time = time.filter(|time| (1..=9999).contains(&time.year()));
    let time = time.ok_or_else(|| format!("Invalid isoformat string: '{text}'"))?;
    Ok(time.and_utc().timestamp_micros())
}

/// The second, as the API writes it.
pub(super) fn time_text(us: i64) -> String {
    let time = DateTime::from_timestamp_micros(us).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Limits {
    fn hold(&self, value: &Value) -> Result<(), String> {
        if let Some(allowed) = &self.allowed
            && !allowed.contains(value)
        {
            let shown = |value: &Value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            };
            let allowed: Vec<String> = allowed.iter().map(shown).collect();
            return Err(format!(
                "Value must be one of the following: {}",
                allowed.join(", ")
            ));
        }
        if let Some(text) = value.as_str() {
            self.hold_text(text)?;
        }
        match value.as_f64() {
            Some(number) => self.hold_number(number, value),
            None => Ok(()),
        }
    }

    fn hold_text(&self, text: &str) -> Result<(), String> {
        let chars = text.chars().count();
        if let Some(most) = self.chars_max.filter(|most| chars > *most) {
            return Err(format!(
                "String length must be less than  {most}. Current length: {chars}"
            ));
        }
        if let Some(least) = self.chars_min.filter(|least| chars < *least) {
            return Err(format!(
                "String length must be more than  {least}. Current length: {chars}"
            ));
        }
        match &self.pattern {
            Some(pattern) if !pattern.is_match(text) => Err(format!(
                "'{text}' does not match '{}'",
                &pattern.as_str()[4..pattern.as_str().len() - 1]
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn hold_number(&self, number: f64, shown: &Value) -> Result<(), String> {
        if let Some(most) = self.most.filter(|most| number > *most) {
            return Err(format!(
                "Number is too big: {shown}. Max allowed number is {most}"
            ));
        }
        if let Some(least) = self.least.filter(|least| number < *least) {
            return Err(format!(
                "Number is too small: {shown}. Min allowed number is {least}"
            ));
        }
        Ok(())
    }
}

/// A single value as the database compares it; none of nothing.
pub(super) fn operand(value: &Value) -> Option<Operand> {
    match value {
        Value::String(text) => Some(Operand::Text(text.clone())),
        Value::Bool(truth) => Some(Operand::Number(i64::from(*truth))),
        Value::Number(number) => {
            Some(Operand::Number(number.as_i64().unwrap_or_else(|| {
                ordered(number.as_f64().unwrap_or_default())
            })))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A float as an integer that has its order, so that the database needs no type for floats and equal
/// ones are equal.
fn ordered(number: f64) -> i64 {
    let bits = (number + 0.0).to_bits().cast_signed();
    match bits < 0 {
        true => i64::MIN.wrapping_sub(bits),
        false => bits,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::types::Types, *};

    fn field(name: &str) -> Field {
        let types = Types::new(&["images".to_owned()], &[]).unwrap();
        types.get("images").unwrap().fields[name].clone()
    }

    #[test]
    fn values_are_read_as_python_reads_them() {
        let read = |name: &str, given: Value| of_client(name, &field(name), &given);
        assert_eq!(read("min_ram", json!(1.1)), Ok(json!(1)));
        assert_eq!(read("min_ram", json!("2")), Ok(json!(2)));
        assert_eq!(read("min_ram", json!(true)), Ok(json!(1)));
        assert!(read("min_ram", json!("3.0")).is_err());
        assert!(read("min_ram", json!(-1)).is_err());
        assert_eq!(read("os_distro", json!(1.0)), Ok(json!("1.0")));
        assert_eq!(read("version", json!(1.0)), Ok(json!("1.0.0")));
        assert_eq!(read("tags", json!(["a", "b", "a"])), Ok(json!(["a", "b"])));
        assert!(read("tags", json!(["a,b"])).is_err());
        assert!(read("metadata", json!({"": "x"})).is_err());
        assert!(read("name", Value::Null).is_err());
        assert!(read("disk_format", json!("gif")).is_err());
        assert!(read("kernel_id", json!("x")).is_err());
    }

    #[test]
    fn floats_keep_their_order() {
        let numbers = [
            f64::MIN,
            -1.5,
            -0.1,
            -0.0,
            0.0,
            0.1,
            123.456,
            987.654,
            f64::MAX,
        ];
        let keys: Vec<i64> = numbers.map(ordered).into();
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(ordered(-0.0), ordered(0.0));
    }

    #[test]
    fn times_are_read_with_and_without_a_zone() {
        let us = time_us("2026-11-30T12:00:00Z").unwrap();
        assert_eq!(time_us("2026-11-30T13:00:00+01:00"), Ok(us));
        assert_eq!(time_us("2026-11-30T12:00:00"), Ok(us));
        assert_eq!(time_text(us), "2026-11-30T12:00:00Z");
        assert!(time_us("yesterday").is_err());
        assert!(time_us("+12345-01-01 00:00:00").is_err());
    }
}
