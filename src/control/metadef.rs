//! Metadata definitions (reference A.11): namespaces, and what is in them.
//!
//! Whoever may not see a namespace is told that there is none; the policy's rules are about the
//! namespace, whatever is asked for in it.

mod catalog;
mod item;
mod namespace;
mod refusal;
mod resource_type;

use super::{Caller, Control, Error, Result, Rule, db, policy::Target};
use crate::model::metadef::{Kind, Namespace};

pub use catalog::{CatalogFile, LoadMode, Loaded, export, load};
pub use item::ItemQuery;
pub use namespace::{NamespaceChange, NewNamespace, Page, Shown};
pub use refusal::Refusal;

/// A namespace with its row's key.
type Found = (db::RowId, Namespace);

/// The rules of a kind.
struct Rules {
    list: Rule,
    get: Rule,
    add: Rule,
    modify: Rule,
    delete: Rule,
}

fn rules(kind: Kind) -> Rules {
    match kind {
        Kind::Object => Rules {
            list: Rule::GetMetadefObjects,
            get: Rule::GetMetadefObject,
            add: Rule::AddMetadefObject,
            modify: Rule::ModifyMetadefObject,
            delete: Rule::DeleteMetadefObject,
        },
        Kind::Property => Rules {
            list: Rule::GetMetadefProperties,
            get: Rule::GetMetadefProperty,
            add: Rule::AddMetadefProperty,
            modify: Rule::ModifyMetadefProperty,
            delete: Rule::RemoveMetadefProperty,
        },
        Kind::Tag => Rules {
            list: Rule::GetMetadefTags,
            get: Rule::GetMetadefTag,
            add: Rule::AddMetadefTag,
            modify: Rule::ModifyMetadefTag,
            delete: Rule::DeleteMetadefTag,
        },
    }
}

impl Control {
    /// The namespace, if the caller may see it.
    async fn metadef_namespace(&self, caller: &Caller, name: &str) -> Result<Found> {
        let found = match self.db.namespace(name).await {
            Ok(found) => found,
            Err(db::Error::NotFound) => return Err(Refusal::Unknown(name.to_owned()).into()),
            Err(error) => return Err(error.into()),
        };
        match is_visible(caller, &found.1) {
            true => Ok(found),
            false => Err(Refusal::Invisible(name.to_owned()).into()),
        }
    }

    /// The same, where what the caller may not see is as what is not there.
    async fn metadef_parent(&self, caller: &Caller, name: &str) -> Result<Found> {
        let found = self.metadef_namespace(caller, name).await;
        found.map_err(|error| match error {
            Error::Metadef(Refusal::Unknown(_) | Refusal::Invisible(_)) => {
                Refusal::NoParent(name.to_owned()).into()
            }
            other => other,
        })
    }

    /// The same for objects, whose handlers tell what is not there in the database's words.
    async fn metadef_parent_of(&self, caller: &Caller, name: &str, kind: Kind) -> Result<Found> {
        match kind {
            Kind::Property | Kind::Tag => self.metadef_parent(caller, name).await,
            Kind::Object => {
                let found = self.metadef_namespace(caller, name).await;
                found.map_err(|error| match error {
                    Error::Metadef(Refusal::Invisible(name)) => Refusal::NoParent(name).into(),
                    other => other,
                })
            }
        }
    }

    /// Asks a rule about a namespace. Who may not even see it is told that there is none.
    fn allow_metadef(&self, rule: Rule, caller: &Caller, namespace: &Namespace) -> Result<()> {
        self.allow_metadef_at(rule, caller, Target::Namespace(namespace))
    }

    fn allow_metadef_at(&self, rule: Rule, caller: &Caller, target: Target<'_>) -> Result<()> {
        let see = Rule::GetMetadefNamespace;
        match self.policy.allow(rule, caller, target) {
            Err(Error::Denied(_)) if rule == see || !self.policy.holds(see, caller, target) => {
                Err(Error::Hidden)
            }
            answer => answer,
        }
    }
}

/// Whether the database shows it (reference C.3), whatever the policy says.
fn is_visible(caller: &Caller, namespace: &Namespace) -> bool {
    let own = caller.project.is_some() && caller.project == namespace.owner;
    caller.is_admin || own || namespace.owner.is_none() || namespace.visibility == "public"
}
