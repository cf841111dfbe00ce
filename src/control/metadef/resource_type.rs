//! Types of resources, and which namespaces are for them.

use super::Refusal;
use crate::{
    control::{Caller, Control, Result, Rule, db, policy::Target},
    model::metadef::{Association, Namespace, ResourceType},
};

impl Control {
    /// All types.
    ///
    /// # Errors
    /// [`crate::control::Error::Denied`].
    pub async fn resource_type_list(&self, caller: &Caller) -> Result<Vec<ResourceType>> {
        self.allow_metadef_at(Rule::ListMetadefResourceTypes, caller, Target::Own)?;
        Ok(self.db.resource_types().await?)
    }

    /// Makes a type.
    ///
    /// # Errors
    /// [`crate::control::Error::Denied`], [`crate::control::Error::Metadef`].
    pub async fn resource_type_create(&self, caller: &Caller, name: &str) -> Result<()> {
        self.allow_metadef_at(Rule::AddMetadefResourceType, caller, Target::Own)?;
        match self.db.resource_type_create(name).await {
            Err(db::Error::Duplicate(_)) => {
                Err(Refusal::DuplicateResourceType(name.to_owned()).into())
            }
            created => Ok(created?),
        }
    }

    /// Takes a type away that no namespace is for.
    ///
    /// # Errors
    /// [`crate::control::Error::Denied`], [`crate::control::Error::Metadef`].
    pub async fn resource_type_delete(&self, caller: &Caller, name: &str) -> Result<()> {
        self.allow_metadef_at(Rule::DeleteMetadefResourceType, caller, Target::Own)?;
        let types = self.db.resource_types().await?;
        let found = types.into_iter().find(|one| one.name == name);
        let found = found.ok_or_else(|| Refusal::NoResourceType(name.to_owned()))?;
        if found.protected {
            return Err(Refusal::ProtectedResourceType(found.name).into());
        }
        match self.db.resource_type_delete(name).await {
            Err(db::Error::NotFound) => Err(Refusal::NoResourceType(found.name).into()),
            Err(db::Error::Conflict) => Err(Refusal::ResourceTypeInUse(found.name).into()),
            deleted => Ok(deleted?),
        }
    }

    /// The types that a namespace is for.
    ///
    /// # Errors
    /// [`crate::control::Error::Denied`], [`crate::control::Error::Metadef`].
    pub async fn association_list(&self, caller: &Caller, name: &str) -> Result<Vec<Association>> {
        let (id, within) = self.metadef_parent(caller, name).await?;
        self.allow_metadef(Rule::ListMetadefResourceTypes, caller, &within)?;
        let see = Rule::GetMetadefResourceType;
        if !self.policy.holds(see, caller, Target::Namespace(&within)) {
            return Ok(Vec::new());
        }
        self.associated(id).await
    }

    /// Says that a namespace is for a type, which is made if it is new.
    ///
    /// # Errors
    /// [`crate::control::Error::Denied`], [`crate::control::Error::Metadef`].
    pub async fn association_add(
        &self,
        caller: &Caller,
        name: &str,
        new: &Association,
    ) -> Result<()> {
        let (id, within) = self.metadef_parent(caller, name).await?;
        let rule = Rule::AddMetadefResourceTypeAssociation;
        self.allow_metadef(rule, caller, &within)?;
        match self.db.association_add(id, &within, new).await {
            Err(db::Error::Duplicate(_)) => Err(Refusal::DuplicateAssociation {
                name: new.name.clone(),
                namespace: within.name,
            }
            .into()),
            added => Ok(added?),
        }
    }

    /// Takes that back. The type stays.
    ///
    /// # Errors
    /// [`crate::control::Error::Denied`], [`crate::control::Error::Metadef`].
    pub async fn association_delete(
        &self,
        caller: &Caller,
        name: &str,
        resource_type: &str,
    ) -> Result<()> {
        let (id, within) = self.metadef_parent(caller, name).await?;
        let rule = Rule::RemoveMetadefResourceTypeAssociation;
        self.allow_metadef(rule, caller, &within)?;
        let missing = || Refusal::NoAssociation(resource_type.to_owned());
        let associated = self.associated(id).await?;
        let gone = associated.iter().find(|one| one.name == resource_type);
        let gone = gone.ok_or_else(missing)?;
        if within.protected {
            return Err(Refusal::ProtectedAssociation(gone.name.clone()).into());
        }
        match self.db.association_delete(id, &within, gone).await {
            Err(db::Error::NotFound) => Err(missing().into()),
            deleted => Ok(deleted?),
        }
    }

    /// What stands before names of properties on resources of a type.
    pub(super) async fn prefix(
        &self,
        id: db::RowId,
        within: &Namespace,
        resource_type: &str,
    ) -> Result<Option<String>> {
        let associated = self.associated(id).await?;
        if let Some(found) = associated.into_iter().find(|one| one.name == resource_type) {
            return Ok(found.prefix);
        }
        let types = self.db.resource_types().await?;
        let known = types.iter().any(|one| one.name == resource_type);
        Err(Refusal::NotAssociated {
            resource_type: resource_type.to_owned(),
            namespace: known.then(|| within.name.clone()),
        }
        .into())
    }

    async fn associated(&self, id: db::RowId) -> Result<Vec<Association>> {
        let found = self.db.associations(&[id]).await?;
        Ok(found.into_iter().map(|(_, one)| one).collect())
    }
}
