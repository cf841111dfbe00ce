//! A new artifact, and the links that artifacts may have.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Refusal,
    document::{self, indexed},
    now_us,
    types::{Field, Kind, Type},
    value,
    version::Version,
};
use crate::{
    control::{Caller, Control, Result, Rule, db, policy::Target},
    model::{
        ProjectId,
        artifact::{Artifact, Status, Visibility},
    },
};

/// What a new artifact has in any case.
const NOT_GIVEN: [&str; 3] = ["visibility", "status", "display_type_name"];

/// Without another.
const FIRST_VERSION: &str = "0.0.0";

impl Control {
    /// Makes an artifact, drafted and private.
    ///
    /// # Errors
    /// Those of [`Refusal`] for what is said of it, [`Refusal::Anonymous`], [`Refusal::Denied`],
    /// [`Refusal::Duplicate`], [`Refusal::TooMany`].
    pub async fn artifact_create(
        &self,
        caller: &Caller,
        type_name: &str,
        given: &Map<String, Value>,
    ) -> Result<Artifact> {
        let owner = owner(caller)?;
        if !given
            .get("name")
            .is_some_and(|name| *name != Value::Null && *name != "")
        {
            return Err(Refusal::invalid("Name must be specified at creation.").into());
        }
        if let Some(name) = NOT_GIVEN.into_iter().find(|name| given.contains_key(*name)) {
            let text = format!("{name} is not allowed in a request at creation.");
            return Err(Refusal::invalid(text).into());
        }
        self.allow_artifact(Rule::ArtifactCreate, caller, Target::Service)?;
        let kind = self.artifact_type(type_name)?;
        let artifact = filled(kind, owner, given)?;
        if kind.is_read_only() {
            return Err(Refusal::ReadOnlyType.into());
        }
        self.check_links(caller, kind, &artifact, given.keys())
            .await?;
        let limits = self.artifact_limits(&artifact).await?;
        let values = indexed(kind, &artifact);
        let created = self.db.artifact_create(&artifact, &values, &limits.number);
        created.await.map_err(|error| match error {
            db::Error::OverArtifacts(counted) => limits.too_many(&counted),
            error => super::changed(error),
        })?;
        Ok(artifact)
    }

    /// Refuses links of these fields that lead nowhere.
    pub(super) async fn check_links(
        &self,
        caller: &Caller,
        kind: &Type,
        artifact: &Artifact,
        names: impl Iterator<Item = &String>,
    ) -> Result<()> {
        for name in names {
            let Some(field) = kind.fields.get(name) else {
                continue;
            };
            let given = document::get(kind, artifact, name);
            let mut ids = Vec::new();
            for link in value::links(field.kind, &given) {
                ids.extend(linked(kind, name, link)?);
            }
            ids.sort_unstable();
            ids.dedup();
            let there = match ids.is_empty() {
                true => 0,
                false => self.db.artifacts_there(&ids, &caller.viewer()).await?,
            };
            if there < ids.len() as u64 {
                let text = format!("a link leads to an artifact that doesn't exist: {given}");
                return Err(wrong(kind, name, &text).into());
            }
        }
        Ok(())
    }
}

/// What a type makes of the fields of a new artifact.
///
/// # Errors
/// [`Refusal`].
pub fn check_new(kind: &Type, given: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let artifact = filled(kind, ProjectId::new(""), given)?;
    match kind.is_read_only() {
        true => Err(Refusal::ReadOnlyType),
        false => Ok(document::document(kind, &artifact)),
    }
}

fn filled(kind: &Type, owner: ProjectId, given: &Map<String, Value>) -> Result<Artifact, Refusal> {
    let mut artifact = blank(kind, owner);
    for (name, value) in given {
        let field = settable(kind, name)?;
        changeable(&artifact, name, field)?;
        set(kind, &mut artifact, name, value)?;
    }
    Ok(artifact)
}

/// Whose a new artifact is. Where nobody is asked who they are, it is nobody's.
fn owner(caller: &Caller) -> Result<ProjectId> {
    match &caller.project {
        Some(project) if !caller.read_only => Ok(project.clone()),
        None if caller.is_admin && caller.user.is_none() => Ok(ProjectId::new("")),
        Some(_) | None => Err(Refusal::Anonymous.into()),
    }
}

fn blank(kind: &Type, owner: ProjectId) -> Artifact {
    let at = now_us();
    let version = Version::parse(FIRST_VERSION).expect("it is a version");
    Artifact {
        id: Uuid::new_v4().to_string(),
        type_name: kind.name.clone(),
        display_type_name: kind.display_name.clone(),
        name: String::new(),
        version: version.text,
        version_key: version.key,
        owner,
        visibility: Visibility::Private,
        status: Status::Drafted,
        description: Some(String::new()),
        fields: Map::new(),
        created_at_us: at,
        updated_at_us: at,
        activated_at_us: None,
        revision: 0,
        blobs: Vec::new(),
    }
}

/// A field that is not bytes.
pub(super) fn settable<'a>(kind: &'a Type, name: &str) -> Result<&'a Field, Refusal> {
    let field = kind
        .fields
        .get(name)
        .ok_or_else(|| Refusal::invalid(format!("Cannot add new field '{name}' to artifact.")))?;
    match field.kind {
        Kind::Blob | Kind::Folder => Err(Refusal::invalid(
            "Cannot add blob with this request. Use special Blob API for that.",
        )),
        Kind::One(_) | Kind::List(_) | Kind::Dict(_) => Ok(field),
    }
}

/// Whether an artifact in its status takes changes of a field.
pub(super) fn changeable(artifact: &Artifact, name: &str, field: &Field) -> Result<(), Refusal> {
    if artifact.status == Status::Deactivated {
        return Err(Refusal::state(
            "Forbidden to change fields if artifact is not active or drafted.",
        ));
    }
    if field.system {
        return Err(Refusal::state(format!(
            "Forbidden to specify system field {name}. It is not available for modifying by users."
        )));
    }
    if artifact.status == Status::Active && !field.mutable {
        return Err(Refusal::state(format!(
            "Forbidden to change field '{name}' after activation."
        )));
    }
    Ok(())
}

/// Sets a field to what a client says.
pub(super) fn set(
    kind: &Type,
    artifact: &mut Artifact,
    name: &str,
    given: &Value,
) -> Result<(), Refusal> {
    let field = settable(kind, name)?;
    let set = value::of_client(name, field, given).and_then(|v| document::set(artifact, name, v));
    set.map_err(|text| wrong(kind, name, &text))
}

pub(super) fn wrong(kind: &Type, name: &str, text: &str) -> Refusal {
    let kind = &kind.name;
    Refusal::invalid(format!("Type: {kind}. Field: {name}. Exception: {text}"))
}

/// The artifact that a link leads to; none of one that leads elsewhere.
fn linked<'a>(kind: &Type, name: &str, link: &'a str) -> Result<Option<&'a str>, Refusal> {
    if link.starts_with("http://") || link.starts_with("https://") {
        return Ok(None);
    }
    let parts: Vec<&str> = link.split('/').collect();
    match parts.as_slice() {
        ["", "artifacts", _, id] => Ok(Some(id)),
        _ => {
            let text = format!(
                "Link {link} is not valid in field {name}. The link must be either valid url or \
                 reference to artifact. Example: /artifacts/<artifact_type>/<artifact_id>"
            );
            Err(wrong(kind, name, &text))
        }
    }
}
