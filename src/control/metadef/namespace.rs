//! Namespaces.

use std::collections::HashMap;

use super::{Refusal, rules};
use crate::{
    control::{
        Caller, Control, Error, Result, Rule,
        db::{self, NamespaceQuery, Order},
        image::now,
        policy::Target,
    },
    model::{
        ProjectId,
        metadef::{Association, Contents, Item, Kind, Namespace},
    },
};

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Each with the types that it is for.
    pub namespaces: Vec<(Namespace, Vec<Association>)>,
    /// The name to go on after; none on the last page.
    pub next: Option<String>,
}

/// A namespace with all that it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Itself.
    pub namespace: Namespace,
    /// The rest.
    pub contents: Contents,
}

/// A namespace as a client writes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamespaceChange {
    /// See [`Namespace`].
    pub name: String,
    /// See [`Namespace`].
    pub display_name: Option<String>,
    /// See [`Namespace`].
    pub description: Option<String>,
    /// `private` unless given.
    pub visibility: Option<String>,
    /// See [`Namespace`].
    pub protected: bool,
    /// The caller's project unless given.
    pub owner: Option<ProjectId>,
}

/// A new namespace with what it is to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewNamespace {
    /// Itself.
    pub namespace: NamespaceChange,
    /// The rest.
    pub contents: Contents,
}

impl Control {
    /// The namespaces that the caller may see: of `limit` after the one named `marker`.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::Hidden`], [`Error::Metadef`] for the marker.
    pub async fn namespace_list(
        &self,
        caller: &Caller,
        query: &NamespaceQuery,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<Page> {
        for rule in [Rule::GetMetadefNamespaces, Rule::ListMetadefResourceTypes] {
            self.allow_metadef_at(rule, caller, Target::Own)?;
        }
        let marker = match marker.filter(|name| !name.is_empty()) {
            Some(name) => Some(self.metadef_namespace(caller, name).await?.0),
            None => None,
        };
        // The catalog is an administrator's, and small: its order is the database's, its pages are
        // cut here, whatever the order is by.
        let mut found = self.db.namespaces(query, &caller.viewer()).await?;
        if let Some(marker) = marker {
            let at = found.iter().position(|(id, _)| *id == marker);
            found = found.split_off(at.map_or(found.len(), |at| at + 1));
        }
        found.truncate(limit);
        let see = Rule::GetMetadefNamespace;
        found.retain(|(_, one)| self.policy.holds(see, caller, Target::Namespace(one)));
        let full = !found.is_empty() && found.len() == limit;
        let next = found.last().filter(|_| full).map(|(_, n)| n.name.clone());
        let ids: Vec<db::RowId> = found.iter().map(|(id, _)| *id).collect();
        let mut associations: HashMap<db::RowId, Vec<Association>> = HashMap::new();
        for (id, association) in self.db.associations(&ids).await? {
            associations.entry(id).or_default().push(association);
        }
        let with = |(id, one)| (one, associations.remove(&id).unwrap_or_default());
        Ok(Page {
            namespaces: found.into_iter().map(with).collect(),
            next,
        })
    }

    /// A namespace with all that it holds.
    ///
    /// # Errors
    /// [`Error::Metadef`], [`Error::Hidden`], [`Error::Denied`].
    pub async fn namespace_show(&self, caller: &Caller, name: &str) -> Result<Shown> {
        let found = self.metadef_namespace(caller, name).await;
        let (id, namespace) = found.map_err(|error| match error {
            Error::Metadef(Refusal::Invisible(_)) => Error::Hidden,
            other => other,
        })?;
        self.allow_metadef(Rule::GetMetadefNamespace, caller, &namespace)?;
        let lists = Kind::ALL.map(|kind| rules(kind).list);
        for rule in [Rule::ListMetadefResourceTypes].into_iter().chain(lists) {
            self.allow_metadef(rule, caller, &namespace)?;
        }
        let contents = self.contents(id).await?;
        Ok(Shown {
            namespace,
            contents,
        })
    }

    /// Makes a namespace with what it is to hold, or nothing.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::Metadef`] for what there is twice.
    pub async fn namespace_create(&self, caller: &Caller, new: &NewNamespace) -> Result<Namespace> {
        caller.may_change()?;
        let contents = &new.contents;
        let wanted = [
            (Rule::AddMetadefNamespace, true),
            (
                Rule::AddMetadefResourceTypeAssociation,
                !contents.associations.is_empty(),
            ),
            (Rule::AddMetadefObject, !contents.objects.is_empty()),
            (Rule::AddMetadefProperty, !contents.properties.is_empty()),
            (Rule::AddMetadefTag, !contents.tags.is_empty()),
        ];
        for (rule, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
            self.allow_metadef_at(rule, caller, Target::Own)?;
        }
        let namespace = of(new.namespace.clone(), caller);
        match self.db.namespace_create(&namespace, contents).await {
            Ok(()) => Ok(namespace),
            Err(db::Error::Duplicate(name)) => Err(twice(&namespace.name, contents, name)),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a namespace over, its name too; what it holds stays.
    ///
    /// # Errors
    /// [`Error::Metadef`], [`Error::Denied`], [`Error::Hidden`].
    pub async fn namespace_update(
        &self,
        caller: &Caller,
        name: &str,
        change: NamespaceChange,
    ) -> Result<Namespace> {
        let (id, before) = self.metadef_parent(caller, name).await?;
        self.allow_metadef(Rule::ModifyMetadefNamespace, caller, &before)?;
        let after = Namespace {
            created_at: before.created_at,
            ..of(change, caller)
        };
        match self.db.namespace_update(id, &before.name, &after).await {
            Ok(()) => Ok(after),
            Err(db::Error::Duplicate(name)) => Err(Refusal::DuplicateUpdate(name).into()),
            Err(db::Error::NotFound) => Err(Refusal::NoParent(name.to_owned()).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a namespace away with all that it holds.
    ///
    /// # Errors
    /// As [`Control::namespace_update`].
    pub async fn namespace_delete(&self, caller: &Caller, name: &str) -> Result<()> {
        let (id, found) = self.metadef_parent(caller, name).await?;
        self.allow_metadef(Rule::DeleteMetadefNamespace, caller, &found)?;
        refuse_protected(&found)?;
        match self.db.namespace_delete(id, &found).await {
            Err(db::Error::NotFound) => Err(Refusal::NoParent(name.to_owned()).into()),
            deleted => Ok(deleted?),
        }
    }

    /// Takes all items of a kind out of a namespace.
    ///
    /// # Errors
    /// As [`Control::namespace_update`].
    pub async fn namespace_clear(&self, caller: &Caller, name: &str, kind: Kind) -> Result<()> {
        let (id, found) = self.metadef_parent(caller, name).await?;
        self.allow_metadef(Rule::DeleteMetadefNamespace, caller, &found)?;
        if kind == Kind::Tag {
            self.allow_metadef(Rule::DeleteMetadefTags, caller, &found)?;
        }
        refuse_protected(&found)?;
        Ok(self.db.metadef_items_clear(id, &found, kind).await?)
    }

    async fn contents(&self, id: db::RowId) -> Result<Contents> {
        let associations = self.db.associations(&[id]).await?;
        // The newest first, as in a list of them.
        let order = Order::default();
        let tags = self.db.metadef_items(id, Kind::Tag, Some(&order)).await?;
        Ok(Contents {
            associations: associations.into_iter().map(|(_, one)| one).collect(),
            objects: self.items(id, Kind::Object).await?,
            properties: self.items(id, Kind::Property).await?,
            tags: tags.into_iter().map(|(_, tag)| tag).collect(),
        })
    }

    async fn items(&self, id: db::RowId, kind: Kind) -> Result<Vec<Item>> {
        let found = self.db.metadef_items(id, kind, None).await?;
        Ok(found.into_iter().map(|(_, item)| item).collect())
    }
}

fn of(change: NamespaceChange, caller: &Caller) -> Namespace {
    let at = now();
    Namespace {
        name: change.name,
        display_name: change.display_name,
        description: change.description,
        visibility: change.visibility.unwrap_or_else(|| "private".to_owned()),
        protected: change.protected,
        // The column is never NULL; the text is empty for nobody, as of tasks.
        owner: (change.owner)
            .or_else(|| caller.project.clone())
            .or_else(|| Some(ProjectId::new(""))),
        created_at: at,
        updated_at: at,
    }
}

fn refuse_protected(namespace: &Namespace) -> Result<()> {
    match namespace.protected {
        true => Err(Refusal::Protected(namespace.name.clone()).into()),
        false => Ok(()),
    }
}

/// Which of the names that a new namespace brings along was there.
fn twice(namespace: &str, contents: &Contents, name: String) -> Error {
    let within = namespace.to_owned();
    let associated = contents.associations.iter().any(|one| one.name == name);
    let kind = Kind::ALL.into_iter().find(|kind| {
        let of_name = contents.items(*kind).iter();
        of_name.filter(|item| item.name == name).count() > 1
    });
    match kind {
        Some(kind) => Refusal::DuplicateItem {
            kind,
            name,
            namespace: within,
        }
        .into(),
        None if associated && name != namespace => Refusal::DuplicateAssociation {
            name,
            namespace: within,
        }
        .into(),
        None => Refusal::DuplicateNamespace(within).into(),
    }
}
