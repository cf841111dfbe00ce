//! `/v2/info`: what this site offers (reference A.9).

use std::collections::HashMap;

use futures_util::future::join_all;
use serde_json::{Map, Value, json as value};

use super::json;
use crate::{
    api::{
        Api, Call, Error, Result,
        operation::{Answer, Operation},
    },
    control::{Caller, Rule, StoreSettings, policy::Target, protect},
    http::Response,
    model::StoreId,
};

pub(in crate::api) const IMPORT: Operation = Operation::new(
    "List import methods",
    "",
    &[Answer::ok("ImportMethods", "The methods that may be used.")],
    &[],
);

/// `GET /v2/info/import`.
pub async fn import(api: &Api, _: Call) -> Result<Response> {
    let methods = api.control.settings.import.methods.iter();
    let names: Vec<&str> = methods.map(|method| method.as_str()).collect();
    let methods = value!({
        "import-methods": {
            "description": "Import methods available.",
            "type": "array",
            "value": names,
        }
    });
    Ok(json(methods.to_string().into()))
}

pub(in crate::api) const STORES: Operation = Operation::new(
    "List stores",
    "404 where there is one store only.",
    &[Answer::ok("Stores", "The stores.")],
    &[404],
);

/// `GET /v2/info/stores`.
pub async fn stores(api: &Api, _: Call) -> Result<Response> {
    listed(api, |_, _| {})
}

pub(in crate::api) const STORES_DETAIL: Operation = Operation::new(
    "List stores with their details",
    "For administrators and services. 404 where there is one store only.",
    &[Answer::ok("StoreDetails", "The stores.")],
    &[403, 404],
);

/// `GET /v2/info/stores/detail`: what operators and other services may know besides.
pub async fn stores_detail(api: &Api, call: Call) -> Result<Response> {
    if !api.control.settings.multistore {
        return Err(Error::SingleStore);
    }
    let policy = &api.control.policy;
    policy.allow(Rule::StoresInfoDetail, &call.caller, Target::Service)?;
    let known = api.control.stores.iter().map(|store| async move {
        let details = store.details().await;
        (store.id(), details)
    });
    let mut known: HashMap<&StoreId, _> = join_all(known).await.into_iter().collect();
    listed(api, |store, shown| {
        let kind = api.control.stores.get(&store.id).map(|store| store.kind());
        let mut properties = store.properties.clone();
        properties.extend(known.remove(&store.id).unwrap_or_default());
        shown.insert("type".into(), kind.into());
        shown.insert("weight".into(), store.weight.into());
        shown.insert("properties".into(), properties.into());
    })
}

pub(in crate::api) const PROPERTY_PROTECTIONS: Operation = Operation::new(
    "Show property protections",
    "What the caller may do with which properties: the first rule whose pattern is found in a name decides. Not Glance's.",
    &[Answer::ok("PropertyProtections", "The rules.")],
    &[],
);

/// `GET /v2/info/property-protections`: what the caller may do with which properties. Not Glance's.
pub async fn property_protections(api: &Api, call: Call) -> Result<Response> {
    let rules = protections(api, &call.caller);
    let document = value!({
        "property-protections": {
            "enabled": rules.is_some(),
            "rules": rules.unwrap_or_else(|| value!([])),
        }
    });
    Ok(json(document.to_string().into()))
}

/// What the caller may do with the properties whose names have a pattern; the first that is found
/// in a name decides, and a name without one is nobody's. None without protections.
pub(super) fn protections(api: &Api, caller: &Caller) -> Option<Value> {
    let control = &api.control;
    if !control.protections.are_set() {
        return None;
    }
    let shown = control.protections.of(caller, &control.policy).into_iter();
    let shown = shown.map(|shown| {
        let mut rule = Map::from_iter([("pattern".to_owned(), shown.pattern.into())]);
        for (operation, may) in protect::Operation::ALL.into_iter().zip(shown.may) {
            rule.insert(operation.as_str().to_owned(), may.into());
        }
        Value::Object(rule)
    });
    Some(shown.collect())
}

pub(in crate::api) const USAGE: Operation = Operation::new(
    "Show usage and limits",
    "Of the caller's project, in the units of Keystone's limits (sizes in MiB). Empty without them.",
    &[Answer::ok("Usage", "What is used, and what may be.")],
    &[],
);

/// `GET /v2/info/usage`: empty without Keystone's limits. `remaining` is ours.
pub async fn usage(api: &Api, call: Call) -> Result<Response> {
    let used = api.control.usage(&call.caller).await?;
    let shown = used.into_iter().map(|used| {
        let limit = u64::try_from(used.limit).ok();
        let shown = value!({
            "usage": used.usage,
            "limit": used.limit,
            "remaining": limit.map(|limit| limit.saturating_sub(used.usage)),
        });
        (used.resource.to_owned(), shown)
    });
    let shown: Map<String, Value> = shown.collect();
    Ok(json(value!({"usage": shown}).to_string().into()))
}

fn listed(
    api: &Api,
    mut add: impl FnMut(&StoreSettings, &mut Map<String, Value>),
) -> Result<Response> {
    let control = &api.control;
    if !control.settings.multistore {
        return Err(Error::SingleStore);
    }
    let shown = control.settings.stores.iter().map(|store| {
        let mut shown = Map::new();
        shown.insert("id".into(), store.id.as_str().into());
        if let Some(description) = &store.description {
            shown.insert("description".into(), description.as_str().into());
        }
        if store.id == *control.stores.default_id() {
            shown.insert("default".into(), "true".into());
        }
        if store.read_only {
            shown.insert("read-only".into(), "true".into());
        }
        add(store, &mut shown);
        Value::Object(shown)
    });
    let document = value!({"stores": shown.collect::<Vec<_>>()});
    Ok(json(document.to_string().into()))
}
