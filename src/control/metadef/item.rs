//! Objects, properties and tags.

use super::{Refusal, rules};
use crate::{
    control::{
        Caller, Control, Error, Result, Rule,
        db::{self, Order},
        policy::Target,
    },
    model::metadef::{Item, Kind, Namespace},
};

/// What a list of items is asked for. Glance heeds it for tags alone.
#[derive(Clone, Debug, Default)]
pub struct ItemQuery {
    /// The name to go on after.
    pub marker: Option<String>,
    /// No more than so many.
    pub limit: Option<usize>,
    /// In which order.
    pub order: Order,
}

impl Control {
    /// What a namespace holds of a kind.
    ///
    /// # Errors
    /// [`Error::Metadef`], [`Error::Denied`], [`Error::Hidden`].
    pub async fn metadef_list(
        &self,
        caller: &Caller,
        namespace: &str,
        kind: Kind,
        query: &ItemQuery,
    ) -> Result<Vec<Item>> {
        let (id, within) = self.metadef_parent_of(caller, namespace, kind).await?;
        self.allow_metadef(rules(kind).list, caller, &within)?;
        let see = Rule::GetMetadefObject;
        if kind == Kind::Object && !self.policy.holds(see, caller, Target::Namespace(&within)) {
            return Ok(Vec::new());
        }
        if kind != Kind::Tag {
            let items = self.db.metadef_items(id, kind, None).await?;
            return Ok(items.into_iter().map(|(_, item)| item).collect());
        }
        let marker = match query.marker.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => Some(self.find_item(id, kind, name).await?.0),
            None => None,
        };
        let mut items = self.db.metadef_items(id, kind, Some(&query.order)).await?;
        if let Some(marker) = marker {
            let at = items.iter().position(|(id, _)| *id == marker);
            items = items.split_off(at.map_or(items.len(), |at| at + 1));
        }
        items.truncate(query.limit.unwrap_or(usize::MAX));
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }

    /// One item. A property may be asked for by the name that it has on resources of a type.
    ///
    /// # Errors
    /// As [`Control::metadef_list`].
    pub async fn metadef_show(
        &self,
        caller: &Caller,
        namespace: &str,
        kind: Kind,
        name: &str,
        resource_type: Option<&str>,
    ) -> Result<Item> {
        let (id, within) = self.metadef_parent_of(caller, namespace, kind).await?;
        self.allow_metadef(rules(kind).get, caller, &within)?;
        let mut name = name;
        if let Some(resource_type) = resource_type {
            self.allow_metadef(Rule::GetMetadefResourceType, caller, &within)?;
            let prefix = self.prefix(id, &within, resource_type).await?;
            let bare = prefix.as_deref().filter(|prefix| !prefix.is_empty());
            let bare = bare.and_then(|prefix| name.strip_prefix(prefix));
            name = bare.ok_or_else(|| Refusal::Prefix {
                name: name.to_owned(),
                prefix,
            })?;
        }
        Ok(self.find_item(id, kind, name).await?.1)
    }

    /// Adds an item.
    ///
    /// # Errors
    /// As [`Control::metadef_list`].
    pub async fn metadef_create(
        &self,
        caller: &Caller,
        namespace: &str,
        kind: Kind,
        new: &Item,
    ) -> Result<()> {
        let (id, within) = self.metadef_parent_of(caller, namespace, kind).await?;
        self.allow_metadef(rules(kind).add, caller, &within)?;
        let one = std::slice::from_ref(new);
        let added = self.db.metadef_items_add(id, &within, kind, one, false);
        added.await.map_err(|error| twice(error, kind, &within))
    }

    /// Sets a namespace's tags, or adds to them.
    ///
    /// # Errors
    /// As [`Control::metadef_list`].
    pub async fn metadef_tags_set(
        &self,
        caller: &Caller,
        namespace: &str,
        new: &[Item],
        append: bool,
    ) -> Result<()> {
        let (kind, rule) = (Kind::Tag, Rule::AddMetadefTags);
        let (id, within) = self.metadef_parent_of(caller, namespace, kind).await?;
        self.allow_metadef(rule, caller, &within)?;
        // No tags at all leave those that there are, in Glance.
        let replace = !append && !new.is_empty();
        let added = self.db.metadef_items_add(id, &within, kind, new, replace);
        added.await.map_err(|error| twice(error, kind, &within))
    }

    /// Writes an item over, its name too. Returns it as it is then.
    ///
    /// # Errors
    /// As [`Control::metadef_list`].
    pub async fn metadef_update(
        &self,
        caller: &Caller,
        namespace: &str,
        kind: Kind,
        name: &str,
        new: &Item,
    ) -> Result<Item> {
        let (id, within) = self.metadef_parent_of(caller, namespace, kind).await?;
        self.allow_metadef(rules(kind).modify, caller, &within)?;
        let (item, before) = self.find_item(id, kind, name).await?;
        let after = Item {
            created_at: before.created_at,
            ..new.clone()
        };
        let updated = self
            .db
            .metadef_item_update(item, &within, kind, name, &after);
        match updated.await {
            Ok(()) => Ok(after),
            Err(db::Error::Duplicate(name)) => Err(Refusal::DuplicateItemUpdate {
                kind,
                name,
                namespace: within.name,
            }
            .into()),
            Err(db::Error::NotFound) => Err(Refusal::NoItem(kind, name.to_owned()).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes an item away.
    ///
    /// # Errors
    /// As [`Control::metadef_list`].
    pub async fn metadef_delete(
        &self,
        caller: &Caller,
        namespace: &str,
        kind: Kind,
        name: &str,
    ) -> Result<()> {
        let (id, within) = self.metadef_parent_of(caller, namespace, kind).await?;
        self.allow_metadef(rules(kind).delete, caller, &within)?;
        let (item, gone) = self.find_item(id, kind, name).await?;
        if within.protected {
            let name = gone.name;
            return Err(Refusal::ProtectedItem { kind, name }.into());
        }
        match self
            .db
            .metadef_item_delete(item, &within, kind, &gone)
            .await
        {
            Err(db::Error::NotFound) => Err(Refusal::NoItem(kind, name.to_owned()).into()),
            deleted => Ok(deleted?),
        }
    }

    async fn find_item(&self, id: db::RowId, kind: Kind, name: &str) -> Result<(db::RowId, Item)> {
        match self.db.metadef_item(id, kind, name).await {
            Err(db::Error::NotFound) => Err(Refusal::NoItem(kind, name.to_owned()).into()),
            found => Ok(found?),
        }
    }
}

fn twice(error: db::Error, kind: Kind, within: &Namespace) -> Error {
    match error {
        db::Error::Duplicate(name) => Refusal::DuplicateItem {
            kind,
            name,
            namespace: within.name.clone(),
        }
        .into(),
        other => other.into(),
    }
}
