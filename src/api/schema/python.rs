//! JSON values as Python writes them: `repr`, and `pprint` at 72 columns, in which Glance's
//! schema errors reach its clients.

use serde_json::Value;

/// The columns of `pprint` that jsonschema asks for.
const WIDTH: usize = 72;

/// Python's `repr` of a value.
pub(super) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => repr_str(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{}: {}", repr_str(key), repr(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// Python's `repr` of a string: single quotes unless only those occur in it.
pub(super) fn repr_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push(quote);
    out
}

/// Python's `pprint.pformat(value, width=72, sort_dicts=False)`.
pub(super) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0, 0, 1);
    out
}

/// Close to `str.isprintable`: no controls, and of all white space only the plain blank.
fn is_printable(letter: char) -> bool {
    letter == ' ' || !(letter.is_control() || letter.is_whitespace() || letter == '\u{ad}')
}

/// Writes `value` where `indent` columns are used before and `allowance` are needed after it.
fn write(out: &mut String, value: &Value, indent: usize, allowance: usize, level: usize) {
    let whole = repr(value);
    if whole.chars().count() <= WIDTH.saturating_sub(indent + allowance) {
        out.push_str(&whole);
        return;
    }
    match value {
        Value::String(text) => write_str(out, text, indent, allowance, level),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                let last = index + 1 == items.len();
                let room = if last { allowance + 1 } else { 1 };
                write(out, item, indent + 1, room, level + 1);
                end_item(out, last, indent + 1);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                let last = index + 1 == members.len();
                let room = if last { allowance + 1 } else { 1 };
                let key = repr_str(key);
                let column = indent + 1 + key.chars().count() + 2;
                out.push_str(&key);
                out.push_str(": ");
                write(out, member, column, room, level + 1);
                end_item(out, last, indent + 1);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&whole),
    }
}

fn end_item(out: &mut String, last: bool, indent: usize) {
    if !last {
        out.push_str(",\n");
        out.extend(std::iter::repeat_n(' ', indent));
    }
}

/// A long string is broken between words into literals that Python joins; on the outermost
/// level in parentheses.
fn write_str(out: &mut String, text: &str, indent: usize, allowance: usize, level: usize) {
    let outermost = level == 1;
    let indent = indent + usize::from(outermost);
    let allowance = allowance + usize::from(outermost);
    let columns = WIDTH.saturating_sub(indent);
    let chunks = chunks_of(text, columns, allowance);
    if chunks.len() <= 1 {
        out.push_str(&repr_str(text));
        return;
    }
    if outermost {
        out.push('(');
    }
    out.push_str(&chunks.join(&format!("\n{}", " ".repeat(indent))));
    if outermost {
        out.push(')');
    }
}

fn chunks_of(text: &str, columns: usize, allowance: usize) -> Vec<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut chunks = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let last_line = index + 1 == lines.len();
        let room = |last: bool| columns.saturating_sub(if last { allowance } else { 0 });
        let whole = repr_str(line);
        if whole.chars().count() <= room(last_line) {
            chunks.push(whole);
            continue;
        }
        let words = words_of(line);
        let mut current = String::new();
        for (at, word) in words.iter().enumerate() {
            let candidate = format!("{current}{word}");
            let last = last_line && at + 1 == words.len();
            if repr_str(&candidate).chars().count() > room(last) && !current.is_empty() {
                chunks.push(repr_str(&current));
                current = (*word).to_owned();
            } else {
                current = candidate;
            }
        }
        if !current.is_empty() {
            chunks.push(repr_str(&current));
        }
    }
    chunks
}

/// Words with the white space after them.
fn words_of(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut in_space = false;
    for (at, letter) in line.char_indices() {
        if in_space && !letter.is_whitespace() {
            words.push(&line[start..at]);
            start = at;
        }
        in_space = letter.is_whitespace();
    }
    if start < line.len() {
        words.push(&line[start..]);
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_look_as_python_prints_them() {
        assert_eq!(repr(&json!(null)), "None");
        assert_eq!(
            repr(&json!([true, 1, "it's", "\"'"])),
            "[True, 1, \"it's\", '\"\\'']"
        );
        assert_eq!(repr(&json!({"a": {"b\n": 1.5}})), "{'a': {'b\\n': 1.5}}");
    }

    #[test]
    fn long_dictionaries_break_between_members() {
        let schema = json!({"type": ["null", "string"],
            "description": "Descriptive name for the image", "maxLength": 255});
        let expected = "{'type': ['null', 'string'],\n 'description': 'Descriptive name for the \
                        image',\n 'maxLength': 255}";
        assert_eq!(pretty(&schema), expected);
    }

    #[test]
    fn long_strings_break_between_words() {
        let schema = json!({"type": "boolean",
            "description": "If true, image will not appear in default image list response."});
        let expected = "{'type': 'boolean',\n 'description': 'If true, image will not appear in \
                        default image list '\n                'response.'}";
        assert_eq!(pretty(&schema), expected);
    }
}
