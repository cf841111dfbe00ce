//! Artifacts: typed records with versions, links and blobs, as Glare 1.x has them (reference J.2).
//!
//! One engine serves every type: what a type may hold is a row of a table ([`types`]), and nothing
//! here knows one by its name but [`types::ALL`], which shows artifacts of every other.

mod blob;
mod create;
mod document;
mod list;
mod patch;
mod quota;
mod refusal;
pub mod types;
mod update;
mod upload;
mod value;
mod version;

use std::collections::BTreeMap;

use chrono::Utc;

use super::{Caller, Control, Error, Result, Rule, db, policy::Target};
use crate::model::{StoreId, artifact::Artifact};

pub use blob::{BlobPlace, BlobSource, NewLocation, StoredBlob};
pub use create::check_new;
pub use document::{document, shown_time};
pub use list::{ListRequest, check_list};
pub use patch::{Operation, Verb};
pub use quota::{ProjectQuotas, QuotaLimits};
pub use refusal::Refusal;
pub use types::{Field, Kind, Type, Types};
pub use upload::{BlobRequest, upload};

/// What the operator decided about artifacts.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether they are served.
    pub enabled: bool,
    /// Which there may be.
    pub types: Types,
    /// What a project may have, by the names of `/quotas`; -1 is no limit.
    pub quotas: BTreeMap<String, i64>,
    /// Where their bytes go; none: to the default store.
    pub store: Option<StoreId>,
}

impl Control {
    /// The types that there are.
    ///
    /// # Errors
    /// [`Refusal::Denied`].
    pub fn artifact_types(&self, caller: &Caller) -> Result<impl Iterator<Item = &Type>> {
        self.allow_artifact(Rule::ArtifactTypeList, caller, Target::Service)?;
        Ok(self.settings.artifacts.types.iter())
    }

    /// A type of that name.
    ///
    /// # Errors
    /// [`Refusal::UnknownType`].
    pub fn artifact_type(&self, name: &str) -> Result<&Type> {
        let found = self.settings.artifacts.types.get(name);
        found.ok_or_else(|| Refusal::UnknownType(name.to_owned()).into())
    }

    /// An artifact as it is. What the caller may not see is as what is not there.
    ///
    /// # Errors
    /// [`Refusal::UnknownType`], [`Refusal::NotFound`], [`Refusal::Denied`].
    pub async fn artifact_show(
        &self,
        caller: &Caller,
        type_name: &str,
        id: &str,
    ) -> Result<Artifact> {
        self.allow_artifact(Rule::ArtifactGet, caller, Target::Service)?;
        let kind = self.artifact_type(type_name)?;
        self.artifact_seen(Rule::ArtifactGetAny, caller, kind, id)
            .await
    }

    /// Takes an artifact away with all its bytes.
    ///
    /// # Errors
    /// [`Refusal::UnknownType`], [`Refusal::NotFound`], [`Refusal::Denied`], [`Refusal::Foreign`],
    /// [`Refusal::ReadOnlyType`], [`Refusal::Filling`], [`Refusal::Overtaken`].
    pub async fn artifact_delete(&self, caller: &Caller, type_name: &str, id: &str) -> Result<()> {
        let kind = self.artifact_type(type_name)?;
        let artifact = self.artifact_to_change(caller, kind, id).await?;
        let target = Target::Artifact(&artifact);
        self.allow_artifact(Rule::ArtifactDelete, caller, target)?;
        let blobs = self.db.artifact_delete(&artifact).await;
        for blob in blobs.map_err(changed)? {
            self.forget_blob(&blob).await;
        }
        tracing::info!(request.id = caller.request_id, artifact.id = %artifact.id, "Deleted an artifact");
        Ok(())
    }

    /// An artifact that the caller sees; any at all where `any` holds.
    async fn artifact_seen(
        &self,
        any: Rule,
        caller: &Caller,
        kind: &Type,
        id: &str,
    ) -> Result<Artifact> {
        let mut viewer = caller.viewer();
        viewer.is_admin |= self.policy.holds(any, caller, Target::Service);
        let type_name = (!kind.is_read_only()).then_some(kind.name.as_str());
        match self.db.artifact(id, type_name, &viewer).await {
            Err(db::Error::NotFound) => Err(Refusal::NotFound(id.to_owned()).into()),
            found => Ok(found?),
        }
    }

    /// An artifact that the caller sees, and may change as far as it is not the policy's to say.
    async fn artifact_to_change(&self, caller: &Caller, kind: &Type, id: &str) -> Result<Artifact> {
        let type_name = (!kind.is_read_only()).then_some(kind.name.as_str());
        let artifact = match self.db.artifact(id, type_name, &caller.viewer()).await {
            Err(db::Error::NotFound) => return Err(Refusal::NotFound(id.to_owned()).into()),
            found => found?,
        };
        let own = caller.project.as_ref() == Some(&artifact.owner);
        if caller.read_only || !(own || caller.is_admin) {
            return Err(Refusal::Foreign.into());
        }
        match kind.is_read_only() {
            true => Err(Refusal::ReadOnlyType.into()),
            false => Ok(artifact),
        }
    }

    fn allow_artifact(&self, rule: Rule, caller: &Caller, target: Target<'_>) -> Result<()> {
        match self.policy.holds(rule, caller, target) {
            true => Ok(()),
            false => Err(Refusal::Denied(rule).into()),
        }
    }
}

fn now_us() -> i64 {
    Utc::now().timestamp_micros()
}

/// What the database says of a change.
fn changed(error: db::Error) -> Error {
    match error {
        db::Error::Conflict | db::Error::NotFound => Refusal::Overtaken.into(),
        db::Error::Duplicate(_) => Refusal::Duplicate.into(),
        db::Error::Locked => Refusal::Filling.into(),
        db::Error::Taken => {
            let text = "Another artifact, or an image, has the object.";
            Refusal::Taken(text.to_owned()).into()
        }
        error => error.into(),
    }
}
