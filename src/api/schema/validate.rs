//! JSON Schema as far as Glance's schemas use it, with the messages of Python's jsonschema.

use std::{cmp::Ordering, collections::HashMap, fmt};

use regex::Regex;
use serde_json::{Map, Value};

use super::python;

/// A schema with its patterns compiled.
#[derive(Debug)]
pub struct Validator {
    schema: Value,
    patterns: HashMap<String, Regex>,
}

/// Where a value breaks its schema: the one break that jsonschema's `best_match` would name.
#[derive(Debug)]
pub struct Violation {
    text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Validator {
    /// Fails when a `pattern` is no regular expression.
    pub fn new(schema: Value) -> Result<Self, regex::Error> {
        let mut patterns = HashMap::new();
        collect_patterns(&schema, &mut patterns)?;
        Ok(Self { schema, patterns })
    }

    /// Checks an object.
    pub fn validate(&self, object: &Map<String, Value>) -> Result<(), Violation> {
        // One clone of a small document, so that every break can point into one tree.
        let instance = Value::Object(object.clone());
        let mut walk = Walk {
            root: &self.schema,
            patterns: &self.patterns,
            path: Vec::new(),
            schema_path: Vec::new(),
            best: None,
        };
        walk.descend(&instance, &self.schema);
        match walk.best {
            None => Ok(()),
            Some(found) => Err(Violation {
                text: found.to_string(),
            }),
        }
    }
}

/// Whether a `$ref` leads back to itself without a step into the value, so that no check would end.
pub(super) fn is_endless(schema: &Value) -> bool {
    any_within(schema, &|part| leads_back(part, schema, &mut Vec::new()))
}

fn any_within(value: &Value, holds: &dyn Fn(&Value) -> bool) -> bool {
    let within = match value {
        Value::Object(members) => members.values().any(|member| any_within(member, holds)),
        Value::Array(items) => items.iter().any(|item| any_within(item, holds)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    within || holds(value)
}

/// `way` is what has been followed.
fn leads_back<'a>(schema: &'a Value, root: &'a Value, way: &mut Vec<&'a str>) -> bool {
    let to = schema.get("$ref").and_then(Value::as_str);
    if let Some(to) = to {
        if way.contains(&to) {
            return true;
        }
        let target = to.strip_prefix('#').and_then(|to| root.pointer(to));
        way.push(to);
        let found = target.is_some_and(|target| leads_back(target, root, way));
        way.pop();
        if found {
            return true;
        }
    }
    let parts = schema.get("allOf").and_then(Value::as_array);
    let mut parts = parts.into_iter().flatten();
    parts.any(|part| leads_back(part, root, way))
}

fn collect_patterns(
    schema: &Value,
    patterns: &mut HashMap<String, Regex>,
) -> Result<(), regex::Error> {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(pattern)) = members.get("pattern") {
                patterns.insert(pattern.clone(), Regex::new(pattern)?);
            }
            members
                .values()
                .try_for_each(|member| collect_patterns(member, patterns))
        }
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| collect_patterns(item, patterns)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// A step into an object or an array.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Name(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Name(name) => write!(f, "[{}]", python::repr_str(name)),
        }
    }
}

struct Break<'a> {
    message: String,
    keyword: &'a str,
    schema: &'a Value,
    schema_path: Vec<Step>,
    instance: &'a Value,
    path: Vec<Step>,
    matches_type: bool,
}

impl Break<'_> {
    /// jsonschema's `relevance`: the shallower, then the later by name, then the wrong type.
    fn relevance(&self, other: &Self) -> Ordering {
        let depth = other.path.len().cmp(&self.path.len());
        depth
            .then_with(|| self.path.cmp(&other.path))
            .then_with(|| other.matches_type.cmp(&self.matches_type))
    }
}

impl fmt::Display for Break<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = |text: String| text.replace('\n', "\n    ");
        write!(
            f,
            "{}\n\nFailed validating {} in schema",
            self.message,
            python::repr_str(self.keyword)
        )?;
        self.schema_path
            .iter()
            .try_for_each(|step| write!(f, "{step}"))?;
        write!(
            f,
            ":\n    {}\n\nOn instance",
            indent(python::pretty(self.schema))
        )?;
        self.path.iter().try_for_each(|step| write!(f, "{step}"))?;
        write!(f, ":\n    {}", indent(python::pretty(self.instance)))
    }
}

struct Walk<'a> {
    /// What `$ref` leads into.
    root: &'a Value,
    patterns: &'a HashMap<String, Regex>,
    path: Vec<Step>,
    schema_path: Vec<Step>,
    best: Option<Break<'a>>,
}

impl<'a> Walk<'a> {
    fn descend(&mut self, instance: &'a Value, schema: &'a Value) {
        let Some(keywords) = schema.as_object() else {
            return;
        };
        for (keyword, rule) in keywords {
            if let Some(message) = self.message(keyword, rule, instance) {
                self.report(message, keyword, schema, instance);
            }
            self.children(keyword, rule, instance, schema);
        }
    }

    fn message(&self, keyword: &str, rule: &Value, instance: &Value) -> Option<String> {
        let text = instance.as_str();
        let length = || text.map(|t| t.chars().count() as u64);
        let shown = || python::repr(instance);
        match keyword {
            "type" if !is_of_type(instance, rule) => {
                let names: Vec<String> = names_of(rule).map(python::repr_str).collect();
                Some(format!("{} is not of type {}", shown(), names.join(", ")))
            }
            "enum" if !rule.as_array()?.contains(instance) => {
                Some(format!("{} is not one of {}", shown(), python::repr(rule)))
            }
            "pattern" if !self.patterns.get(rule.as_str()?)?.is_match(text?) => {
                Some(format!("{} does not match {}", shown(), python::repr(rule)))
            }
            "maxLength" if length()? > rule.as_u64()? => Some(format!("{} is too long", shown())),
            "minLength" if length()? < rule.as_u64()? => Some(match rule.as_u64() {
                Some(1) => format!("{} should be non-empty", shown()),
                _ => format!("{} is too short", shown()),
            }),
            "minimum" if instance.as_f64()? < rule.as_f64()? => {
                Some(format!("{} is less than the minimum of {rule}", shown()))
            }
            "maximum" if instance.as_f64()? > rule.as_f64()? => {
                Some(format!("{} is greater than the maximum of {rule}", shown()))
            }
            "required" => {
                let object = instance.as_object()?;
                let missing = names_of(rule).find(|name| !object.contains_key(*name))?;
                Some(format!(
                    "{} is a required property",
                    python::repr_str(missing)
                ))
            }
            "minItems" if (instance.as_array()?.len() as u64) < rule.as_u64()? => {
                Some(match rule.as_u64() {
                    Some(1) => format!("{} should be non-empty", shown()),
                    _ => format!("{} is too short", shown()),
                })
            }
            "uniqueItems" if *rule == Value::Bool(true) && has_twins(instance.as_array()?) => {
                Some(format!("{} has non-unique elements", shown()))
            }
            "dependentRequired" => {
                let object = instance.as_object()?;
                let rules = rule.as_object()?.iter();
                let mut rules = rules.filter(|(name, _)| object.contains_key(*name));
                let (name, missing) = rules.find_map(|(name, needed)| {
                    let missing = names_of(needed).find(|needed| !object.contains_key(*needed));
                    Some((name, missing?))
                })?;
                Some(format!(
                    "{} is a dependency of {}",
                    python::repr_str(missing),
                    python::repr_str(name)
                ))
            }
            _ => None,
        }
    }

    /// Goes on into what the value holds.
    fn children(
        &mut self,
        keyword: &'a str,
        rule: &'a Value,
        instance: &'a Value,
        schema: &'a Value,
    ) {
        match (keyword, instance) {
            // jsonschema leaves it out of the path.
            ("$ref", _) => {
                let pointer = rule.as_str().and_then(|rule| rule.strip_prefix('#'));
                if let Some(referred) = pointer.and_then(|pointer| self.root.pointer(pointer)) {
                    self.descend(instance, referred);
                }
            }
            ("allOf", _) => {
                self.schema_path.push(Step::Name("allOf".into()));
                for (index, schema) in rule.as_array().into_iter().flatten().enumerate() {
                    self.schema_path.push(Step::Index(index));
                    self.descend(instance, schema);
                    self.schema_path.pop();
                }
                self.schema_path.pop();
            }
            ("properties", Value::Object(members)) => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    if let Some(member) = members.get(name) {
                        self.schema_path.push(Step::Name("properties".into()));
                        self.enter(Step::Name(name.clone()), Some(name), member, schema);
                        self.schema_path.pop();
                    }
                }
            }
            ("additionalProperties", Value::Object(members)) => {
                let declared = schema.get("properties").and_then(Value::as_object);
                let extras = members
                    .iter()
                    .filter(|(name, _)| declared.is_none_or(|d| !d.contains_key(*name)));
                if *rule == Value::Bool(false) {
                    if let Some(message) = unexpected(extras.map(|(name, _)| name)) {
                        self.report(message, keyword, schema, instance);
                    }
                    return;
                }
                self.schema_path
                    .push(Step::Name("additionalProperties".into()));
                for (name, member) in extras {
                    self.enter(Step::Name(name.clone()), None, member, rule);
                }
                self.schema_path.pop();
            }
            ("items", Value::Array(items)) => {
                self.schema_path.push(Step::Name("items".into()));
                for (index, item) in items.iter().enumerate() {
                    self.enter(Step::Index(index), None, item, rule);
                }
                self.schema_path.pop();
            }
            _ => {}
        }
    }

    fn enter(&mut self, step: Step, named: Option<&str>, instance: &'a Value, schema: &'a Value) {
        self.path.push(step);
        if let Some(name) = named {
            self.schema_path.push(Step::Name(name.to_owned()));
        }
        self.descend(instance, schema);
        if named.is_some() {
            self.schema_path.pop();
        }
        self.path.pop();
    }

    fn report(
        &mut self,
        message: String,
        keyword: &'a str,
        schema: &'a Value,
        instance: &'a Value,
    ) {
        let matches_type = schema
            .get("type")
            .is_some_and(|rule| is_of_type(instance, rule));
        self.keep(Break {
            message,
            keyword,
            schema,
            schema_path: self.schema_path.clone(),
            instance,
            path: self.path.clone(),
            matches_type,
        });
    }

    /// Keeps the more relevant; of equals the first.
    fn keep(&mut self, found: Break<'a>) {
        let better = |best: &Break<'_>| found.relevance(best) == Ordering::Greater;
        if self.best.as_ref().is_none_or(better) {
            self.best = Some(found);
        }
    }
}

fn has_twins(items: &[Value]) -> bool {
    let twin = |(at, item)| items[..at].contains(item);
    items.iter().enumerate().any(twin)
}

/// What jsonschema says of members that may not be there.
fn unexpected<'a>(names: impl Iterator<Item = &'a String>) -> Option<String> {
    let mut names: Vec<String> = names.map(|name| python::repr_str(name)).collect();
    names.sort();
    let verb = match names.len() {
        0 => return None,
        1 => "was",
        _ => "were",
    };
    Some(format!(
        "Additional properties are not allowed ({} {verb} unexpected)",
        names.join(", ")
    ))
}

/// A keyword's one name or several.
fn names_of(rule: &Value) -> impl Iterator<Item = &str> {
    let one = rule.as_str();
    let many = rule
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    one.into_iter().chain(many)
}

fn is_of_type(instance: &Value, rule: &Value) -> bool {
    names_of(rule).any(|name| match name {
        "null" => instance.is_null(),
        "string" => instance.is_string(),
        "boolean" => instance.is_boolean(),
        "array" => instance.is_array(),
        "object" => instance.is_object(),
        "number" => instance.is_number(),
        "integer" => {
            instance.is_i64()
                || instance.is_u64()
                || instance.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => false,
    })
}
