//! A patch of an artifact, and with it its life: activation, publication, deactivation.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Operation, Refusal, Verb,
    create::{changeable, set, settable},
    document::{self, document, indexed},
    now_us, patch,
    types::{Kind, Type},
};
use crate::{
    control::{Caller, Control, Result, Rule, policy::Target},
    model::artifact::{Artifact, Status, Visibility},
};

impl Control {
    /// Patches an artifact: all operations, or none.
    ///
    /// # Errors
    /// Those of [`Refusal`] for what is asked, [`Refusal::NotFound`], [`Refusal::Foreign`],
    /// [`Refusal::Denied`], [`Refusal::Duplicate`], [`Refusal::Filling`], [`Refusal::Overtaken`].
    pub async fn artifact_patch(
        &self,
        caller: &Caller,
        type_name: &str,
        id: &str,
        operations: &[Operation],
    ) -> Result<Artifact> {
        let kind = self.artifact_type(type_name)?;
        let before = self.artifact_to_change(caller, kind, id).await?;
        self.allow_artifact(Rule::ArtifactUpdate, caller, Target::Artifact(&before))?;
        let mut after = before.clone();
        let mut document = document(kind, &before);
        // Each once: what links lead to is asked of the database.
        let mut touched = BTreeSet::new();
        for operation in operations {
            self.patch_once(caller, kind, &mut after, &mut document, operation)?;
            touched.extend(fields_of(operation).cloned());
        }
        if after == before {
            return Ok(after);
        }
        self.check_links(caller, kind, &after, touched.iter())
            .await?;
        after.updated_at_us = now_us();
        after.revision += 1;
        let moves = after.status != before.status;
        if moves && after.status == Status::Active {
            after.activated_at_us = Some(after.updated_at_us);
        }
        let values = indexed(kind, &after);
        let updated = self.db.artifact_update(&after, &values, moves).await;
        updated.map_err(super::changed)?;
        Ok(after)
    }

    fn patch_once(
        &self,
        caller: &Caller,
        kind: &Type,
        artifact: &mut Artifact,
        document: &mut Map<String, Value>,
        operation: &Operation,
    ) -> Result<()> {
        for name in fields_of(operation) {
            settable(kind, name)?;
        }
        patch::apply(document, operation).map_err(Refusal::invalid)?;
        for name in fields_of(operation) {
            let Some(given) = document.get(name) else {
                let text = format!("Cannot remove field '{name}' from artifact.");
                return Err(Refusal::invalid(text).into());
            };
            match name.as_str() {
                "status" => self.may_move(caller, kind, artifact, given)?,
                "visibility" => self.may_show(caller, artifact, given)?,
                name => changeable(artifact, name, settable(kind, name)?)?,
            }
            set(kind, artifact, name, given)?;
        }
        Ok(())
    }

    /// Whether a status may come after the artifact's.
    fn may_move(
        &self,
        caller: &Caller,
        kind: &Type,
        artifact: &Artifact,
        to: &Value,
    ) -> Result<()> {
        let refuse = |text: &'static str| Err(Refusal::state(text).into());
        let rule = match (artifact.status, to.as_str().unwrap_or_default()) {
            (_, "deleted") => {
                return refuse(
                    "Cannot delete artifact with PATCH requests. Use special API to do this.",
                );
            }
            (Status::Drafted, "drafted") => return Ok(()),
            (_, "drafted") => {
                return Err(Refusal::invalid("Cannot change status to 'drafted'").into());
            }
            (Status::Drafted, "deactivated") => {
                return refuse("Cannot deactivate artifact if it's not active.");
            }
            (_, "deactivated") => Rule::ArtifactDeactivate,
            (Status::Deactivated, "active") => Rule::ArtifactReactivate,
            (Status::Active, "active") => Rule::ArtifactActivate,
            (Status::Drafted, "active") => {
                is_complete(kind, artifact)?;
                Rule::ArtifactActivate
            }
            (_, other) => {
                let text = format!("Unknown artifact status: {other}.");
                return Err(Refusal::invalid(text).into());
            }
        };
        self.allow_artifact(rule, caller, Target::Artifact(artifact))
    }

    /// Whether a visibility may come after the artifact's.
    fn may_show(&self, caller: &Caller, artifact: &Artifact, to: &Value) -> Result<()> {
        match (artifact.visibility, to.as_str().unwrap_or_default()) {
            (Visibility::Private, "private") => Ok(()),
            (Visibility::Public, "private") => Err(Refusal::Foreign.into()),
            (_, "public") if artifact.status != Status::Active => Err(Refusal::state(
                "Cannot change visibility to 'public' if artifact is not active.",
            )
            .into()),
            (_, "public") => {
                let target = Target::Artifact(artifact);
                self.allow_artifact(Rule::ArtifactPublish, caller, target)
            }
            (_, other) => {
                let text = format!("Unknown artifact visibility: {other}.");
                Err(Refusal::invalid(text).into())
            }
        }
    }
}

/// What an operation changes: also what it moves away.
fn fields_of(operation: &Operation) -> impl Iterator<Item = &String> {
    let from = operation.from.first();
    let from = from.filter(|_| operation.verb == Verb::Move);
    operation.path.first().into_iter().chain(from)
}

/// Whether everything is there that an active artifact needs.
fn is_complete(kind: &Type, artifact: &Artifact) -> Result<(), Refusal> {
    let required = kind
        .fields
        .iter()
        .filter(|(_, field)| field.required_on_activate);
    for (name, field) in required {
        match field.kind {
            // Glare has times of ours here, which it sets itself.
            _ if field.system => {}
            Kind::Folder => {}
            Kind::Blob => {
                // One that is on its way is told of by the database.
                if artifact.blob(name, None).is_none() {
                    let text = format!("'{name}' must be available before activation.");
                    return Err(Refusal::state(text));
                }
            }
            Kind::One(_) | Kind::List(_) | Kind::Dict(_) => {
                if document::get(kind, artifact, name).is_null() {
                    let text = format!("'{name}' field value must be set before activation.");
                    return Err(Refusal::state(text));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Types;

    #[test]
    fn what_a_type_needs_is_what_it_says() {
        let types = Types::new(&["images".to_owned()], &[]).unwrap();
        let images = types.get("images").unwrap();
        let needed = images
            .fields
            .iter()
            .filter(|(_, field)| field.required_on_activate && !field.system);
        let needed: Vec<&str> = needed.map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            needed,
            ["container_format", "disk_format", "status", "visibility"]
        );
    }
}
