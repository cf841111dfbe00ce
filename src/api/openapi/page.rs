//! `docs/API.md`: the OpenAPI document in words. `UPDATE_DOCS=1 cargo test` renews it.

use std::fmt::Write;

use serde_json::Value;

use super::tests::whole;
use crate::base::written::assert_current;

const INTRODUCTION: &str = "\
# The API

<!-- Generated from the route table by its tests: UPDATE_DOCS=1 cargo test --lib api::openapi -->

This is `GET /v2/openapi.json` in words: every path, what it takes, and how it answers. A site's own document
has the formats that it takes, and knows tokens where they are asked for. What is not Glance's is said
to be so; every difference from Glance is in [SEMANTICS.md](SEMANTICS.md).

Every request under `/v2` bears a token in `X-Auth-Token`, where the service asks for one, and is answered with
the request's id in `X-Openstack-Request-Id`. Errors are HTML, JSON or plain text, by `Accept`;
[ERRORS.md](ERRORS.md) has each with its cause and cure. Paths that are not here are 404, and methods that a
path does not have are 405. Outside `/v2` there are `/versions` and `/healthcheck`.
";

#[test]
fn the_page_is_current() {
    assert_current("API.md", &page(&whole()), "api::openapi");
}

fn page(document: &Value) -> String {
    let mut page = INTRODUCTION.to_owned();
    for tag in items(&document["tags"]) {
        let (title, about) = (text(&tag["name"]), text(&tag["description"]));
        writeln!(page, "\n## {title}\n\n{about}").unwrap();
        for (path, item) in members(&document["paths"]) {
            for (method, operation) in members(item) {
                if operation["tags"][0] == tag["name"] {
                    page += &endpoint(
                        &format!("{} {path}", method.to_uppercase()),
                        item,
                        operation,
                    );
                }
            }
        }
    }
    page += "\n## Bodies\n\nMembers in bold must be there.\n";
    for (name, schema) in members(&document["components"]["schemas"]) {
        page += &body(name, schema);
    }
    page
}

fn endpoint(heading: &str, item: &Value, operation: &Value) -> String {
    let mut section = format!("\n### `{heading}`\n\n{}.", text(&operation["summary"]));
    if let Some(about) = operation["description"].as_str() {
        write!(section, " {about}").unwrap();
    }
    section += "\n";
    let of_path = items(&item["parameters"]);
    let parameters: Vec<&Value> = of_path.chain(items(&operation["parameters"])).collect();
    if !parameters.is_empty() {
        section += "\n| parameter | in | type | what it is |\n| --- | --- | --- | --- |\n";
        for parameter in parameters {
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            let (kind, about) = (kind(&parameter["schema"]), cell(&parameter["description"]));
            writeln!(section, "| `{name}` | {place} | {kind} | {about} |").unwrap();
        }
    }
    let taken: Vec<String> = members(&operation["requestBody"]["content"])
        .map(|(media_type, content)| format!("{} (`{media_type}`)", kind(&content["schema"])))
        .collect();
    if !taken.is_empty() {
        writeln!(section, "\nBody: {}.", taken.join(" or ")).unwrap();
    }
    section + &answers(&operation["responses"])
}

fn answers(responses: &Value) -> String {
    let (refusals, answers): (Vec<_>, Vec<_>) =
        members(responses).partition(|(_, response)| response.get("$ref").is_some());
    let mut section = String::new();
    if !answers.is_empty() {
        section += "\n| status | body | headers | what it means |\n| --- | --- | --- | --- |\n";
    }
    for (status, response) in answers {
        let mut sent = members(&response["content"]);
        let sent = sent
            .next()
            .map_or("none".to_owned(), |(_, content)| kind(&content["schema"]));
        let headers = members(&response["headers"]).map(|(name, _)| name);
        let headers = headers.filter(|name| *name != "X-Openstack-Request-Id");
        let headers: Vec<String> = headers.map(|name| format!("`{name}`")).collect();
        let (headers, about) = (headers.join(", "), cell(&response["description"]));
        writeln!(section, "| {status} | {sent} | {headers} | {about} |").unwrap();
    }
    let links = refusals
        .iter()
        .map(|(status, _)| format!("[{status}](ERRORS.md#{status})"));
    let links: Vec<String> = links.collect();
    writeln!(section, "\nRefusals: {}.", links.join(", ")).unwrap();
    section
}

fn body(name: &str, schema: &Value) -> String {
    let mut section = format!("\n### {name}\n");
    if let Some(about) = schema["description"].as_str() {
        write!(section, "\n{about}\n").unwrap();
    }
    let required: Vec<&Value> = items(&schema["required"]).collect();
    let mut rows = members(&schema["properties"]).peekable();
    if rows.peek().is_some() {
        section += "\n| member | type | what it is |\n| --- | --- | --- |\n";
    }
    for (name, property) in rows {
        let bold = if required.iter().any(|must| *must == name) {
            "**"
        } else {
            ""
        };
        let only = match property["readOnly"] == Value::Bool(true) {
            true => "Only the service sets it. ",
            false => "",
        };
        let (kind, about) = (kind(property), cell(&property["description"]));
        writeln!(section, "| {bold}`{name}`{bold} | {kind} | {only}{about} |").unwrap();
    }
    match &schema["additionalProperties"] {
        Value::Object(_) => section += "\nOther members are strings: properties.\n",
        Value::Bool(false) => section += "\nNothing else may be there.\n",
        _ => {}
    }
    if schema["type"] == "array" {
        writeln!(section, "\nAn array of {}.", kind(&schema["items"])).unwrap();
    }
    section
}

/// What a value may be, in a few words.
fn kind(schema: &Value) -> String {
    if schema.get("$ref").is_some() {
        let name = to(schema);
        return match schema["$ref"]
            .as_str()
            .unwrap_or_default()
            .contains("/$defs/")
        {
            true => name.to_owned(),
            false => format!("[{name}](#{})", name.to_lowercase()),
        };
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => {
            format!("array of {}", self::kind(&schema["items"]))
        }
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}

/// The last name in a reference.
fn to(reference: &Value) -> &str {
    let to = reference["$ref"].as_str().unwrap_or_default();
    to.rsplit('/').next().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text as it may stand in a table.
fn cell(value: &Value) -> String {
    text(value).replace('|', "\\|").replace('\n', " ")
}
