//! Metadata definitions: which properties there are for which kinds of resources (reference A.11).

use chrono::NaiveDateTime;
use serde_json::{Map, Value};

use super::ProjectId;

/// A set of definitions, under a name that is the only one of its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    /// At most 80 characters.
    pub name: String,
    /// For people; at most 80 characters.
    pub display_name: Option<String>,
    /// For people; at most 500 characters.
    pub description: Option<String>,
    /// `public` or `private`.
    pub visibility: String,
    /// Neither it nor what is in it may be deleted.
    pub protected: bool,
    /// The project that it belongs to.
    pub owner: Option<ProjectId>,
    /// UTC.
    pub created_at: NaiveDateTime,
    /// UTC.
    pub updated_at: NaiveDateTime,
}

/// What a namespace holds under names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A group of properties.
    Object,
    /// A property.
    Property,
    /// A word.
    Tag,
}

/// One of them. Which parts it has depends on its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// At most 80 characters.
    pub name: String,
    /// An object's.
    pub description: Option<String>,
    /// The properties that an object must have. None were named where a client says nothing of them.
    pub required: Option<Vec<String>>,
    /// An object's properties by their names, or what a property is.
    pub schema: Map<String, Value>,
    /// UTC.
    pub created_at: NaiveDateTime,
    /// UTC.
    pub updated_at: NaiveDateTime,
}

/// That a namespace's properties are for resources of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// The type's name.
    pub name: String,
    /// What stands before the properties' names there.
    pub prefix: Option<String>,
    /// Which properties of the resource are meant, where it has several kinds.
    pub properties_target: Option<String>,
    /// UTC.
    pub created_at: NaiveDateTime,
    /// UTC.
    pub updated_at: NaiveDateTime,
}

/// A type of resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceType {
    /// At most 80 characters; a type of Heat's, most often.
    pub name: String,
    /// May not be deleted.
    pub protected: bool,
    /// UTC.
    pub created_at: NaiveDateTime,
    /// UTC.
    pub updated_at: NaiveDateTime,
}

/// All that a namespace holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// In the order of their rows, as everything here.
    pub associations: Vec<Association>,
    /// See [`Kind::Object`].
    pub objects: Vec<Item>,
    /// See [`Kind::Property`].
    pub properties: Vec<Item>,
    /// See [`Kind::Tag`].
    pub tags: Vec<Item>,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Object, Self::Property, Self::Tag];
}

impl Contents {
    /// The items of a kind.
    pub fn items(&self, kind: Kind) -> &[Item] {
        match kind {
            Kind::Object => &self.objects,
            Kind::Property => &self.properties,
            Kind::Tag => &self.tags,
        }
    }
}

impl Item {
    /// One with a name and nothing else.
    pub fn named(name: &str, at: NaiveDateTime) -> Self {
        Self {
            name: name.to_owned(),
            description: None,
            required: None,
            schema: Map::new(),
            created_at: at,
            updated_at: at,
        }
    }
}
