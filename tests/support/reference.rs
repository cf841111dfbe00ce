//! The reference of the API, which every answer in the tests must keep.

use std::{collections::HashMap, sync::Arc};

use fresnel::api::schema::validate::Validator;
use parking_lot::Mutex;
use serde_json::Value;

use super::wire::{Request, Response};

/// An OpenAPI document, and the validators of what its bodies are.
pub(crate) struct Reference {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Reference {
    pub(crate) fn new(document: Value) -> Self {
        Self {
            document,
            validators: Mutex::default(),
        }
    }

    /// Panics when the answer is not one that the request may have: another status, or another body.
    #[track_caller]
    pub(crate) fn check(&self, request: &Request, response: &Response) {
        let Some(responses) = self.promised(request) else {
            return;
        };
        let asked = format!("{} {}", request.method, request.target);
        let status = response.status;
        let promised = responses.get(status.to_string());
        let promised = promised.unwrap_or_else(|| {
            panic!("{asked} is answered {status}, which its Operation (src/api/v2) does not have")
        });
        let schema = &promised["content"]["application/json"]["schema"]["$ref"];
        let Some(schema) = schema.as_str() else {
            return;
        };
        if let Value::Object(body) = response.json()
            && let Err(violation) = self.validator(schema).validate(&body)
        {
            panic!("{asked} is answered with what is no {schema}: {violation}");
        }
    }

    /// What may come of the request, by status; none when it is no operation's.
    fn promised(&self, request: &Request) -> Option<&Value> {
        let path = request.target.split('?').next().unwrap_or_default();
        let mut paths = self.document["paths"].as_object()?.iter();
        // In the order in which they are looked for.
        let (_, item) = paths.find(|(pattern, _)| is_of(path, pattern))?;
        Some(&item.get(request.method.to_lowercase())?["responses"])
    }

    fn validator(&self, schema: &str) -> Arc<Validator> {
        let mut validators = self.validators.lock();
        let found = validators.entry(schema.to_owned()).or_insert_with(|| {
            let mut whole = self.document.clone();
            whole["$ref"] = schema.into();
            Arc::new(Validator::new(whole).unwrap())
        });
        found.clone()
    }
}

fn is_of(path: &str, pattern: &str) -> bool {
    let (mut path, mut pattern) = (path.split('/'), pattern.split('/'));
    loop {
        match (path.next(), pattern.next()) {
            (None, None) => return true,
            (Some(part), Some(name)) => {
                if part != name && (!name.starts_with('{') || part.is_empty()) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}
