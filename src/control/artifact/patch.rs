//! JSON patches (RFC 6902) of documents.

use serde_json::{Map, Value};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub enum Verb {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
}

impl Verb {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        const NAMES: [(&str, Verb); 6] = [
            ("add", Verb::Add),
            ("remove", Verb::Remove),
            ("replace", Verb::Replace),
            ("move", Verb::Move),
            ("copy", Verb::Copy),
            ("test", Verb::Test),
        ];
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, verb)| *verb)
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// What it does.
    pub verb: Verb,
    /// The parts of its pointer, at least one.
    pub path: Vec<String>,
    /// Those of the other pointer, of `move` and `copy`.
    pub from: Vec<String>,
    /// Of the others but `remove`.
    pub value: Value,
}

/// Does an operation, or nothing.
///
/// # Errors
/// Why it cannot be done.
pub(super) fn apply(
    document: &mut Map<String, Value>,
    operation: &Operation,
) -> Result<(), String> {
    let mut root = Value::Object(std::mem::take(document));
    let done = applied(&mut root, operation);
    if let Value::Object(members) = root {
        *document = members;
    }
    done
}

fn applied(root: &mut Value, operation: &Operation) -> Result<(), String> {
    let path = &operation.path;
    match operation.verb {
        Verb::Add => insert(root, path, operation.value.clone()),
        Verb::Remove => remove(root, path).map(drop),
        Verb::Replace => {
            *find(root, path)? = operation.value.clone();
            Ok(())
        }
        Verb::Move => {
            if path.len() > operation.from.len() && path.starts_with(&operation.from) {
                return Err("Cannot move values into their own children".to_owned());
            }
            let value = remove(root, &operation.from)?;
            insert(root, path, value)
        }
        Verb::Copy => {
            let value = find(root, &operation.from)?.clone();
            insert(root, path, value)
        }
        Verb::Test => match *find(root, path)? == operation.value {
            true => Ok(()),
            false => Err(format!("/{} is not {}", path.join("/"), operation.value)),
        },
    }
}

fn find<'a>(root: &'a mut Value, path: &[String]) -> Result<&'a mut Value, String> {
    let mut found = root;
    for part in path {
        found = match found {
            Value::Object(members) => members.get_mut(part),
            Value::Array(items) => index(part, items.len()).and_then(|at| items.get_mut(at)),
            _ => None,
        }
        .ok_or_else(|| missing(path))?;
    }
    Ok(found)
}

fn insert(root: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    let (last, parents) = path.split_last().ok_or_else(|| missing(path))?;
    match find(root, parents)? {
        Value::Object(members) => drop(members.insert(last.clone(), value)),
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(last, items.len() + 1).ok_or_else(|| missing(path))?;
            items.insert(at, value);
        }
        _ => return Err(missing(path)),
    }
    Ok(())
}

fn remove(root: &mut Value, path: &[String]) -> Result<Value, String> {
    let (last, parents) = path.split_last().ok_or_else(|| missing(path))?;
    let removed = match find(root, parents)? {
        Value::Object(members) => members.remove(last),
        Value::Array(items) => index(last, items.len()).map(|at| items.remove(at)),
        _ => None,
    };
    removed.ok_or_else(|| missing(path))
}

/// A place in a list of that length.
fn index(part: &str, len: usize) -> Option<usize> {
    let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
    let at = part.parse().ok().filter(|at| is_number && *at < len);
    at.filter(|_| part == "0" || !part.starts_with('0'))
}

fn missing(path: &[String]) -> String {
    format!(
        "can't find or change a non-existent object '/{}'",
        path.join("/")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parts(pointer: &str) -> Vec<String> {
        pointer.split('/').skip(1).map(str::to_owned).collect()
    }

    fn done(verb: Verb, path: &str, from: &str, value: Value) -> Result<Value, String> {
        let document = json!({"l": ["a", "b"], "d": {"k": 1}, "t": "x"});
        let mut document = document.as_object().unwrap().clone();
        let operation = Operation {
            verb,
            path: parts(path),
            from: parts(from),
            value,
        };
        apply(&mut document, &operation).map(|()| Value::Object(document))
    }

    #[test]
    fn the_six_operations() {
        let at =
            |done: Result<Value, String>, pointer: &str| done.unwrap().pointer(pointer).cloned();
        assert_eq!(
            at(done(Verb::Add, "/l/-", "", json!("c")), "/l"),
            Some(json!(["a", "b", "c"]))
        );
        assert_eq!(
            at(done(Verb::Add, "/l/0", "", json!("c")), "/l"),
            Some(json!(["c", "a", "b"]))
        );
        assert_eq!(
            at(done(Verb::Replace, "/l/1", "", json!("c")), "/l/1"),
            Some(json!("c"))
        );
        assert_eq!(
            at(done(Verb::Remove, "/d/k", "", json!(null)), "/d"),
            Some(json!({}))
        );
        assert_eq!(
            at(done(Verb::Move, "/d/m", "/l/0", json!(null)), "/d/m"),
            Some(json!("a"))
        );
        assert_eq!(
            at(done(Verb::Copy, "/d/m", "/t", json!(null)), "/d/m"),
            Some(json!("x"))
        );
        assert!(done(Verb::Test, "/t", "", json!("x")).is_ok());
    }

    #[test]
    fn what_is_not_there_is_told() {
        for (verb, path) in [
            (Verb::Add, "/l/3"),
            (Verb::Add, "/t/x"),
            (Verb::Replace, "/l/-"),
            (Verb::Replace, "/l/01"),
            (Verb::Replace, "/d/x"),
            (Verb::Remove, "/l/2"),
            (Verb::Remove, "/d/x"),
            (Verb::Test, "/t"),
        ] {
            assert!(done(verb, path, "", json!("y")).is_err(), "{verb:?} {path}");
        }
        assert!(done(Verb::Move, "/d/k/x", "/d/k", json!(null)).is_err());
    }
}
