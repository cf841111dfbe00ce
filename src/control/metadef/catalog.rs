//! The catalog as files: Glance's `metadefs/*.json`, loaded and written as `glance-manage` does.
//!
//! A file is a namespace with all that it holds, in the shape of a `POST /v2/metadefs/namespaces`.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    control::{
        Result,
        db::{self, Db, NamespaceQuery, RowId, Viewer},
        image::now,
    },
    model::{
        ProjectId,
        metadef::{Association, Contents, Item, Kind, Namespace},
    },
};

/// Whose namespaces are that name nobody.
const OWNER: &str = "admin";

/// What becomes of a namespace that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadMode {
    /// It stays as it is.
    #[default]
    Skip,
    /// It gets what it lacks.
    Merge,
    /// It gets what it lacks, and the file's where both have something.
    PreferNew,
    /// It becomes the file's.
    Overwrite,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The namespace is new, or anew.
    Created,
    /// It was there, and may have more now.
    Merged,
    /// It was there, and is as it was.
    Skipped,
}

/// A file.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct CatalogFile {
    namespace: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    visibility: Option<String>,
    #[serde(default)]
    protected: Option<bool>,
    #[serde(default, skip_serializing)]
    owner: Option<String>,
    #[serde(default)]
    resource_type_associations: Vec<FileAssociation>,
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default)]
    objects: Vec<FileObject>,
    #[serde(default)]
    tags: Vec<FileTag>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct FileAssociation {
    name: String,
    #[serde(default)]
    prefix: Option<String>,
    #[serde(default)]
    properties_target: Option<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct FileObject {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    properties: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct FileTag {
    name: String,
}

impl CatalogFile {
    /// Reads a file's text.
    ///
    /// # Errors
    /// When it is no JSON, or of another shape.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The name of the file that a namespace is written to: the letters of its display name, with
    /// `.json` after them.
    pub fn name(&self) -> String {
        let shown = self.display_name.as_ref().unwrap_or(&self.namespace);
        let letters: String = shown.chars().filter(|c| c.is_alphanumeric()).collect();
        format!("{letters}.json")
    }

    fn into_parts(self) -> (Namespace, Contents) {
        let at = now();
        let item = |name: String| Item::named(&name, at);
        let namespace = Namespace {
            name: self.namespace,
            display_name: self.display_name,
            description: self.description,
            visibility: self.visibility.unwrap_or_else(|| "private".to_owned()),
            protected: self.protected.unwrap_or(false),
            owner: Some(ProjectId::new(self.owner.unwrap_or(OWNER.to_owned()))),
            created_at: at,
            updated_at: at,
        };
        let association = |one: FileAssociation| Association {
            name: one.name,
            prefix: one.prefix,
            properties_target: one.properties_target,
            created_at: at,
            updated_at: at,
        };
        let object = |one: FileObject| Item {
            description: one.description,
            required: Some(one.required),
            schema: one.properties,
            ..item(one.name)
        };
        let property = |(name, schema): (String, Value)| Item {
            schema: schema.as_object().cloned().unwrap_or_default(),
            ..item(name)
        };
        let associations = self.resource_type_associations.into_iter();
        let contents = Contents {
            associations: associations.map(association).collect(),
            objects: self.objects.into_iter().map(object).collect(),
            properties: self.properties.into_iter().map(property).collect(),
            tags: self.tags.into_iter().map(|one| item(one.name)).collect(),
        };
        (namespace, contents)
    }

    fn of(namespace: Namespace, contents: Contents) -> Self {
        let association = |one: Association| FileAssociation {
            name: one.name,
            prefix: one.prefix,
            properties_target: one.properties_target,
        };
        let object = |one: Item| FileObject {
            name: one.name,
            description: one.description,
            required: one.required.unwrap_or_default(),
            properties: one.schema,
        };
        let property = |one: Item| (one.name, Value::Object(one.schema));
        let tag = |one: Item| FileTag { name: one.name };
        Self {
            namespace: namespace.name,
            display_name: namespace.display_name,
            description: namespace.description,
            visibility: Some(namespace.visibility),
            protected: Some(namespace.protected),
            owner: None,
            resource_type_associations: contents
                .associations
                .into_iter()
                .map(association)
                .collect(),
            properties: contents.properties.into_iter().map(property).collect(),
            objects: contents.objects.into_iter().map(object).collect(),
            tags: contents.tags.into_iter().map(tag).collect(),
        }
    }
}

/// Loads a file, all or nothing when the namespace is new.
///
/// # Errors
/// Only those of the database.
pub async fn load(db: &Db, file: CatalogFile, mode: LoadMode) -> Result<Loaded> {
    let (new, contents) = file.into_parts();
    let found = namespace_find(db, &new.name).await?;
    let (id, there) = match (found, mode) {
        (None, _) => {
            db.namespace_seed(&new, &contents).await?;
            return Ok(Loaded::Created);
        }
        (Some((id, there)), LoadMode::Overwrite) => {
            db.namespace_delete(id, &there).await?;
            db.namespace_seed(&new, &contents).await?;
            return Ok(Loaded::Created);
        }
        (Some(_), LoadMode::Skip) => return Ok(Loaded::Skipped),
        (Some(found), LoadMode::Merge | LoadMode::PreferNew) => found,
    };
    let prefer_new = mode == LoadMode::PreferNew;
    if prefer_new {
        db.namespace_update(id, &there.name, &new).await?;
    }
    let associated = db.associations(&[id]).await?;
    for one in &contents.associations {
        let old = associated.iter().find(|(_, old)| old.name == one.name);
        match old {
            Some((_, old)) if prefer_new => {
                db.association_delete(id, &there, old).await?;
                db.association_add(id, &there, one).await?;
            }
            Some(_) => {}
            None => db.association_add(id, &there, one).await?,
        }
    }
    for kind in Kind::ALL {
        merge(db, (id, &there), kind, contents.items(kind), prefer_new).await?;
    }
    Ok(Loaded::Merged)
}

async fn merge(
    db: &Db,
    (id, within): (RowId, &Namespace),
    kind: Kind,
    items: &[Item],
    prefer_new: bool,
) -> Result<()> {
    let there = db.metadef_items(id, kind, None).await?;
    let names: HashSet<&str> = there.iter().map(|(_, old)| old.name.as_str()).collect();
    let new = items
        .iter()
        .filter(|new| !names.contains(new.name.as_str()));
    let new: Vec<Item> = new.cloned().collect();
    db.metadef_items_add(id, within, kind, &new, false).await?;
    for (row, old) in there.iter().filter(|_| prefer_new) {
        if let Some(new) = items.iter().find(|new| new.name == old.name) {
            db.metadef_item_update(*row, within, kind, &old.name, new)
                .await?;
        }
    }
    Ok(())
}

/// All namespaces as files.
///
/// # Errors
/// Only those of the database.
pub async fn export(db: &Db) -> Result<Vec<CatalogFile>> {
    let everything = Viewer {
        project: None,
        is_admin: true,
    };
    let mut files = Vec::new();
    for (id, namespace) in db
        .namespaces(&NamespaceQuery::default(), &everything)
        .await?
    {
        let associations = db.associations(&[id]).await?;
        let contents = Contents {
            associations: associations.into_iter().map(|(_, one)| one).collect(),
            objects: items(db, id, Kind::Object).await?,
            properties: items(db, id, Kind::Property).await?,
            tags: items(db, id, Kind::Tag).await?,
        };
        files.push(CatalogFile::of(namespace, contents));
    }
    Ok(files)
}

async fn items(db: &Db, id: RowId, kind: Kind) -> Result<Vec<Item>> {
    let items = db.metadef_items(id, kind, None).await?;
    Ok(items.into_iter().map(|(_, item)| item).collect())
}

async fn namespace_find(db: &Db, name: &str) -> Result<Option<(RowId, Namespace)>> {
    match db.namespace(name).await {
        Ok(found) => Ok(Some(found)),
        Err(db::Error::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
