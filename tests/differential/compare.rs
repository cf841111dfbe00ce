//! What of an answer is compared, and how a difference is shown.

use std::{collections::BTreeMap, io};

use regex::Regex;
use serde_json::Value;

use super::{known::Part, script::Variables};
use crate::support::wire::Response;

/// Headers of the connection and of the server's name, not of the answer.
const IGNORED_HEADERS: &[&str] = &[
    "connection",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
];

/// An answer without what must differ: ids, times, the server's address.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    status: String,
    headers: BTreeMap<String, String>,
    body: Vec<String>,
}

impl Shown {
    pub(super) fn new(answer: &io::Result<Response>, variables: &Variables) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Self::broken(error),
        };
        let mask = Mask::new(variables);
        let mut headers = BTreeMap::new();
        for (name, value) in &answer.headers {
            let name = name.to_ascii_lowercase();
            if !IGNORED_HEADERS.contains(&name.as_str()) {
                headers.insert(name, mask.apply(value));
            }
        }
        let text = headers.get("content-type");
        let is_data = text.is_some_and(|kind| kind.starts_with("application/octet-stream"));
        if !is_data {
            // Of a text, the length says nothing that the text does not.
            headers.remove("content-length");
        }
        if answer.body.is_empty() {
            // Of nothing, the type says nothing; webob gives it to some answers and not to others.
            headers.remove("content-type");
        }
        Self {
            status: answer.status.to_string(),
            headers,
            body: show_body(&answer.body, &mask),
        }
    }

    fn broken(error: &io::Error) -> Self {
        Self {
            status: format!("no answer: {:?}", error.kind()),
            headers: BTreeMap::new(),
            body: Vec::new(),
        }
    }

    /// The parts in which the two differ.
    pub(super) fn differing(&self, other: &Self) -> Vec<Part> {
        let mut parts = Vec::new();
        if self.status != other.status {
            parts.push(Part::Status);
        }
        if self.headers != other.headers {
            parts.push(Part::Headers);
        }
        if self.body != other.body {
            parts.push(Part::Body);
        }
        parts
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("HTTP {}", self.status)];
        lines.extend(self.headers.iter().map(|(n, v)| format!("{n}: {v}")));
        lines.extend(self.body.iter().cloned());
        lines
    }
}

/// Both answers as one text: `-` is Glance's line, `+` is ours.
pub(super) fn diff(glance: &Shown, ours: &Shown) -> String {
    let (left, right) = (glance.lines(), ours.lines());
    // longest[i][j]: length of the longest common subsequence of left[i..] and right[j..]
    let mut longest = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            longest[i][j] = if left[i] == right[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < left.len() || j < right.len() {
        let (sign, line) = if i < left.len() && j < right.len() && left[i] == right[j] {
            (i, j) = (i + 1, j + 1);
            (' ', &left[i - 1])
        } else if j == right.len() || (i < left.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            i += 1;
            ('-', &left[i - 1])
        } else {
            j += 1;
            ('+', &right[j - 1])
        };
        text += &format!("  {sign} {line}\n");
    }
    text
}

/// JSON by its values, everything else by its bytes.
fn show_body(body: &[u8], mask: &Mask<'_>) -> Vec<String> {
    if let Ok(mut value) = serde_json::from_slice::<Value>(body) {
        normalise(&mut value);
        let text = serde_json::to_string_pretty(&value).expect("a value has a text");
        return text.lines().map(|line| mask.apply(line)).collect();
    }
    match std::str::from_utf8(body) {
        Ok(text) if body.len() < 4096 => text.split('\n').map(|line| mask.apply(line)).collect(),
        _ => vec![format!(
            "{} bytes, BLAKE3 {}",
            body.len(),
            blake3::hash(body).to_hex()
        )],
    }
}

/// Members of objects in one order, and tags, which are a set, sorted.
fn normalise(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.sort_keys();
            for (name, member) in members.iter_mut() {
                normalise(member);
                if let (true, Value::Array(tags)) = (name == "tags", member) {
                    tags.sort_by_key(ToString::to_string);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        _ => {}
    }
}

/// Replaces what must differ between two servers by its name.
struct Mask<'a> {
    variables: &'a Variables,
    patterns: Vec<(Regex, &'static str)>,
}

impl<'a> Mask<'a> {
    fn new(variables: &'a Variables) -> Self {
        const ID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
        let fixed_or = |name| format!("{name}{ID}");
        let patterns = [
            (fixed_or("req-"), "req-<id>"),
            (r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ".to_owned(), "<time>"),
            (
                r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?".to_owned(),
                "<time without a zone>",
            ),
            (r"127\.0\.0\.1:\d+".to_owned(), "<host>"),
        ];
        let patterns = patterns.map(|(regex, name)| (Regex::new(&regex).expect("a regex"), name));
        Self {
            variables,
            patterns: patterns.into(),
        }
    }

    fn apply(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (name, value) in self.variables {
            line = line.replace(value, &format!("{{{name}}}"));
        }
        for (regex, name) in &self.patterns {
            line = regex.replace_all(&line, *name).into_owned();
        }
        line
    }
}
