//! The reference as an OpenAPI 3.1 document, written from the table that routes and from the schemas
//! that requests are checked against: neither is repeated here. docs/API.md is this document in
//! words.

#[cfg(test)]
mod page;

use ::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    operation::{
        Answer, Content, GROUPS, Operation, PATH_PARAMETERS, Parameter, Place, REFUSALS, STATUSES,
        Shape,
    },
    route::{Endpoint, Route},
    schema::{DISK_FORMAT, Schemas},
};
use crate::{control::encryption::LUKS, http::error::title};

/// Bodies that have no schema under `/v2/schemas`, by their names.
const COMPONENTS: &str = include_str!("openapi/components.json");

const ABOUT: &str = "\
The OpenStack Images API v2, as this service has it. Errors are HTML, JSON or text, by `Accept`. \
Every answer to a known caller bears the request's id in `X-Openstack-Request-Id`; a request may bring its own. \
Beside `/v2` there are `/versions` and `/healthcheck`, which ask nobody for a token.";

/// The document. Where nobody is asked for a token it knows none. `types` are the site's types of
/// artifacts.
pub(super) fn document(
    tables: &[(&str, &[Route])],
    schemas: &Schemas,
    types: &[&str],
    asks_for_tokens: bool,
) -> Value {
    let tags = GROUPS
        .iter()
        .map(|(_, title, about)| json!({"name": title, "description": about}));
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Images",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": Value::from_iter(tags),
        "paths": paths(tables, types, asks_for_tokens),
        "components": {
            "schemas": bodies(schemas),
            "responses": refusals(),
            "headers": {"RequestId": {
                "description": "The request's id.",
                "schema": {"type": "string"},
            }},
        },
    });
    if asks_for_tokens {
        document["security"] = json!([{"token": []}]);
        document["components"]["securitySchemes"] = json!({"token": {
            "type": "apiKey",
            "in": "header",
            "name": "X-Auth-Token",
            "description": "A token of Keystone's.",
        }});
    }
    document
}

fn paths(tables: &[(&str, &[Route])], types: &[&str], asks_for_tokens: bool) -> Value {
    let routes = tables.iter();
    let routes =
        routes.flat_map(|(before, routes)| routes.iter().map(move |route| (before, route)));
    let paths = routes.map(|(before, route)| {
        let mut item = Map::new();
        let named = path_parameters(route.path, types);
        if !named.is_empty() {
            item.insert("parameters".to_owned(), named.into());
        }
        for endpoint in route.endpoints {
            let method = endpoint.method.to_lowercase();
            item.insert(method, operation(endpoint, asks_for_tokens));
        }
        (format!("{before}{}", route.path), Value::Object(item))
    });
    Value::Object(paths.collect())
}

/// What a path's `{...}` stand for.
fn path_parameters(path: &str, types: &[&str]) -> Vec<Value> {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let described = names.map(|name| {
        let about = PATH_PARAMETERS.iter().find(|(known, _)| *known == name);
        let mut schema = json!({"type": "string", "minLength": 1});
        if name == "type" && !types.is_empty() {
            schema["enum"] = json!(types);
        }
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": about.map_or("", |(_, about)| *about),
            "schema": schema,
        })
    });
    described.collect()
}

fn operation(endpoint: &Endpoint, asks_for_tokens: bool) -> Value {
    let promised = &endpoint.operation;
    let name = endpoint.responder.name;
    let mut operation = json!({
        "operationId": name.replace("::", "_"),
        "tags": [group(name)],
        "summary": promised.summary,
    });
    if !promised.about.is_empty() {
        operation["description"] = promised.about.into();
    }
    if !promised.parameters.is_empty() {
        operation["parameters"] = promised.parameters.iter().map(parameter).collect();
    }
    if !promised.bodies.is_empty() {
        operation["requestBody"] = json!({
            "required": true,
            "content": content(promised.bodies),
        });
    }
    operation["responses"] = responses(promised, asks_for_tokens);
    operation
}

/// The title of the group that a handler belongs to.
fn group(handler: &str) -> &str {
    let module = handler.split("::").next().unwrap_or_default();
    let found = GROUPS.iter().find(|(name, ..)| *name == module);
    found.map_or(module, |(_, title, _)| *title)
}

fn parameter(parameter: &Parameter) -> Value {
    let place = match parameter.place {
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": parameter.name,
        "in": place,
        "description": parameter.about,
        "schema": shape(parameter.shape),
    })
}

fn shape(shape: Shape) -> Value {
    match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Whole => json!({"type": "integer", "minimum": 0}),
        Shape::WholeOrEmpty => {
            json!({"anyOf": [{"type": "integer", "minimum": 0}, {"const": ""}]})
        }
        Shape::OneOf(words) => json!({"type": "string", "enum": words}),
        Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
    }
}

fn content(contents: &[Content]) -> Value {
    let contents = contents.iter().map(|content| {
        let schema = json!({"schema": reference("schemas", content.schema)});
        (content.media_type.to_owned(), schema)
    });
    Value::Object(contents.collect())
}

fn responses(operation: &Operation, asks_for_tokens: bool) -> Value {
    let mut responses: Map<String, Value> = operation.answers.iter().map(answer).collect();
    let refusals = REFUSALS.iter().chain(operation.refusals);
    let mut refusals: Vec<u16> = refusals
        .copied()
        .filter(|s| *s != 401 || asks_for_tokens)
        .collect();
    refusals.sort_unstable();
    for status in refusals {
        let name = refusal_name(status);
        responses.insert(status.to_string(), reference("responses", &name));
    }
    Value::Object(responses)
}

fn answer(answer: &Answer) -> (String, Value) {
    let mut headers = request_id();
    for header in answer.headers {
        let shown = json!({"description": header.about, "schema": shape(header.shape)});
        headers.insert(header.name.to_owned(), shown);
    }
    let mut response = json!({"description": answer.about, "headers": headers});
    if let Some(sent) = &answer.content {
        response["content"] = content(std::slice::from_ref(sent));
    }
    (answer.status.to_string(), response)
}

/// The answers of requests that are not done, by the titles of their statuses.
fn refusals() -> Value {
    let text = json!({"schema": {"type": "string"}});
    let shown = STATUSES.iter().map(|(status, about)| {
        let mut headers = request_id();
        if let Some((name, about)) = refusal_header(*status) {
            let shown = json!({"description": about, "schema": {"type": "string"}});
            headers.insert(name.to_owned(), shown);
        }
        let response = json!({
            "description": about,
            "headers": headers,
            "content": {
                "text/html": text,
                "application/json": {"schema": reference("schemas", "Error")},
                "text/plain": text,
            },
        });
        (refusal_name(*status), response)
    });
    Value::Object(shown.collect())
}

fn refusal_header(status: u16) -> Option<(&'static str, &'static str)> {
    match status {
        401 => Some(("WWW-Authenticate", "Where tokens are to be had.")),
        405 => Some(("Allow", "The methods of the path.")),
        415 => Some(("Accept-Patch", "The media types of a PATCH.")),
        503 => Some(("Retry-After", "In how many seconds to try again.")),
        _ => None,
    }
}

fn refusal_name(status: u16) -> String {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    title(status).replace([' ', '-'], "")
}

fn request_id() -> Map<String, Value> {
    let id = reference("headers", "RequestId");
    Map::from_iter([("X-Openstack-Request-Id".to_owned(), id)])
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// Every body by its name: those that are served under `/v2/schemas`, what a client may send of them,
/// and the rest.
fn bodies(schemas: &Schemas) -> Value {
    let mut bodies: Map<String, Value> =
        serde_json::from_str(COMPONENTS).expect("components.json is an object");
    for (name, schema) in schemas.served() {
        bodies.insert(name.to_owned(), embedded(name, schema));
    }
    for (many, list, one) in [
        ("Images", "images", "Image"),
        ("Members", "members", "Member"),
        ("Namespaces", "namespaces", "Namespace"),
        ("Objects", "objects", "Object"),
        ("Associations", "resource_type_associations", "Association"),
    ] {
        bodies[many]["properties"][list]["items"] = reference("schemas", one);
    }
    bodies.insert("NewImage".to_owned(), new_image(&bodies["Image"]));
    show_luks(&mut bodies["Image"]);
    bodies.sort_keys();
    Value::Object(bodies)
}

/// A schema of Glance's as a part of this document: without the keywords that are not JSON Schema's,
/// and with its definitions where they are found.
fn embedded(name: &str, mut schema: Value) -> Value {
    let root = format!("#/components/schemas/{name}/$defs/");
    point_to(&root, &mut schema);
    if let Some(members) = schema.as_object_mut() {
        members.shift_remove("name");
        members.shift_remove("links");
        if let Some(definitions) = members.shift_remove("definitions") {
            members.insert("$defs".to_owned(), definitions);
        }
        members.shift_insert(0, "type".to_owned(), "object".into());
    }
    schema
}

/// Has the references into a schema's own definitions lead to where those are now, and leaves out
/// that patterns are regular expressions, which neither Glance nor we look at.
fn point_to(root: &str, schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members
                .get("format")
                .is_some_and(|format| format == "regex")
            {
                members.shift_remove("format");
            }
            if let Some(Value::String(to)) = members.get_mut("$ref")
                && let Some(definition) = to.strip_prefix("#/definitions/")
            {
                *to = format!("{root}{definition}");
            }
            members
                .values_mut()
                .for_each(|member| point_to(root, member));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point_to(root, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What encrypted images are shown as, whether or not that is configured.
fn show_luks(image: &mut Value) {
    let formats = &mut image["properties"][DISK_FORMAT]["enum"];
    if let Some(formats) = formats.as_array_mut()
        && !formats.iter().any(|format| format == LUKS)
    {
        formats.push(LUKS.into());
    }
}

/// An image without what only we set.
fn new_image(image: &Value) -> Value {
    let mut image = image.clone();
    if let Some(properties) = image["properties"].as_object_mut() {
        properties.retain(|name, property| {
            property["readOnly"] != Value::Bool(true) && name != "locations"
        });
    }
    image
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::TABLES, *};

    pub(super) fn whole() -> Value {
        let formats = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let schemas = Schemas::new(&formats("raw qcow2"), &formats("bare"), None).unwrap();
        document(&TABLES, &schemas, &[], true)
    }

    fn routes() -> impl Iterator<Item = &'static Route> {
        TABLES.into_iter().flat_map(|(_, routes)| routes)
    }

    fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
        routes().flat_map(|route| route.endpoints)
    }

    /// Where every `$ref` leads.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    found.insert(to.clone());
                }
                members
                    .values()
                    .for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_body_is_used() {
        let document = whole();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for to in &found {
            let target = document.pointer(to.trim_start_matches('#'));
            assert!(target.is_some_and(|target| !target.is_null()), "{to}");
        }
        for name in document["components"]["schemas"]
            .as_object()
            .unwrap()
            .keys()
        {
            let to = format!("#/components/schemas/{name}");
            assert!(found.contains(&to), "{name} is nobody's body");
        }
    }

    #[test]
    fn every_name_in_a_path_and_every_group_is_described() {
        for route in routes() {
            for parameter in path_parameters(route.path, &[]) {
                assert_ne!(
                    parameter["description"], "",
                    "{} in {}",
                    parameter["name"], route.path
                );
            }
        }
        for endpoint in endpoints() {
            let module = endpoint.responder.name.split("::").next().unwrap();
            assert!(GROUPS.iter().any(|(name, ..)| *name == module), "{module}");
        }
    }

    #[test]
    fn every_status_is_explained() {
        for endpoint in endpoints() {
            for status in endpoint.operation.refusals.iter().chain(&REFUSALS) {
                assert!(
                    STATUSES.iter().any(|(known, _)| known == status),
                    "{status}"
                );
            }
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let names: BTreeSet<&str> = endpoints()
            .map(|endpoint| endpoint.responder.name)
            .collect();
        assert_eq!(names.len(), endpoints().count());
    }

    #[test]
    fn a_site_without_tokens_has_none_in_its_reference() {
        let schemas = Schemas::new(&[], &[], None).unwrap();
        let open = document(&TABLES[..1], &schemas, &[], false);
        assert_eq!(open.get("security"), None);
        assert_eq!(
            open["paths"]["/v2/images"]["get"]["responses"].get("401"),
            None
        );
    }
}
