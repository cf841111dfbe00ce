//! What can be wrong with a request about metadata definitions, in Glance's words.

use crate::model::metadef::Kind;

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such namespace.
    #[error("Metadata definition namespace={0} was not found.")]
    Unknown(String),
    /// A namespace that the caller may not see, where Glance says so.
    #[error("Forbidding request, metadata definition namespace={0} is not visible.")]
    Invisible(String),
    /// Neither is told apart.
    #[error("Namespace {0} not found")]
    NoParent(String),
    /// The namespace has no such thing.
    #[error("{}", missing(*.0, .1))]
    NoItem(Kind, String),
    /// The namespace is not for that type of resources.
    #[error("{}", unassociated(.resource_type, .namespace.as_deref()))]
    NotAssociated {
        /// The type.
        resource_type: String,
        /// The namespace, where there is such a type.
        namespace: Option<String>,
    },
    /// The same, on a delete.
    #[error("Failed to find resource type {0} to delete")]
    NoAssociation(String),
    /// The name does not begin with what names have for that type of resources.
    #[error(
        "Property {name} does not start with the expected resource type association prefix of \
         '{}'.",
        .prefix.as_deref().unwrap_or("None")
    )]
    Prefix {
        /// The name.
        name: String,
        /// The prefix.
        prefix: Option<String>,
    },
    /// The namespace is protected.
    #[error("Metadata definition namespace {0} is protected and cannot be deleted.")]
    Protected(String),
    /// It is in a namespace that is protected.
    #[error("Metadata definition {} {name} is protected and cannot be deleted.", word(*.kind))]
    ProtectedItem {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// The same of an association.
    #[error(
        "Metadata definition resource-type-association {0} is protected and cannot be deleted."
    )]
    ProtectedAssociation(String),
    /// There is a namespace of that name.
    #[error("The metadata definition namespace={0} already exists.")]
    DuplicateNamespace(String),
    /// The same, on an update.
    #[error(
        "Invalid update. It would result in a duplicate metadata definition namespace with the \
         same name of {0}"
    )]
    DuplicateUpdate(String),
    /// The namespace has something of that name.
    #[error("{}", duplicate(*.kind, .name, .namespace))]
    DuplicateItem {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
        /// The namespace's.
        namespace: String,
    },
    /// The same, on an update.
    #[error("{}", duplicate_update(*.kind, .name, .namespace))]
    DuplicateItemUpdate {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
        /// The namespace's.
        namespace: String,
    },
    /// The namespace is for that type already.
    #[error(
        "The metadata definition resource-type association of resource-type={name} to \
         namespace={namespace} already exists."
    )]
    DuplicateAssociation {
        /// The type.
        name: String,
        /// The namespace.
        namespace: String,
    },
    /// There is a type of that name.
    #[error("A metadata definition resource-type with name={0} already exists.")]
    DuplicateResourceType(String),
    /// There is no type of that name.
    #[error("The metadata definition resource-type with name={0}, was not found.")]
    NoResourceType(String),
    /// A type that came with the software.
    #[error("Metadata definition resource-type {0} is a seeded-system type and cannot be deleted.")]
    ProtectedResourceType(String),
    /// Namespaces are for the type.
    #[error(
        "The metadata definition resource-type with name={0} not deleted. Other records still \
         refer to it."
    )]
    ResourceTypeInUse(String),
}

/// The kind as the errors call it.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Object => "object",
        Kind::Property => "property",
        Kind::Tag => "tag",
    }
}

fn missing(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Object => format!("Could not find metadata object {name}"),
        Kind::Property => format!("Could not find property {name}"),
        Kind::Tag => format!("Could not find metadata tag {name}"),
    }
}

fn unassociated(name: &str, namespace: Option<&str>) -> String {
    match namespace {
        None => format!("The metadata definition resource-type with name={name}, was not found."),
        Some(namespace) => format!(
            "The metadata definition resource-type association of resource-type={name} to \
             namespace={namespace}, was not found."
        ),
    }
}

fn duplicate(kind: Kind, name: &str, namespace: &str) -> String {
    match kind {
        Kind::Object | Kind::Property => format!(
            "A metadata definition {} with name={name} already exists in namespace={namespace}.",
            word(kind)
        ),
        Kind::Tag => format!(
            "A metadata tag with name={name} already exists in namespace={namespace}. (Please \
             note that metadata tag names are case insensitive)."
        ),
    }
}

fn duplicate_update(kind: Kind, name: &str, namespace: &str) -> String {
    match kind {
        Kind::Object | Kind::Property => format!(
            "Invalid update. It would result in a duplicate metadata definition {} with the same \
             name={name} in namespace={namespace}.",
            word(kind)
        ),
        Kind::Tag => duplicate(kind, name, namespace),
    }
}
