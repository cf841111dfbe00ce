//! Limits of artifacts and their bytes: the configuration's, and what an administrator has set for a
//! project in their place. The names are `max_artifact_number` and `max_uploaded_data`, of all types, or
//! with `:type` behind, of one.

use std::collections::BTreeMap;

use super::Refusal;
use crate::{
    control::{
        Caller, Control, Error, Result, Rule,
        db::{ArtifactLimit, ArtifactQuota, Counted},
        policy::Target,
    },
    model::{ProjectId, artifact::Artifact},
};

const NUMBER: &str = "max_artifact_number";
const BYTES: &str = "max_uploaded_data";

/// Limits by projects.
pub type ProjectQuotas = BTreeMap<String, ArtifactQuota>;

/// What a project may have of a type and of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Artifacts.
    pub number: Vec<ArtifactLimit>,
    /// Bytes.
    pub bytes: Vec<ArtifactLimit>,
}

impl Control {
    /// What is set for projects, and what holds without.
    ///
    /// # Errors
    /// [`Refusal::Denied`].
    pub async fn artifact_quotas(&self, caller: &Caller) -> Result<(ProjectQuotas, ArtifactQuota)> {
        self.allow_artifact(Rule::ArtifactListAllQuotas, caller, Target::Service)?;
        let set = self.db.artifact_quotas(None).await?;
        Ok((set, self.configured_quotas()))
    }

    /// What holds for a project.
    ///
    /// # Errors
    /// [`Refusal::Denied`].
    pub async fn artifact_quotas_of(
        &self,
        caller: &Caller,
        project: &str,
    ) -> Result<ArtifactQuota> {
        let owner = ProjectId::new(project);
        let target = Target::Proposed {
            owner: Some(&owner),
            visibility: None,
        };
        self.allow_artifact(Rule::ArtifactListProjectQuotas, caller, target)?;
        self.quotas_in_force(project).await
    }

    /// Sets limits of projects, in place of all that were set for them.
    ///
    /// # Errors
    /// [`Refusal::Denied`].
    pub async fn artifact_quotas_set(&self, caller: &Caller, quotas: &ProjectQuotas) -> Result<()> {
        self.allow_artifact(Rule::ArtifactSetQuotas, caller, Target::Service)?;
        Ok(self.db.artifact_quotas_set(quotas).await?)
    }

    /// The limits that an artifact counts for.
    pub(super) async fn artifact_limits(&self, artifact: &Artifact) -> Result<QuotaLimits> {
        let quotas = self.quotas_in_force(artifact.owner.as_str()).await?;
        let of = |name: &str| {
            let names = [None, Some(artifact.type_name.clone())];
            let limits = names.into_iter().filter_map(|type_name| {
                let named = match &type_name {
                    Some(type_name) => format!("{name}:{type_name}"),
                    None => name.to_owned(),
                };
                let most = u64::try_from(*quotas.get(&named)?).ok()?;
                Some(ArtifactLimit { type_name, most })
            });
            limits.collect()
        };
        Ok(QuotaLimits {
            number: of(NUMBER),
            bytes: of(BYTES),
        })
    }

    async fn quotas_in_force(&self, project: &str) -> Result<ArtifactQuota> {
        let mut quotas = self.configured_quotas();
        let mut set = self.db.artifact_quotas(Some(project)).await?;
        quotas.extend(set.remove(project).unwrap_or_default());
        Ok(quotas)
    }

    fn configured_quotas(&self) -> ArtifactQuota {
        let unlimited = [NUMBER, BYTES].map(|name| (name.to_owned(), -1));
        let mut quotas = ArtifactQuota::from(unlimited);
        quotas.extend(self.settings.artifacts.quotas.clone());
        quotas
    }
}

impl QuotaLimits {
    pub(super) fn too_many(&self, counted: &Counted) -> Error {
        let Counted { limit, there } = counted;
        let most = limit.most;
        let text = match &limit.type_name {
            None => format!(
                "Can't create artifact because of global quota limit is {most} artifacts. You have \
                 {there} artifact(s)."
            ),
            Some(type_name) => format!(
                "Can't create artifact because of quota limit for artifact type '{type_name}' is \
                 {most} artifacts. You have {there} artifact(s) of this type."
            ),
        };
        Refusal::TooMany(text).into()
    }

    pub(super) fn too_large(&self, counted: &Counted, wanted: u64) -> Error {
        let Counted { limit, there } = counted;
        let most = limit.most;
        let text = match &limit.type_name {
            None => format!(
                "Can't upload {wanted} byte(s) because of global quota limit: {most}. You have {there} \
                 bytes uploaded."
            ),
            Some(type_name) => format!(
                "Can't upload {wanted} byte(s) because of quota limit for artifact type '{type_name}': \
                 {most}. You have {there} bytes uploaded for this type."
            ),
        };
        Refusal::TooLarge(text).into()
    }
}
