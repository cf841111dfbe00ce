//! The requests, as data: `tests/differential/*.http`.
//!
//! ```text
//! # the name of a request, in the line above it
//! POST /v2/images {"name": "x"}
//!   content-type: application/json       a header; with the value `-`, none of that name
//!   > image = /id                        both servers' answers keep a value, a JSON pointer
//!   ? /status = active                   asked again until it has this value; with none, until it is absent
//! GET /v2/images/{image}
//! ```
//!
//! Headers before the first request are those of all.
//!
//! A body begins with `{`, `[`, `"` or `=` (the rest of the line as it is), or is `@N` (N bytes of a
//! pattern) or `@hex:…+N` (these, then zeros up to N bytes), each with `/SIZE` to send it in chunks of
//! SIZE bytes. `{u7}` is a fixed id.
//! Unless a header says otherwise a request accepts `*/*`, a PATCH is a v2.1 JSON patch, and what
//! goes to `/file` is an octet-stream.

use std::collections::BTreeMap;

use regex::{Captures, Regex};
use serde_json::Value;

use crate::support::wire::{Payload, Request};

/// One request of a script.
#[derive(Debug)]
pub(super) struct Step {
    /// `area:line`, for messages.
    pub(super) place: String,
    /// `area: name`, where the name is the comment above or the request line.
    pub(super) name: String,
    pub(super) request_line: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    /// Variables to keep, with the JSON pointer of their value.
    pub(super) keeps: Vec<(String, String)>,
    /// What the answer has to hold before it counts: JSON pointers with their values.
    pub(super) waits: Vec<(String, String)>,
}

/// What one server's answers gave to the variables.
pub(super) type Variables = BTreeMap<String, String>;

/// The steps of `tests/differential/{area}.http`.
pub(super) fn read(area: &str) -> Vec<Step> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    let path = folder.join(format!("{area}.http"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(area, &text)
}

/// The steps of a text.
pub(super) fn parse(area: &str, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut everywhere = Vec::new();
    let mut comment = None;
    for (index, line) in text.lines().enumerate() {
        let place = format!("{area}:{}", index + 1);
        if let Some(words) = line.strip_prefix("# ") {
            comment = Some(words.to_owned());
        } else if let Some(detail) = line.strip_prefix("  ") {
            match steps.last_mut() {
                Some(step) => step.add(detail, &place),
                None => everywhere.push(header(detail, &place)),
            }
        } else if line.is_empty() {
            comment = None;
        } else {
            let mut step = Step::parse(area, place, line, comment.take());
            step.headers.clone_from(&everywhere);
            steps.push(step);
        }
    }
    steps
}

impl Step {
    fn parse(area: &str, place: String, line: &str, comment: Option<String>) -> Self {
        let mut parts = line.splitn(3, ' ');
        let method = parts.next().unwrap_or_default().to_owned();
        let target = parts.next().unwrap_or_else(|| panic!("{place}: no path"));
        Self {
            name: format!("{area}: {}", comment.as_deref().unwrap_or(line)),
            place,
            request_line: line.to_owned(),
            method,
            target: target.to_owned(),
            headers: Vec::new(),
            body: parts.next().unwrap_or_default().trim().to_owned(),
            keeps: Vec::new(),
            waits: Vec::new(),
        }
    }

    fn add(&mut self, detail: &str, place: &str) {
        if let Some(keep) = detail.strip_prefix("> ") {
            let (name, pointer) = keep
                .split_once(" = ")
                .unwrap_or_else(|| panic!("{place}: `> name = /pointer`"));
            self.keeps.push((name.to_owned(), pointer.to_owned()));
        } else if let Some(wait) = detail.strip_prefix("? ") {
            let (pointer, value) = wait
                .split_once(" =")
                .unwrap_or_else(|| panic!("{place}: `? /pointer = value`"));
            self.waits
                .push((pointer.to_owned(), value.trim().to_owned()));
        } else {
            self.headers.push(header(detail, place));
        }
    }

    /// The request for a server that gave these variables.
    pub(super) fn request(&self, variables: &Variables) -> Request {
        let mut headers = self.default_headers();
        for (name, value) in &self.headers {
            headers.retain(|(known, _)| known != name);
            headers.push((name.clone(), fill(value, variables)));
        }
        headers.retain(|(_, value)| value != "-");
        Request {
            method: self.method.clone(),
            target: fill(&self.target, variables),
            headers,
            body: payload(&fill(&self.body, variables)),
        }
    }

    /// Does this make something whose id the server chooses?
    pub(super) fn creates_unnamed(&self) -> bool {
        self.method == "POST" && !self.body.contains("\"id\":")
    }

    /// Whether an answer is the one that is waited for.
    pub(super) fn is_come(&self, body: &Value) -> bool {
        self.waits.iter().all(|(pointer, value)| {
            let found = body.pointer(pointer).and_then(Value::as_str);
            found.unwrap_or_default() == value
        })
    }

    fn default_headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![("accept", "*/*")];
        let path = self.target.split('?').next().unwrap_or_default();
        if self.method == "PATCH" {
            headers.push((
                "content-type",
                "application/openstack-images-v2.1-json-patch",
            ));
        } else if self.method == "PUT" && path.ends_with("/file") {
            headers.push(("content-type", "application/octet-stream"));
        }
        let owned = headers.into_iter();
        owned.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }
}

fn header(detail: &str, place: &str) -> (String, String) {
    let (name, value) = detail
        .split_once(':')
        .unwrap_or_else(|| panic!("{place}: `name: value`"));
    (name.to_owned(), value.trim().to_owned())
}

/// `{name}` becomes the variable's value, `{u7}` a fixed id.
fn fill(text: &str, variables: &Variables) -> String {
    let names = Regex::new(r"\{([a-z]+)(\d*)\}").expect("a regex");
    let value = |found: &Captures<'_>| match (&found[1], found[2].parse::<u32>()) {
        ("u", Ok(number)) => format!("00000000-0000-4000-8000-{number:012}"),
        _ => variables
            .get(&format!("{}{}", &found[1], &found[2]))
            .cloned()
            .unwrap_or_else(|| found[0].to_owned()),
    };
    names.replace_all(text, value).into_owned()
}

fn payload(text: &str) -> Payload {
    if text.is_empty() {
        return Payload::None;
    }
    if let Some(raw) = text.strip_prefix('=') {
        return Payload::Sized(raw.into());
    }
    let Some(spec) = text.strip_prefix('@') else {
        return Payload::Sized(text.into());
    };
    let (what, chunk) = spec.split_once('/').unwrap_or((spec, ""));
    let bytes = match what.strip_prefix("hex:") {
        Some(padded) => {
            let (digits, length) = padded.split_once('+').expect("@hex:DIGITS+N");
            let mut bytes = hex(digits);
            bytes.resize(length.parse().expect("+N is a number"), 0);
            bytes
        }
        None => pattern(what.parse().expect("@N is a number")),
    };
    match chunk.parse() {
        Ok(size) => Payload::Chunked(bytes, size),
        Err(_) => Payload::Sized(bytes),
    }
}

/// Bytes that look like no image format and differ from block to block.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8)) as u8 | 1).collect()
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let pairs = pairs.map(|pair| std::str::from_utf8(pair).expect("hex is ASCII"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("hex"))
        .collect()
}
