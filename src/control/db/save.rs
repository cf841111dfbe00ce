//! Images created, changed, deleted: rows as Glance would have written them (reference K).

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, Utc};

use super::{
    Db, NewJob,
    dialect::Dialect,
    error::{Error, Result},
    job,
    pool::{Transaction, transact},
    rows::cell,
    sql::{Sql, Value},
};
use crate::{
    model::{Image, ImageId, Location, LocationStatus, Status},
    store::s3::without_credentials,
};

/// The property that is Glance's import lock: only a locked operation of its own may change it.
pub(super) const IMPORT_LOCK: &str = "os_glance_import_task";

/// What is deleted with its image, and restored.
pub(super) const CHILDREN: [&str; 3] = ["image_properties", "image_members", "image_tags"];

impl Db {
    /// Writes a new image with its children: one round trip without properties, tags and
    /// locations, else a transaction with one statement for each kind that there is.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the id is taken, be it by a deleted image; [`Error::Refused`].
    pub async fn image_create(&self, image: &Image) -> Result<()> {
        let inserts = insert(self.pool.dialect(), image);
        let created = match inserts.as_slice() {
            [alone] if self.pool.teller().is_none() => self.pool.execute(alone).await.map(drop),
            inserts => transact!(self.pool, |transaction| {
                for insert in inserts {
                    transaction.execute(insert).await?;
                }
                transaction
                    .tell(|teller| teller.image("image.create", image))
                    .await
            }),
        };
        created.map_err(|error| taken(error, &image.id))
    }

    /// Writes what differs between `before` and `after`, if the status still is `before`'s. The
    /// time of the change is `after.updated_at`. Locations without an id are added, those that
    /// `after` lacks are marked deleted, and so are those whose status says so.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the status is another by now; [`Error::NotFound`] when the image
    /// is gone; [`Error::Refused`].
    pub async fn image_save(&self, before: &Image, after: &Image) -> Result<()> {
        let dialect = self.pool.dialect();
        let alone = change_children(dialect, before, after).is_empty();
        if alone && self.pool.teller().is_none() {
            let update = update_image(dialect, before, after);
            if self.pool.execute(&update).await? == 1 {
                return Ok(());
            }
        }
        // Also for a move that was lost, to say why.
        transact!(self.pool, |transaction| {
            save(transaction, before, after).await
        })
    }

    /// Marks the image and all its children deleted, if its status still is the one given and it has got no
    /// location meanwhile, whose data nobody would remove; ends its jobs. One without data must not be
    /// protected meanwhile.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the status is another by now, there is such a location, or it is protected;
    /// [`Error::NotFound`] when the image is gone.
    pub async fn image_delete(&self, image: &Image) -> Result<()> {
        let (to, locations) = (Status::Deleted, LocationStatus::Deleted);
        transact!(self.pool, |t| {
            if image.locations.is_empty() {
                unprotected(t, image).await?;
            }
            delete(t, image, to, locations).await
        })
    }

    /// [`Db::image_delete`] of an image whose data is left to the scrubber, and what is to be done when that
    /// is gone.
    ///
    /// # Errors
    /// As there.
    pub async fn image_delete_later(&self, image: &Image, then: Option<&NewJob>) -> Result<()> {
        let (to, locations) = (Status::PendingDelete, LocationStatus::PendingDelete);
        transact!(self.pool, |t| {
            unprotected(t, image).await?;
            delete(t, image, to, locations).await?;
            match then {
                Some(then) => job::add(t, then).await,
                None => Ok(()),
            }
        })
    }
}

/// Nobody has protected the image since it was read. Asked while nothing of it is gone: what has lost its
/// data is of no use, however it is protected.
async fn unprotected(t: &mut Transaction, image: &Image) -> Result<()> {
    let lock = t.dialect().for_update();
    let mut sql = Sql::new(format!(
        "SELECT protected FROM images WHERE id = ? AND deleted = false{lock}"
    ));
    let rows = t.fetch(sql.bind(image.id.as_str())).await?;
    let protected = rows.first().map_or(Ok(None), |row| row.bool(0))?;
    match protected == Some(true) && !image.protected {
        true => Err(Error::Conflict),
        false => Ok(()),
    }
}

/// [`Db::image_delete`] as a part of a transaction.
pub(super) async fn delete(
    t: &mut Transaction,
    image: &Image,
    to: Status,
    locations: LocationStatus,
) -> Result<()> {
    let now = t.dialect().stored(Utc::now().naive_utc());
    let id = image.id.as_str();
    job::cancel(t, &image.id).await?;
    let mut sql = Sql::new(
        "UPDATE images SET status = ?, deleted = true, deleted_at = ?, updated_at = ? \
         WHERE id = ? AND status = ? AND deleted = false",
    );
    sql.bind(to.as_str()).bind(now).bind(now);
    sql.bind(id).bind(image.status.as_str());
    if t.execute(&sql).await? != 1 {
        return Err(lost(t, &image.id).await?);
    }
    if to == Status::Deleted {
        no_others(t, image).await?;
    }
    let mut sql = Sql::new(
        "UPDATE image_locations SET status = ?, deleted = true, deleted_at = ?, updated_at = ? \
         WHERE image_id = ? AND deleted = false",
    );
    sql.bind(locations.as_str()).bind(now).bind(now).bind(id);
    t.execute(&sql).await?;
    for table in CHILDREN {
        let mut sql = Sql::new(format!(
            "UPDATE {table} SET deleted = true, deleted_at = ?, updated_at = ? \
             WHERE image_id = ? AND deleted = false"
        ));
        t.execute(sql.bind(now).bind(now).bind(id)).await?;
    }
    let mut deleted = image.clone();
    deleted.status = to;
    t.tell(|teller| teller.image_deleted(&deleted, now)).await
}

/// The image has no location but those that were read: who adds one changes the image's row, too, which
/// is ours by now.
async fn no_others(t: &mut Transaction, image: &Image) -> Result<()> {
    let mut sql = Sql::new(format!(
        "SELECT value FROM image_locations WHERE image_id = ? AND deleted = false{}",
        t.dialect().for_update()
    ));
    for row in t.fetch(sql.bind(image.id.as_str())).await? {
        let url = without_credentials(cell(row.text(0), "image_locations", "value")?);
        if !image.locations.iter().any(|location| location.url == url) {
            return Err(Error::Conflict);
        }
    }
    Ok(())
}

/// The statements that write a new image: its own first.
pub(super) fn insert(dialect: Dialect, image: &Image) -> Vec<Sql> {
    let mut inserts = vec![insert_image(dialect, image)];
    inserts.extend(insert_children(dialect, image));
    inserts
}

/// What a failed insert of the image means.
pub(super) fn taken(error: Error, id: &ImageId) -> Error {
    match error {
        Error::Duplicate(_) => Error::Duplicate(format!("image {id}")),
        other => other,
    }
}

/// [`Db::image_save`] as a part of a transaction.
pub(super) async fn save(
    transaction: &mut Transaction,
    before: &Image,
    after: &Image,
) -> Result<()> {
    write(transaction, before, after).await?;
    transaction
        .tell(|teller| teller.image("image.update", after))
        .await
}

/// [`save`] that leaves it to the caller to tell.
pub(super) async fn write(
    transaction: &mut Transaction,
    before: &Image,
    after: &Image,
) -> Result<()> {
    let dialect = transaction.dialect();
    let update = update_image(dialect, before, after);
    if transaction.execute(&update).await? != 1 {
        return Err(lost(transaction, &before.id).await?);
    }
    for change in change_children(dialect, before, after) {
        transaction.execute(&change).await?;
    }
    keep_one(transaction, before, after).await
}

/// Of two that each take a location away, the second is told that it comes too late when none would
/// be left: the image's row, which both have changed, makes them take turns.
async fn keep_one(transaction: &mut Transaction, before: &Image, after: &Image) -> Result<()> {
    let goes = |location: &Location| {
        location.status == LocationStatus::PendingDelete && !before.locations.contains(location)
    };
    if !after.locations.iter().any(goes) {
        return Ok(());
    }
    let mut sql = Sql::new(format!(
        "SELECT 1 FROM image_locations WHERE image_id = ? AND deleted = false{}",
        transaction.dialect().for_update()
    ));
    let left = transaction.fetch(sql.bind(after.id.as_str())).await?;
    match left.is_empty() {
        true => Err(Error::Conflict),
        false => Ok(()),
    }
}

/// Why a compare-and-swap hit no row.
pub(super) async fn lost(transaction: &mut Transaction, id: &ImageId) -> Result<Error> {
    let mut sql = Sql::new("SELECT 1 FROM images WHERE id = ? AND deleted = false");
    let rows = transaction.fetch(sql.bind(id.as_str())).await?;
    Ok(if rows.is_empty() {
        Error::NotFound
    } else {
        Error::Conflict
    })
}

/// The columns of `images` that an image carries, without its id, with their values.
fn columns(dialect: Dialect, image: &Image) -> [(&'static str, Value); 17] {
    let text = |text: &Option<String>| Value::Text(text.clone());
    // An image of more than 2^63 bytes is beyond every store.
    let bytes = |bytes: Option<u64>| Value::Int(bytes.map(u64::cast_signed));
    [
        ("name", text(&image.name)),
        ("size", bytes(image.size_bytes)),
        ("status", image.status.as_str().into()),
        ("created_at", dialect.stored(image.created_at).into()),
        ("updated_at", dialect.stored(image.updated_at).into()),
        ("disk_format", text(&image.disk_format)),
        ("container_format", text(&image.container_format)),
        ("checksum", text(&image.checksum)),
        (
            "owner",
            image.owner.as_ref().map(|owner| owner.as_str()).into(),
        ),
        ("min_disk", image.min_disk_gib.into()),
        ("min_ram", image.min_ram_mib.into()),
        ("protected", image.protected.into()),
        ("virtual_size", bytes(image.virtual_size_bytes)),
        ("visibility", image.visibility.as_str().into()),
        ("os_hidden", image.os_hidden.into()),
        ("os_hash_algo", text(&image.os_hash_algo)),
        ("os_hash_value", text(&image.os_hash_value)),
    ]
}

/// The `?` of a column.
fn parameter(dialect: Dialect, column: &str) -> &'static str {
    if column == "visibility" {
        dialect.visibility_parameter()
    } else {
        "?"
    }
}

fn insert_image(dialect: Dialect, image: &Image) -> Sql {
    let columns = columns(dialect, image);
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let parameters: Vec<_> = names.iter().map(|name| parameter(dialect, name)).collect();
    let mut sql = Sql::new(format!(
        "INSERT INTO images (id, deleted, {}) VALUES (?, false, {})",
        names.join(", "),
        parameters.join(", ")
    ));
    sql.bind(image.id.as_str());
    for (_, value) in columns {
        sql.bind(value);
    }
    sql
}

/// Sets what differs; `updated_at` always, because a change of the children alone shows there.
fn update_image(dialect: Dialect, before: &Image, after: &Image) -> Sql {
    let mut sql = Sql::new("UPDATE images SET updated_at = ?");
    sql.bind(dialect.stored(after.updated_at));
    let (old, new) = (columns(dialect, before), columns(dialect, after));
    for ((name, value), (_, was)) in new.into_iter().zip(old) {
        if value != was && name != "updated_at" {
            sql.push(", ").push(name).push(" = ");
            sql.push(parameter(dialect, name)).bind(value);
        }
    }
    sql.push(" WHERE id = ? AND status = ? AND deleted = false");
    sql.bind(before.id.as_str()).bind(before.status.as_str());
    sql
}

fn insert_children(dialect: Dialect, image: &Image) -> Vec<Sql> {
    let mut nothing = image.clone();
    nothing.properties = BTreeMap::new();
    nothing.tags = Vec::new();
    nothing.locations = Vec::new();
    change_children(dialect, &nothing, image)
}

/// The statements that make the children of `before` those of `after`; none if they are.
fn change_children(dialect: Dialect, before: &Image, after: &Image) -> Vec<Sql> {
    let now = dialect.stored(after.updated_at);
    let id = &after.id;
    let mut changes = Vec::new();
    // First what goes: its name in other letters may be what comes.
    changes.extend(remove_properties(dialect, before, after, now));
    changes.extend(set_properties(dialect, before, after, now));
    let added = after.tags.iter().filter(|tag| !before.tags.contains(tag));
    changes.extend(add_tags(id, added, now));
    let removed = before.tags.iter().filter(|tag| !after.tags.contains(tag));
    changes.extend(removed.map(|tag| remove_tag(dialect, id, tag, now)));
    changes.extend(change_locations(before, after, now));
    changes
}

/// One statement for all that are new or changed: a property that was deleted is revived, because
/// its name is a unique key whether deleted or not.
fn set_properties(
    dialect: Dialect,
    before: &Image,
    after: &Image,
    now: NaiveDateTime,
) -> Option<Sql> {
    let mut sql = Sql::new(
        "INSERT INTO image_properties (image_id, name, value, created_at, updated_at, deleted) \
         VALUES ",
    );
    let mut first = true;
    for (name, value) in &after.properties {
        if before.properties.get(name) == Some(value) || name == IMPORT_LOCK {
            continue;
        }
        sql.push(if first { "" } else { ", " })
            .push("(?, ?, ?, ?, ?, false)");
        sql.bind(after.id.as_str()).bind(name.as_str());
        sql.bind(value.as_deref()).bind(now).bind(now);
        first = false;
    }
    sql.push(dialect.property_upsert());
    (!first).then_some(sql)
}

fn remove_properties(
    dialect: Dialect,
    before: &Image,
    after: &Image,
    now: NaiveDateTime,
) -> Option<Sql> {
    let gone = before.properties.keys().map(String::as_str);
    let gone: Vec<_> = gone
        .filter(|name| !after.properties.contains_key(*name) && *name != IMPORT_LOCK)
        .collect();
    if gone.is_empty() {
        return None;
    }
    let mut sql = Sql::new(format!(
        "UPDATE image_properties SET deleted = true, deleted_at = ?, updated_at = ? \
         WHERE image_id = ? AND deleted = false AND {} IN ",
        dialect.exactly("name")
    ));
    sql.bind(now).bind(now).bind(after.id.as_str());
    sql.push_list(gone);
    Some(sql)
}

fn add_tags<'a>(
    id: &ImageId,
    tags: impl Iterator<Item = &'a String>,
    now: NaiveDateTime,
) -> Option<Sql> {
    let mut sql = Sql::new(
        "INSERT INTO image_tags (image_id, value, created_at, updated_at, deleted) VALUES ",
    );
    let mut added: Vec<&String> = Vec::new();
    for tag in tags {
        if added.contains(&tag) {
            continue;
        }
        sql.push(if added.is_empty() { "" } else { ", " })
            .push("(?, ?, ?, ?, false)");
        sql.bind(id.as_str()).bind(tag.as_str()).bind(now).bind(now);
        added.push(tag);
    }
    (!added.is_empty()).then_some(sql)
}

fn remove_tag(dialect: Dialect, id: &ImageId, tag: &str, now: NaiveDateTime) -> Sql {
    let mut sql = Sql::new(format!(
        "UPDATE image_tags SET deleted = true, deleted_at = ?, updated_at = ? \
         WHERE image_id = ? AND {} = ? AND deleted = false",
        dialect.exactly("value")
    ));
    sql.bind(now).bind(now).bind(id.as_str()).bind(tag);
    sql
}

fn change_locations(before: &Image, after: &Image, now: NaiveDateTime) -> Vec<Sql> {
    let kept = |old: &&Location| after.locations.iter().any(|new| new.id == old.id);
    let gone = before.locations.iter().filter(|old| !kept(old));
    let gone = gone.filter_map(|old| old.id).map(|row| {
        let mut sql = Sql::new(
            "UPDATE image_locations SET deleted = true, status = 'deleted', deleted_at = ?, \
             updated_at = ? WHERE image_id = ? AND id = ?",
        );
        sql.bind(now).bind(now).bind(after.id.as_str()).bind(row);
        sql
    });
    let changed = after
        .locations
        .iter()
        .filter(|new| !before.locations.contains(new));
    let changed = changed.map(|new| match new.id {
        Some(row) => update_location(&after.id, row, new, now),
        None => insert_location(&after.id, new, now),
    });
    gone.chain(changed).collect()
}

fn insert_location(id: &ImageId, location: &Location, now: NaiveDateTime) -> Sql {
    let mut sql = Sql::new(
        "INSERT INTO image_locations (image_id, value, meta_data, status, created_at, updated_at, \
         deleted, deleted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    sql.bind(id.as_str());
    push_location(&mut sql, location, Some(now), now);
    sql
}

fn update_location(id: &ImageId, row: i64, location: &Location, now: NaiveDateTime) -> Sql {
    let mut sql = Sql::new(
        "UPDATE image_locations SET value = ?, meta_data = ?, status = ?, updated_at = ?, \
         deleted = ?, deleted_at = ? WHERE image_id = ? AND id = ?",
    );
    push_location(&mut sql, location, None, now);
    sql.bind(id.as_str()).bind(row);
    sql
}

/// Binds value, metadata, status, `created` if there is one, `updated_at`, deleted, `deleted_at`.
fn push_location(
    sql: &mut Sql,
    location: &Location,
    created: Option<NaiveDateTime>,
    now: NaiveDateTime,
) {
    let deleted = match location.status {
        LocationStatus::Deleted | LocationStatus::PendingDelete => true,
        LocationStatus::Active | LocationStatus::Pending | LocationStatus::Uploading => false,
    };
    sql.bind(location.url.as_str());
    sql.bind(serde_json::Value::Object(location.metadata.clone()).to_string());
    sql.bind(location.status.as_str());
    if let Some(created) = created {
        sql.bind(created);
    }
    sql.bind(now).bind(deleted);
    sql.bind(Value::Time(deleted.then_some(now)));
}
