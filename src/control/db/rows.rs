//! Rows to images and back.
//!
//! Images are read by their ids in one round trip: a `UNION ALL` of their rows with those of their
//! properties, tags and locations, each marked with its kind. A list takes two: a page of images,
//! then all their children.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json};

use super::{
    Found, Viewer,
    conn::Row,
    dialect::Dialect,
    error::{Error, Result},
};
use crate::{
    model::{Image, ImageId, Location, LocationStatus, ProjectId, Status},
    store::s3::without_credentials,
};

/// The kind of a row: cell 0.
const IMAGE: i64 = 0;
const PROPERTY: i64 = 1;
const TAG: i64 = 2;
const LOCATION: i64 = 3;

/// The columns of an image, read as `i`; [`image`] reads them by their place.
pub(super) fn image_columns(dialect: Dialect) -> String {
    format!(
        "{IMAGE} AS kind, i.id, i.size, i.name, i.status, {}, i.disk_format, i.container_format, \
         i.checksum, i.os_hash_algo, i.os_hash_value, i.owner, i.min_disk, i.min_ram, \
         i.virtual_size, i.protected, i.os_hidden, i.created_at, i.updated_at",
        dialect.visibility_column()
    )
}

/// The children that are not deleted, of the images that `condition` (about `image_id`) picks;
/// `padding` makes their rows as wide as an image's. `IS FALSE` and not `= false`: no planner is to
/// weigh the index on `deleted`, which picks nearly every row, against the one on `image_id`. MySQL's
/// is told which index, as its statistics of a table that has just grown say to read it all.
fn children(condition: &str, padding: &str) -> [String; 3] {
    [
        format!(
            "SELECT {PROPERTY}, image_id, id, name, value, NULL{padding} FROM image_properties \
             /*! FORCE INDEX (ix_image_properties_image_id) */ WHERE {condition} AND deleted IS FALSE"
        ),
        format!(
            "SELECT {TAG}, image_id, id, value, NULL, NULL{padding} FROM image_tags \
             /*! FORCE INDEX (ix_image_tags_image_id) */ WHERE {condition} AND deleted IS FALSE"
        ),
        format!(
            "SELECT {LOCATION}, image_id, id, value, meta_data, status{padding} \
             FROM image_locations \
             /*! FORCE INDEX (ix_image_locations_image_id) */ WHERE {condition} AND deleted IS FALSE"
        ),
    ]
}

/// To stand after a `SELECT` of images, of which it takes so many ids three times.
pub(super) fn children_beside_images(ids: usize) -> String {
    let padding = ", NULL".repeat(13);
    let selects = children(&condition(ids), &padding);
    selects
        .map(|select| format!(" UNION ALL {select}"))
        .concat()
}

/// The children of as many images, whose ids it takes three times.
pub(super) fn children_of_many(ids: usize) -> String {
    children(&condition(ids), "").join(" UNION ALL ")
}

fn condition(ids: usize) -> String {
    format!("image_id IN ({})", vec!["?"; ids].join(", "))
}

/// Puts the images that the rows hold together, in the order of their rows.
pub(super) fn assemble(rows: Vec<Row>) -> Result<Vec<Image>> {
    let mut images = Vec::new();
    let mut children: HashMap<String, Vec<(i64, i64, Row)>> = HashMap::new();
    for row in rows {
        let kind = cell(row.int(0), "images", "kind")?;
        if kind == IMAGE {
            images.push(image(&row)?);
        } else {
            let id = cell(row.text(1), "images", "id")?;
            let child = cell(row.int(2), "images", "id")?;
            children.entry(id).or_default().push((kind, child, row));
        }
    }
    for image in &mut images {
        let mut own = children.remove(image.id.as_str()).unwrap_or_default();
        own.sort_by_key(|(kind, child, _)| (*kind, *child));
        for (kind, child, row) in own {
            add_child(image, kind, child, &row)?;
        }
    }
    Ok(images)
}

/// Says through which membership the viewer sees the image, as Glance does.
pub(super) fn found(image: Image, viewer: &Viewer) -> Found {
    let shared = image.visibility == crate::model::Visibility::Shared;
    let foreign = image.owner != viewer.project;
    let member = if shared && foreign {
        viewer.project.clone()
    } else {
        None
    };
    Found { image, member }
}

/// The value of a cell that is never NULL.
pub(super) fn cell<T>(
    value: Result<Option<T>>,
    table: &'static str,
    column: &'static str,
) -> Result<T> {
    value?.ok_or(Error::Corrupt { table, column })
}

fn image(row: &Row) -> Result<Image> {
    let corrupt = |column| Error::Corrupt {
        table: "images",
        column,
    };
    let bytes = |index, column| -> Result<Option<u64>> {
        let value = row.int(index)?;
        value
            .map(|v| u64::try_from(v).map_err(|_| corrupt(column)))
            .transpose()
    };
    let number = |index, column| -> Result<i32> {
        i32::try_from(cell(row.int(index), "images", column)?).map_err(|_| corrupt(column))
    };
    let status = cell(row.text(4), "images", "status")?;
    let visibility = cell(row.text(5), "images", "visibility")?;
    let created_at = cell(row.time(17), "images", "created_at")?;
    Ok(Image {
        id: ImageId::new(cell(row.text(1), "images", "id")?),
        size_bytes: bytes(2, "size")?,
        name: row.text(3)?,
        status: status.parse::<Status>().map_err(|_| corrupt("status"))?,
        visibility: visibility.parse().map_err(|_| corrupt("visibility"))?,
        disk_format: row.text(6)?,
        container_format: row.text(7)?,
        checksum: row.text(8)?,
        os_hash_algo: row.text(9)?,
        os_hash_value: row.text(10)?,
        owner: row.text(11)?.map(ProjectId::new),
        min_disk_gib: number(12, "min_disk")?,
        min_ram_mib: number(13, "min_ram")?,
        virtual_size_bytes: bytes(14, "virtual_size")?,
        protected: cell(row.bool(15), "images", "protected")?,
        os_hidden: cell(row.bool(16), "images", "os_hidden")?,
        created_at,
        updated_at: row.time(18)?.unwrap_or(created_at),
        deleted_at: None,
        properties: BTreeMap::new(),
        tags: Vec::new(),
        locations: Vec::new(),
    })
}

fn add_child(image: &mut Image, kind: i64, child: i64, row: &Row) -> Result<()> {
    match kind {
        PROPERTY => {
            let name = cell(row.text(3), "image_properties", "name")?;
            image.properties.insert(name, row.text(4)?);
        }
        TAG => {
            let tag = cell(row.text(3), "image_tags", "value")?;
            // No key forbids a tag twice: two that add it at once both do.
            if !image.tags.contains(&tag) {
                image.tags.push(tag);
            }
        }
        _ => image.locations.push(location(child, row)?),
    }
    Ok(())
}

fn location(id: i64, row: &Row) -> Result<Location> {
    const TABLE: &str = "image_locations";
    let status = cell(row.text(5), TABLE, "status")?;
    let status: LocationStatus = status.parse().map_err(|_| Error::Corrupt {
        table: TABLE,
        column: "status",
    })?;
    let metadata = match row.text(4)?.map(|text| serde_json::from_str(&text)) {
        Some(Ok(Json::Object(metadata))) => metadata,
        None | Some(Ok(Json::Null)) => Map::new(),
        Some(_) => {
            return Err(Error::Corrupt {
                table: TABLE,
                column: "meta_data",
            });
        }
    };
    Ok(Location {
        id: Some(id),
        url: without_credentials(cell(row.text(3), TABLE, "value")?),
        metadata,
        status,
    })
}
