//! `/quotas`, `/project-quotas`: what projects may have of artifacts.

use serde_json::{Value, json};

use super::{Api, Call, Result, expect_media_type, invalid, json_of};
use crate::{
    api::operation::{Answer, Content, Operation},
    control::{artifact::ProjectQuotas, db::ArtifactQuota},
    http::Response,
};

/// Letters of a name.
const NAME_CHARS_MAX: usize = 255;

pub(in crate::api) const LIST: Operation = Operation::new(
    "List all limits of artifacts",
    "Those of projects, and those that hold without.",
    &[Answer::ok("ArtifactQuotas", "The limits.")],
    &[403, 406],
);

/// `GET /quotas`.
pub async fn list(api: &Api, call: Call) -> Result<Response> {
    let (set, configured) = api.control.artifact_quotas(&call.caller).await?;
    Ok(json_of(
        &json!({"quotas": projects(&set), "global_quotas": configured}),
    ))
}

pub(in crate::api) const SET: Operation = Operation::new(
    "Set limits of artifacts",
    "In place of all that were set for these projects. -1 is no limit.",
    &[Answer::ok("Nothing", "They are set.")],
    &[403, 406, 413, 415],
)
.takes(&[Content::json("ArtifactProjectQuotas")]);

/// `PUT /quotas`.
pub async fn set(api: &Api, mut call: Call) -> Result<Response> {
    expect_media_type(&call, "application/json")?;
    let body = call.json(api.settings.json_body_limit_bytes).await?;
    let quotas = parse(&body).ok_or_else(|| invalid("The limits of projects are malformed."))?;
    api.control
        .artifact_quotas_set(&call.caller, &quotas)
        .await?;
    Ok(json_of(&Value::Null))
}

pub(in crate::api) const OWN: Operation = Operation::new(
    "List the own project's limits of artifacts",
    "",
    &[Answer::ok("ArtifactProjectQuotas", "The limits in force.")],
    &[403, 406],
);

/// `GET /project-quotas`.
pub async fn own(api: &Api, call: Call) -> Result<Response> {
    let project = call.caller.project.clone();
    let project = project.map(|project| project.as_str().to_owned());
    in_force(api, &call, &project.unwrap_or_default()).await
}

pub(in crate::api) const OF_PROJECT: Operation = Operation::new(
    "List a project's limits of artifacts",
    "",
    &[Answer::ok("ArtifactProjectQuotas", "The limits in force.")],
    &[403, 406],
);

/// `GET /project-quotas/{project}`.
pub async fn of_project(api: &Api, call: Call) -> Result<Response> {
    in_force(api, &call, &call.params[0]).await
}

async fn in_force(api: &Api, call: &Call, project: &str) -> Result<Response> {
    let quotas = api
        .control
        .artifact_quotas_of(&call.caller, project)
        .await?;
    let quotas = ProjectQuotas::from([(project.to_owned(), quotas)]);
    Ok(json_of(&projects(&quotas)))
}

fn projects(quotas: &ProjectQuotas) -> Value {
    let shown = quotas.iter().map(|(project, limits)| {
        let limits = limits.iter();
        let limits = limits.map(|(name, value)| json!({"quota_name": name, "quota_value": value}));
        json!({"project_id": project, "project_quotas": limits.collect::<Vec<_>>()})
    });
    shown.collect()
}

fn parse(body: &Value) -> Option<ProjectQuotas> {
    let projects = body.as_array()?.iter().map(|given| {
        let project = text(given, "project_id")?;
        let limits = given.get("project_quotas")?.as_array()?.iter().map(limit);
        Some((project, limits.collect::<Option<ArtifactQuota>>()?))
    });
    projects.collect()
}

fn limit(given: &Value) -> Option<(String, i64)> {
    let name = text(given, "quota_name").filter(|name| name.matches(':').count() <= 1)?;
    let value = given
        .get("quota_value")?
        .as_i64()
        .filter(|value| *value >= -1)?;
    Some((name, value))
}

fn text(given: &Value, name: &str) -> Option<String> {
    let text = given.get(name)?.as_str()?;
    let fits = (1..=NAME_CHARS_MAX).contains(&text.chars().count());
    fits.then(|| text.to_owned())
}
